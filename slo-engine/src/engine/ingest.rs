//! Rows on their way in: what is refused, and what memory makes of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use slo::counts::{CountRow, CountsRequest, MinuteId, Sli, StreamReport, Tally};

use super::cluster::known;
use super::{Clock, EngineError, State};
use crate::cluster::Cluster;
use crate::counts::{Counts, KEEP_UNMEASURED_MINUTES};
use crate::specs::Specs;
use crate::store::counts::{self as rows, Ingested};
use crate::store::{self, StoreError, Transaction};

/// Largest count and offset: 256 TiB.
const LARGEST: u64 = 1 << 48;

/// Refuses rows that break the contract; the error names the row.
pub(super) fn check(request: &CountsRequest) -> Result<(), String> {
    if request.collector.is_empty() {
        return Err("`collector` is empty; every collector has a name of its own".to_owned());
    }
    if request.edges_us.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("`edges_us` must ascend strictly".to_owned());
    }
    if request.watermark_ms.into_iter().chain(request.archived_to_ms).any(|ms| !is_instant(ms)) {
        return Err("`watermark_ms` or `archived_to_ms` is no instant of the years -9999 to 9999".to_owned());
    }
    for report in &request.streams {
        check_report(report).map_err(|why| format!("stream {}: {why}", report.stream))?;
    }
    request.rows.iter().enumerate().try_for_each(|(index, row)| {
        check_row(row, request).map_err(|why| format!("rows[{index}], stream {}: {why}", row.key.stream))
    })
}

/// Refuses what follows on something else than is held: it was sent to a state that is lost, or cuts through bytes that were
/// counted meanwhile. Whoever names no state is taken as it comes.
pub(super) async fn check_follows(tx: &mut Transaction, request: &CountsRequest) -> Result<(), EngineError> {
    let Some(known) = &request.store else { return Ok(()) };
    if *known != store::identity(tx).await? {
        let why = "this engine's state is not the one that the counts follow on: it was lost, or another engine answers";
        return Err(EngineError::HeldOtherwise(why.to_owned()));
    }
    for StreamReport { stream, range, .. } in &request.streams {
        if let Some(held) = rows::cut_through(tx, stream, *range).await? {
            let why = format!(
                "of stream {stream} the bytes {} to {} are counted, {} to {} would count some of them twice",
                held.start, held.end, range.start, range.end
            );
            return Err(EngineError::HeldOtherwise(why));
        }
    }
    Ok(())
}

fn check_report(report: &StreamReport) -> Result<(), String> {
    if report.range.start > report.range.end {
        return Err("`range` ends before it starts".to_owned());
    }
    if report.newest_ms.into_iter().chain(report.oldest_ms).any(|ms| !is_instant(ms)) {
        return Err("`newest_ms` or `oldest_ms` is no instant of the years -9999 to 9999".to_owned());
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

fn check_row(row: &CountRow, request: &CountsRequest) -> Result<(), String> {
    if row.range.start >= row.range.end {
        return Err("`range` is empty or ends before it starts".to_owned());
    }
    if !row.key.minute.0.checked_mul(60_000).is_some_and(is_instant) {
        return Err(format!("minute {} is not of the years -9999 to 9999", row.key.minute.0));
    }
    check_numbers(&[row.range.end, row.counts.total, row.counts.excluded])?;
    check_numbers(&row.ladder)?;
    if row.counts.bad > row.counts.total {
        return Err(format!("{} bad of {} requests", row.counts.bad, row.counts.total));
    }
    if row.key.sli == Sli::Latency {
        let (want, found) = (request.edges_us.len() + 1, row.ladder.len());
        if want != found || row.ladder.iter().sum::<u64>() != row.counts.total {
            return Err(format!(
                "the ladder has {found} buckets that add up to {}, expected {want} that add up to {}",
                row.ladder.iter().sum::<u64>(),
                row.counts.total
            ));
        }
    }
    if !request.streams.iter().any(|report| report.stream == row.key.stream) {
        return Err("its stream is not among `streams`".to_owned());
    }
    Ok(())
}

/// Minutes that the request may have changed: those of its rows, and those that its collector had not read before.
pub(super) fn touched(
    request: &CountsRequest,
    ingested: &Ingested,
    read_before: Option<i64>,
) -> Vec<MinuteId> {
    let all = ingested.replaced.then(|| request.rows.iter()).into_iter().flatten();
    let added = ingested.added.iter().map(|&index| &request.rows[index]);
    let mut minutes: Vec<MinuteId> = all.chain(added).map(|row| row.key.minute).collect();
    if let (Some(before), Some(now)) = (read_before, request.watermark_ms) {
        let (before, now) = (MinuteId::of_ms(before), MinuteId::of_ms(now));
        let from = before.max(now.plus(-KEEP_UNMEASURED_MINUTES));
        minutes.extend((from.0..now.0).map(MinuteId));
    }
    minutes
}

/// Makes the counts anew from the store.
pub(super) async fn load(
    tx: &mut Transaction,
    specs: &Specs,
    services: &BTreeSet<(String, String)>,
    cluster: Arc<Cluster>,
    clock: Clock,
) -> Result<Counts, StoreError> {
    let mut known = known(services, &cluster);
    known.namespaces.extend(rows::namespaces(tx).await?);
    let stored = rows::all_rows(tx).await?;
    for row in &stored {
        known.learn(&row.row.key.service);
    }
    let mut counts = Counts::new(known, clock == Clock::Event);
    for (stream, collector) in rows::owners(tx).await? {
        counts.sends(&collector, &stream);
    }
    for collector in rows::all_collectors(tx).await? {
        if let Some(watermark) = collector.watermark_ms {
            counts.read(&collector.collector, MinuteId::of_ms(watermark));
        }
        counts.archived(&collector.collector, collector.archived_to_ms);
        if let Some(node) = &collector.node {
            counts.runs_on(&collector.collector, node);
        }
        if let Some(at) = collector.gone {
            counts.give_up(&collector.collector, at);
        }
    }
    for row in &stored {
        counts.add(&row.row, &row.edges_us, specs, row.partial);
    }
    counts.expect(cluster);
    Ok(counts)
}

impl State {
    /// Brings memory in step with rows that were just committed, or marks it stale where adding is not enough.
    /// The streams `kept` go on being sent by whom they were.
    pub(super) fn take(&mut self, request: &CountsRequest, ingested: &Ingested, kept: &BTreeSet<String>) {
        self.stale |= ingested.replaced || self.learn(request);
        if self.stale {
            return;
        }
        for report in request.streams.iter().filter(|report| !kept.contains(&report.stream)) {
            self.counts.sends(&request.collector, &report.stream);
        }
        for &index in &ingested.added {
            self.counts.add(&request.rows[index], &request.edges_us, &self.specs, false);
        }
        if let Some(watermark) = request.watermark_ms {
            self.counts.read(&request.collector, MinuteId::of_ms(watermark));
        }
        self.counts.archived(&request.collector, ingested.archived_to_ms);
        if let Some(node) = &request.node {
            self.counts.runs_on(&request.collector, node);
        }
    }

    /// Whether the request teaches something that may change which service earlier rows belong to.
    fn learn(&self, request: &CountsRequest) -> bool {
        let known = &self.counts.known;
        let namespace = |name: &String| !known.namespaces.contains(name);
        request.streams.iter().filter_map(|report| report.namespace.as_ref()).any(namespace)
            || request.rows.iter().any(|row| known.is_news(&row.key.service))
    }
}
