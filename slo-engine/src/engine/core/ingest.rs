//! Rows on their way in: what is refused, what a byte range does to those that are there, and what memory makes of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use slo::counts::{
    ByteRange, CountRow, CountsRequest, MinuteId, RowKey, ServiceRef, Sli, StreamReport, Tally,
};

use super::super::EngineError;
use super::Core;
use crate::counts::KEEP_UNMEASURED_MINUTES;
use crate::discovery::Service;
use crate::place::{Put, place};
use crate::store::Change;
use crate::store::counts::{StoredCollector, StoredRow, StoredTally};
use crate::store::exports::Mark;

/// Largest count and offset: 256 TiB.
const LARGEST: u64 = 1 << 48;

/// Minutes that a clock may be ahead of this engine's.
const AHEAD: i64 = 5;

/// First and last minute that anything is believed of: the years 2000 to 2099.
const BELIEVED: (i64, i64) = (15_778_080, 68_374_080);

/// What the store holds of what a request touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// Identity of the store.
    pub(crate) identity: String,
    /// The collector, where it is known.
    pub(crate) collector: Option<StoredCollector>,
    /// Streams of the request.
    pub(crate) streams: BTreeMap<String, HeldStream>,
    /// Rows of the minutes and streams of the request that have not folded.
    pub(crate) rows: BTreeMap<(MinuteId, String), Vec<StoredRow>>,
}

/// What is held of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldStream {
    /// Byte ranges that are counted, ascending.
    pub(crate) tallies: Vec<StoredTally>,
    /// Behind the last byte whose rows have folded.
    pub(crate) folded_end: u64,
}

/// What a request did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ingested {
    /// Rows that only added to what was there.
    pub(crate) added: u64,
    /// Rows that were left out because nobody believes their minute.
    pub(crate) unbelieved: u64,
    /// Rows that count as unattributed because there are too many services.
    pub(crate) folded_names: u64,
    /// For each stream of the request, the offset below which everything is counted.
    pub(crate) positions: BTreeMap<String, u64>,
}

/// What is done with a request beside its rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// By the wall clock: what lies far from it is not believed.
    pub(crate) now: Option<Timestamp>,
    /// Streams that go on being sent by whom they were.
    pub(crate) kept: BTreeSet<String>,
    /// It fills a state that was lost.
    pub(crate) fills: bool,
}

impl Core {
    /// Takes rows.
    pub(in super::super) fn ingest(
        &mut self,
        mut request: CountsRequest,
        mut held: Held,
        terms: &Terms,
    ) -> Result<(Vec<Change>, Ingested), EngineError> {
        check(&request).map_err(EngineError::BadRows)?;
        check_follows(&request, &held)?;
        let mut ingested = Ingested::default();
        self.disbelieve(&mut request, terms.now, &mut ingested);
        self.fold_names(&mut request, &mut ingested);
        let read_before = held.collector.as_ref().and_then(|collector| collector.watermark_ms);
        let archived_to_ms = archived_to(held.collector.as_ref(), &request);
        let collector = StoredCollector {
            collector: request.collector.clone(),
            epoch: request.epoch.clone(),
            watermark_ms: request.watermark_ms,
            archived_to_ms,
            node: request.node.clone(),
            gone: None,
        };
        let mut changes = vec![Change::Collector(collector.clone())];
        self.stale |= !self.counts.learn(&request, &self.specs);
        let counted: BTreeMap<String, Vec<ByteRange>> = held
            .streams
            .iter()
            .map(|(name, stream)| (name.clone(), stream.tallies.iter().map(|tally| tally.range).collect()))
            .collect();
        self.take_streams(&request, &mut held, terms, &mut changes, &mut ingested);
        let touched = self.take_rows(&request, &mut held, &counted, &mut changes, &mut ingested);
        if !self.stale {
            self.counts.put_collector(&collector);
        }
        self.follow_up(&request, read_before, touched, terms, &mut changes);
        Ok((changes, ingested))
    }

    /// Leaves out what nobody believes: it refuses only itself.
    fn disbelieve(&mut self, request: &mut CountsRequest, now: Option<Timestamp>, ingested: &mut Ingested) {
        let limit = now.map(|now| MinuteId::of_timestamp(now).plus(AHEAD));
        let first = now.map_or(BELIEVED.0, |now| self.keep(now, None).minutes.0.max(BELIEVED.0));
        let last = limit.map_or(BELIEVED.1, |limit| limit.0.min(BELIEVED.1));
        let rows = request.rows.len();
        request.rows.retain(|row| (first..=last).contains(&row.key.minute.0));
        ingested.unbelieved = (rows - request.rows.len()) as u64;
        let is_ahead = |ms: &i64| MinuteId::of_ms(*ms).0 > last;
        let is_lost = |ms: &i64| MinuteId::of_ms(*ms).0 < BELIEVED.0;
        for report in &mut request.streams {
            report.newest_ms = report.newest_ms.filter(|ms| !is_ahead(ms) && !is_lost(ms));
            report.oldest_ms = report.oldest_ms.filter(|ms| !is_ahead(ms) && !is_lost(ms));
        }
        let archive_ahead = request.archived_to_ms.as_ref().is_some_and(is_ahead);
        request.watermark_ms = request.watermark_ms.filter(|ms| is_ahead(ms) || is_instant(*ms));
        request.archived_to_ms = request.archived_to_ms.filter(|ms| is_ahead(ms) || is_instant(*ms));
        if request.watermark_ms.as_ref().is_some_and(is_ahead) || archive_ahead {
            let at = limit.unwrap_or_default();
            let who = request.collector.clone();
            let text = format!(
                "collector {who} says that it has read minutes of the future; that is not believed: set the clock of its node"
            );
            self.note(format!("clock/{who}"), text, at);
            request.watermark_ms = request.watermark_ms.filter(|ms| !is_ahead(ms));
            request.archived_to_ms = request.archived_to_ms.filter(|_| !archive_ahead);
        }
    }

    /// Counts names beyond the cap as unattributed: a log must not make services without end.
    fn fold_names(&mut self, request: &mut CountsRequest, ingested: &mut Ingested) {
        let strange: BTreeSet<&ServiceRef> = request
            .rows
            .iter()
            .map(|row| &row.key.service)
            .filter(|name| !self.counts.is_familiar(name))
            .collect();
        if strange.is_empty() {
            return;
        }
        let mut new: BTreeSet<Service> = BTreeSet::new();
        let room = self.caps.unknown_services.saturating_sub(self.counts.unknown_services());
        let known = |name: &ServiceRef| match name {
            ServiceRef::Named { namespace, name } => {
                self.services.contains(&(namespace.clone(), name.clone()))
            }
            ServiceRef::Upstream(_) | ServiceRef::Unattributed => false,
        };
        let mut folded: BTreeSet<ServiceRef> = BTreeSet::new();
        for name in strange.into_iter().filter(|name| !known(name)) {
            let service = self.counts.known.resolve(name);
            if new.len() >= room && !new.contains(&service) {
                folded.insert(name.clone());
            } else {
                new.insert(service);
            }
        }
        if folded.is_empty() {
            return;
        }
        let mut rows: BTreeMap<(RowKey, ByteRange), CountRow> = BTreeMap::new();
        for mut row in std::mem::take(&mut request.rows) {
            if folded.contains(&row.key.service) {
                ingested.folded_names += 1;
                self.overflown = self.overflown.max(Some(row.key.minute));
                row.key.service = ServiceRef::Unattributed;
            }
            match rows.get_mut(&(row.key.clone(), row.range)) {
                Some(sum) => {
                    sum.counts += row.counts;
                    crate::store::counts::add_ladder(&mut sum.ladder, &row.ladder);
                    sum.sketch.merge(&row.sketch);
                }
                None => drop(rows.insert((row.key.clone(), row.range), row)),
            }
        }
        request.rows = rows.into_values().collect();
    }

    fn take_streams(
        &mut self,
        request: &CountsRequest,
        held: &mut Held,
        terms: &Terms,
        changes: &mut Vec<Change>,
        ingested: &mut Ingested,
    ) {
        for report in &request.streams {
            if terms.kept.contains(&report.stream) {
                changes.push(Change::Widen(report.clone()));
            } else {
                changes.push(Change::Stream(request.collector.clone(), report.clone()));
                if !self.stale {
                    self.counts.sends(&request.collector, &report.stream);
                }
            }
            let known = held.streams.entry(report.stream.clone()).or_default();
            if !report.range.is_empty() {
                let before = known.tallies.clone();
                let news = StoredTally { range: report.range, tally: report.tally };
                if place(&mut known.tallies, news) != Put::Repeat {
                    let gone = before.iter().filter(|tally| !known.tallies.contains(tally));
                    let gone: Vec<StoredTally> = gone.cloned().collect();
                    let news: Vec<StoredTally> =
                        known.tallies.iter().filter(|tally| !before.contains(tally)).cloned().collect();
                    news.iter().for_each(|news| self.tally += news.tally);
                    gone.iter().for_each(|gone| take_away(&mut self.tally, gone.tally));
                    let gone = gone.into_iter().map(|tally| tally.range).collect();
                    changes.push(Change::Tallies(report.stream.clone(), gone, news));
                }
            }
            if let Some(last) = known.tallies.last() {
                ingested.positions.insert(report.stream.clone(), last.range.end);
            }
        }
    }

    /// Puts rows among those that are held; the minutes whose counts changed.
    fn take_rows(
        &mut self,
        request: &CountsRequest,
        held: &mut Held,
        counted: &BTreeMap<String, Vec<ByteRange>>,
        changes: &mut Vec<Change>,
        ingested: &mut Ingested,
    ) -> BTreeSet<(MinuteId, String)> {
        // What lies in bytes that are counted is a repeat, however it was cut the first time.
        let is_counted = |row: &CountRow| {
            counted.get(&row.key.stream).is_some_and(|held| held.iter().any(|held| held.contains(row.range)))
        };
        let mut by_key: BTreeMap<&RowKey, Vec<&CountRow>> = BTreeMap::new();
        for row in request.rows.iter().filter(|row| !is_counted(row)) {
            by_key.entry(&row.key).or_default().push(row);
        }
        let mut touched: BTreeSet<(MinuteId, String)> = BTreeSet::new();
        let mut places: BTreeMap<(MinuteId, String), BTreeMap<RowKey, Vec<StoredRow>>> = BTreeMap::new();
        for (key, rows) in by_key {
            let place_of = (key.minute, key.stream.clone());
            let ours = places.entry(place_of.clone()).or_insert_with(|| {
                let mut ours: BTreeMap<RowKey, Vec<StoredRow>> = BTreeMap::new();
                for stored in held.rows.remove(&place_of).unwrap_or_default() {
                    ours.entry(stored.row.key.clone()).or_default().push(stored);
                }
                ours
            });
            let of_key = ours.entry(key.clone()).or_default();
            let before = of_key.clone();
            let mut news = false;
            for row in rows {
                let edges_us = if row.ladder.is_empty() { Vec::new() } else { request.edges_us.clone() };
                let put = place(of_key, StoredRow { row: row.clone(), edges_us, partial: false });
                ingested.added += u64::from(put == Put::Added);
                news |= put != Put::Repeat;
            }
            if news {
                touched.insert(place_of);
                if !self.stale {
                    self.counts.change(key, &before, of_key, &self.specs);
                }
            }
        }
        for (place, rows) in places.into_iter().filter(|(place, _)| touched.contains(place)) {
            changes.push(Change::Rows(place.0, place.1, rows.into_values().flatten().collect()));
        }
        touched
    }

    /// What a request makes old: results in Elasticsearch, and minutes that the ledger has spoken of.
    fn follow_up(
        &mut self,
        request: &CountsRequest,
        read_before: Option<i64>,
        touched: BTreeSet<(MinuteId, String)>,
        terms: &Terms,
        changes: &mut Vec<Change>,
    ) {
        let mut minutes: BTreeSet<MinuteId> = touched.iter().map(|(minute, _)| *minute).collect();
        let mut marks: BTreeSet<Mark> = minutes.iter().map(|minute| Mark::Results(*minute)).collect();
        if let (Some(before), Some(now), false) = (read_before, request.watermark_ms, terms.fills) {
            let (before, now) = (MinuteId::of_ms(before), MinuteId::of_ms(now));
            let from = before.max(now.plus(-KEEP_UNMEASURED_MINUTES));
            // Of the minutes that a collector has caught up on the first one stands for all: those after it are written too.
            marks.extend((from < now).then_some(Mark::Results(from)));
            minutes.extend((from.0..now.0).map(MinuteId));
        }
        // The first watermark decides what nobody knew before: whether minutes since a stream's last count were read.
        let decides = request.watermark_ms.filter(|_| read_before.is_none() || terms.fills);
        let undecided = || self.counts.first_undecided(&request.collector);
        if let Some((watermark, from)) = decides.and_then(|watermark| Some((watermark, undecided()?))) {
            marks.insert(Mark::Results(from));
            changes.push(Change::AmendSaid(from, MinuteId::of_ms(watermark)));
        }
        if let Some(said) = self.ledger_to {
            let minutes: Vec<MinuteId> = minutes.into_iter().filter(|minute| *minute < said).collect();
            if !minutes.is_empty() {
                changes.push(Change::Amend(minutes));
            }
        }
        if self.exports {
            marks.insert(Mark::Collector(request.collector.clone()));
            marks.extend(request.streams.iter().map(|report| Mark::Stream(report.stream.clone())));
            marks.extend(touched.into_iter().map(|(minute, stream)| Mark::Rows(minute, stream)));
            changes.push(Change::Marks(marks));
        }
    }

    /// Marks rows as cut through: they lack something for good.
    pub(in super::super) fn tear(
        &mut self,
        torn: &[RowKey],
        rows: &mut BTreeMap<(MinuteId, String), Vec<StoredRow>>,
    ) -> Vec<Change> {
        let mut changed = BTreeSet::new();
        for key in torn {
            let place = (key.minute, key.stream.clone());
            let Some(held) = rows.get_mut(&place) else { continue };
            let before: Vec<StoredRow> = held.iter().filter(|row| row.row.key == *key).cloned().collect();
            held.iter_mut().filter(|row| row.row.key == *key).for_each(|row| row.partial = true);
            let after: Vec<StoredRow> = held.iter().filter(|row| row.row.key == *key).cloned().collect();
            if !self.stale {
                self.counts.change(key, &before, &after, &self.specs);
            }
            changed.insert(place);
        }
        let minutes = changed.iter().map(|(minute, _)| *minute);
        let said = minutes.filter(|minute| self.ledger_to.is_some_and(|said| *minute < said));
        let mut changes = vec![Change::Amend(said.collect())];
        for place in changed {
            let rows = rows.remove(&place).unwrap_or_default();
            changes.push(Change::Rows(place.0, place.1, rows));
        }
        changes
    }
}

/// Whether a minute is of the years that anything is believed of.
pub(in super::super) fn is_believed(minute: MinuteId) -> bool {
    (BELIEVED.0..=BELIEVED.1).contains(&minute.0)
}

/// How far a collector's archive is by what was known and what it says. One that has delivered nothing yet is where it was;
/// if that is not known either, its archive lags from the first instant that it has read up to.
fn archived_to(known: Option<&StoredCollector>, request: &CountsRequest) -> Option<i64> {
    let known = known.and_then(|known| known.archived_to_ms);
    match request.archived_to_ms? {
        0 => known.or(request.watermark_ms),
        said => known.max(Some(said)),
    }
}

fn take_away(sum: &mut Tally, gone: Tally) {
    let away = |sum: &mut u64, gone: u64| *sum = sum.saturating_sub(gone);
    away(&mut sum.lines, gone.lines);
    away(&mut sum.requests, gone.requests);
    away(&mut sum.ignored, gone.ignored);
    away(&mut sum.unparsed, gone.unparsed);
    away(&mut sum.late, gone.late);
    away(&mut sum.dead_lettered, gone.dead_lettered);
}

/// Refuses what follows on something else than is held: it was sent to a state that is lost, or cuts through bytes that were
/// counted meanwhile. Whoever names no state is taken as it comes, but for bytes that have folded: in another cut they
/// would count twice.
fn check_follows(request: &CountsRequest, held: &Held) -> Result<(), EngineError> {
    let names_state = request.store.is_some();
    if request.store.as_ref().is_some_and(|known| *known != held.identity) {
        let why = "this engine's state is not the one that the counts follow on: it was lost, or another engine answers";
        return Err(EngineError::HeldOtherwise(why.to_owned()));
    }
    for StreamReport { stream, range, .. } in &request.streams {
        let Some(known) = held.streams.get(stream) else { continue };
        let overlapping = known.tallies.iter().map(|tally| tally.range).filter(|held| held.overlaps(*range));
        for counted in overlapping.filter(|counted| !counted.contains(*range)) {
            let cuts = names_state && !range.contains(counted);
            if cuts || counted.start < known.folded_end {
                let why = format!(
                    "of stream {stream} the bytes {} to {} are counted, {} to {} would count some of them twice",
                    counted.start, counted.end, range.start, range.end
                );
                return Err(EngineError::HeldOtherwise(why));
            }
        }
    }
    Ok(())
}

/// Refuses rows that break the contract; the error names the row. An instant that nobody believes breaks nothing: a line may
/// claim any, and the rows beside it count.
fn check(request: &CountsRequest) -> Result<(), String> {
    if request.collector.is_empty() {
        return Err("`collector` is empty; every collector has a name of its own".to_owned());
    }
    if request.edges_us.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("`edges_us` must ascend strictly".to_owned());
    }
    for report in &request.streams {
        check_report(report).map_err(|why| format!("stream {}: {why}", report.stream))?;
    }
    let streams: BTreeSet<&str> = request.streams.iter().map(|report| report.stream.as_str()).collect();
    request.rows.iter().enumerate().try_for_each(|(index, row)| {
        check_row(row, request, &streams)
            .map_err(|why| format!("rows[{index}], stream {}: {why}", row.key.stream))
    })
}

fn check_report(report: &StreamReport) -> Result<(), String> {
    if report.range.start > report.range.end {
        return Err("`range` ends before it starts".to_owned());
    }
    let Tally { lines, requests, ignored, unparsed, late, dead_lettered } = report.tally;
    check_numbers(&[report.range.end, lines, requests, ignored, unparsed, late, dead_lettered])
}

/// Sums of numbers up to this overflow nowhere.
fn check_numbers(numbers: &[u64]) -> Result<(), String> {
    match numbers.iter().find(|&&number| number > LARGEST) {
        Some(number) => Err(format!("{number} is more than any log holds; the limit is {LARGEST}")),
        None => Ok(()),
    }
}

fn is_instant(ms: i64) -> bool {
    Timestamp::from_millisecond(ms).is_ok()
}

fn check_row(row: &CountRow, request: &CountsRequest, streams: &BTreeSet<&str>) -> Result<(), String> {
    if row.range.start >= row.range.end {
        return Err("`range` is empty or ends before it starts".to_owned());
    }
    check_numbers(&[row.range.end, row.counts.total, row.counts.excluded])?;
    check_numbers(&row.ladder)?;
    if row.counts.bad > row.counts.total {
        return Err(format!("{} bad of {} requests", row.counts.bad, row.counts.total));
    }
    if row.key.sli == Sli::Latency {
        let (want, found) = (request.edges_us.len() + 1, row.ladder.len());
        let sum = row.ladder.iter().fold(0_u64, |sum, &count| sum.saturating_add(count));
        if want != found || sum != row.counts.total {
            return Err(format!(
                "the ladder has {found} buckets that add up to {sum}, expected {want} that add up to {}",
                row.counts.total
            ));
        }
    }
    if !streams.contains(row.key.stream.as_str()) {
        return Err("its stream is not among `streams`".to_owned());
    }
    Ok(())
}
