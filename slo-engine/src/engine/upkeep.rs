//! What the writer does of its own accord, a slice at a time so that nobody waits long: says what is due in the ledger,
//! folds rows into cells, forgets what no window reaches.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use slo::cells::HourBlock;
use slo::counts::{MinuteId, Sli};

use super::EngineError;
use super::core::{Core, Ladder, Sealable, sealable};
use crate::store::{self, Change, StoreError, Transaction, alerts, counts as rows, ledger, reading, seals};

/// Minutes of the ledger that are looked at at once by the wall clock.
const SLICE_MINUTES: i64 = 10;

/// The same in event time, where nobody waits.
const EVENT_SLICE_MINUTES: i64 = 1000;

/// Minutes of the ledger that a tick says, and entries of SLOs in them, so that it is not held up for long: some hundred
/// milliseconds of them.
const MINUTES_A_TICK: usize = 1000;
const ENTRIES_A_TICK: usize = 20_000;

/// Amendments that are read at once.
const AMENDMENTS: i64 = 20;

/// How long after their end minutes fold: until then rows may come in another cut.
const FOLDS_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// How long rows wait for an Elasticsearch that is away before they fold without it.
const WAITS_FOR_EXPORT: SignedDuration = SignedDuration::from_hours(72);

/// Says what is due, as much as a tick may be held up for.
pub(super) async fn say_some(core: &mut Core, tx: &mut Transaction) -> Result<(), EngineError> {
    let series = core.counts.counted().count() * Sli::ALL.len();
    let mut said = 0;
    while let Said { minutes, more: true } = say(core, tx, SLICE_MINUTES).await? {
        said += minutes;
        if said >= MINUTES_A_TICK || said * series >= ENTRIES_A_TICK {
            break;
        }
    }
    Ok(())
}

/// Says everything that is due.
pub(super) async fn say_all(core: &mut Core, tx: &mut Transaction) -> Result<(), EngineError> {
    while say(core, tx, EVENT_SLICE_MINUTES).await?.more {}
    Ok(())
}

/// What one slice of the ledger said.
struct Said {
    minutes: usize,
    more: bool,
}

/// Says some of what is due, amendments first; whether there is more.
async fn say(core: &mut Core, tx: &mut Transaction, span: i64) -> Result<Said, EngineError> {
    let Some(slice) = core.due(span) else { return Ok(Said { minutes: 0, more: false }) };
    let mut cells = Cells::default();
    let amendments = ledger::amendments(tx, AMENDMENTS).await?;
    // What was forgotten meanwhile has its last word.
    let kept = core.counts.kept_from();
    for &minute in amendments.iter().filter(|minute| kept.is_none_or(|kept| kept <= **minute)) {
        let said = ledger::blocks_between(tx, minute, minute.plus(1)).await?;
        let ladders = cells.ladders(tx, minute).await?;
        let changes = core.say(minute, &said, ladders).map_err(reading("ledger"))?;
        store::apply(tx, &changes).await?;
    }
    if !amendments.is_empty() {
        let minutes = amendments.len();
        store::apply(tx, &[Change::Amended(amendments)]).await?;
        return Ok(Said { minutes, more: true });
    }
    let minutes = slice.minutes.len();
    for minute in slice.minutes {
        let ladders = cells.ladders(tx, minute).await?;
        let changes = core.say(minute, &[], ladders).map_err(reading("ledger"))?;
        store::apply(tx, &changes).await?;
    }
    let changes = core.said_to(slice.to);
    store::apply(tx, &changes).await?;
    Ok(Said { minutes, more: slice.more })
}

/// The cells of the hour that was asked for last.
#[derive(Debug, Default)]
struct Cells {
    hour: Option<i64>,
    block: Option<HourBlock>,
}

impl Cells {
    /// Latencies that rows and cells of a minute hold.
    async fn ladders(&mut self, tx: &mut Transaction, minute: MinuteId) -> Result<Vec<Ladder>, StoreError> {
        let rows = rows::rows_between(tx, minute, minute.plus(1)).await?;
        let latencies = rows.into_iter().filter(|row| row.row.key.sli == Sli::Latency);
        let mut ladders: Vec<Ladder> = latencies
            .map(|stored| (stored.row.key.service, stored.row.key.origin, stored.row.ladder))
            .collect();
        let hour = minute.0.div_euclid(60);
        if self.hour != Some(hour) {
            self.block = rows::cells(tx, hour).await?;
            self.hour = Some(hour);
        }
        for (key, hour) in self.block.iter().flat_map(|block| &block.series) {
            if let (Sli::Latency, Some(cell)) = (key.sli, hour.minutes.get(&minute)) {
                ladders.push((key.service.clone(), key.origin, cell.ladder.clone()));
            }
        }
        Ok(ladders)
    }
}

/// Folds and forgets some of what is due; whether there is more.
pub(super) async fn look(core: &mut Core, tx: &mut Transaction, now: Timestamp) -> Result<bool, EngineError> {
    let before =
        |span: SignedDuration| MinuteId::of_timestamp(now.checked_sub(span).unwrap_or(Timestamp::MIN));
    let folded = rows::fold(tx, before(FOLDS_AFTER), before(WAITS_FOR_EXPORT)).await?;
    let mut unsealed = None;
    // Of a month before the first count there is nothing to seal.
    let first = core.counts.first();
    for Sealable { month, span } in sealable(now) {
        let has_counts = first.is_some_and(|first| first < span.to);
        if has_counts && seals::latest(tx, &month).await?.is_none() {
            unsealed = Some(span.from);
        }
    }
    let keep = core.keep(now, unsealed);
    rows::forget_rows(tx, keep.minutes).await?;
    let streams = rows::forget_streams(tx, keep.minutes.start().as_millisecond()).await?;
    let collectors = core.counts.silent_collectors(keep.minutes);
    for collector in &collectors {
        rows::forget_collector(tx, collector).await?;
    }
    let incidents = alerts::forget_incidents(tx, keep.incidents, keep.most_incidents).await?;
    let changes = core.forget(keep.minutes, &streams, &collectors);
    store::apply(tx, &changes).await?;
    Ok(folded.more || !streams.is_empty() || incidents > 0)
}

#[expect(clippy::disallowed_methods, reason = "what is paced by it decides nothing")]
pub(super) fn instant() -> Instant {
    Instant::now()
}

pub(super) fn elapsed(since: Instant) -> Duration {
    instant().duration_since(since)
}
