//! What the engine says in the ledger: every minute once, 15 minutes after its end; what changes later is an amendment.

use std::collections::BTreeMap;

use slo::counts::{CountsRequest, MinuteId, Sli};
use slo::ledger::{Entry, EntryState};
use slo::series::Minute;

use super::State;
use crate::discovery::Service;
use crate::figures::SLIS;
use crate::store::{self, StoreError, Transaction, counts as rows, ledger};

/// How long after its end a minute enters the ledger, in minutes.
pub(super) const ENTERS_AFTER: i64 = 15;

/// Key of the minute (exclusive) up to which the ledger has spoken.
const LEDGER_TO: &str = "ledger_to";

/// Latency ladders of one minute, by service.
type Ladders = BTreeMap<Service, Vec<u64>>;

impl State {
    /// Appends the minutes that are due, and the amendments.
    pub(super) async fn write_ledger(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        let Some(judged) = self.judged_to.filter(|judged| !self.waits_for_collectors(*judged)) else {
            return Ok(());
        };
        let due = judged.plus(-ENTERS_AFTER);
        let Some(first) = self.counts.first() else { return Ok(()) };
        let from = said_to(tx).await?.unwrap_or(first);
        let mut minutes = ledger::take_amendments(tx).await?;
        minutes.extend(self.busy_minutes(from, due));
        let mut tip = ledger::tip(tx).await?;
        for minute in minutes {
            let ladders = self.ladders(tx, minute).await?;
            tip = ledger::say(tx, tip, minute, self.entries(minute, &ladders)).await?;
        }
        if from < due {
            store::set_meta(tx, LEDGER_TO, &due.0.to_string()).await?;
        }
        Ok(())
    }

    /// Nothing but the collectors tells how far they have read, so after a refill the ledger waits for them, for as long as a
    /// minute waits to enter it.
    fn waits_for_collectors(&self, judged: MinuteId) -> bool {
        let filled = self.filled_at.map(MinuteId::of_timestamp);
        filled.is_some_and(|filled| judged < filled.plus(ENTERS_AFTER)) && self.counts.lacks_word(judged)
    }

    /// Minutes in which some SLI is not idle; an idle minute between two blocks needs no word.
    fn busy_minutes(&self, from: MinuteId, to: MinuteId) -> Vec<MinuteId> {
        let all = self.counts.counted().flat_map(|(_, _, source)| SLIS.map(|sli| source.series(sli)));
        let mut minutes: Vec<MinuteId> =
            all.flatten().flat_map(|series| series.busy(from, to).map(|(minute, _)| minute)).collect();
        minutes.sort_unstable();
        minutes.dedup();
        minutes
    }

    fn entries(&self, minute: MinuteId, ladders: &Ladders) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (service, _, source) in self.counts.counted() {
            for sli in SLIS {
                let Some(state) = source.series(sli).and_then(|series| series.get(minute)) else { continue };
                let ladder = if sli == Sli::Latency { ladders.get(service).cloned() } else { None };
                entries.push(Entry {
                    service: service.to_string(),
                    sli,
                    state: word(state),
                    counts: state.counts(),
                    ladder: ladder.unwrap_or_default(),
                });
            }
        }
        entries
    }

    async fn ladders(&self, tx: &mut Transaction, minute: MinuteId) -> Result<Ladders, StoreError> {
        let mut ladders = Ladders::new();
        for stored in rows::rows_of_minute(tx, minute).await? {
            let service = self.counts.known.resolve(&stored.row.key.service);
            let counted =
                self.counts.service(&service).is_some_and(|(origin, _)| origin == stored.row.key.origin);
            if counted && stored.row.key.sli == Sli::Latency {
                rows::add_ladder(ladders.entry(service).or_default(), &stored.row.ladder);
            }
        }
        Ok(ladders)
    }
}

/// Notes the minutes of `range` that the ledger has already spoken of.
pub(super) async fn amend(
    tx: &mut Transaction,
    minutes: impl IntoIterator<Item = MinuteId>,
) -> Result<(), StoreError> {
    let Some(said) = said_to(tx).await? else { return Ok(()) };
    for minute in minutes {
        if minute < said {
            ledger::note_amendment(tx, minute).await?;
        }
    }
    Ok(())
}

/// Notes the minutes, already spoken of, that the first watermark of a collector decides.
pub(super) async fn amend_undecided(tx: &mut Transaction, request: &CountsRequest) -> Result<(), StoreError> {
    let (Some(watermark), Some(from)) =
        (request.watermark_ms, rows::first_undecided(tx, &request.collector).await?)
    else {
        return Ok(());
    };
    ledger::note_amendments(tx, MinuteId(from), MinuteId::of_ms(watermark)).await
}

async fn said_to(tx: &mut Transaction) -> Result<Option<MinuteId>, StoreError> {
    Ok(store::meta(tx, LEDGER_TO).await?.and_then(|text| text.parse().ok()).map(MinuteId))
}

fn word(minute: Minute) -> EntryState {
    match minute {
        Minute::Read(_) => EntryState::Read,
        Minute::Partial(_) => EntryState::Partial,
        Minute::Unmeasured => EntryState::Unmeasured,
        Minute::Excluded => EntryState::Excluded,
    }
}
