//! What the engine says in the ledger: every minute once, 15 minutes after its end; what changes later is an amendment.

use std::collections::BTreeMap;

use slo::counts::{Counts, MinuteId, Origin, ServiceRef, Sli};
use slo::ledger::{Block, Entry, EntryState, LedgerError, Tip};
use slo::series::Minute;

use super::Core;
use crate::discovery::Service;
use crate::store::Change;
use crate::store::counts::add_ladder;
use crate::store::ledger::LEDGER_TO;

/// How long after its end a minute enters the ledger, in minutes.
const ENTERS_AFTER: i64 = 15;

/// Latencies that rows or cells of a minute hold, by the name that they give the service.
pub(in super::super) type Ladder = (ServiceRef, Origin, Vec<u64>);

/// Minutes that are to be said next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Slice {
    /// Minutes in which some SLI is not idle, ascending; an idle minute between two blocks needs no word.
    pub(in super::super) minutes: Vec<MinuteId>,
    /// Up to which minute (exclusive) everything is said with these.
    pub(in super::super) to: Option<MinuteId>,
    /// More is due.
    pub(in super::super) more: bool,
}

impl Core {
    /// The next minutes that are due, at most those of `span` minutes; nothing while the ledger must wait.
    pub(in super::super) fn due(&self, span: i64) -> Option<Slice> {
        let judged = self.judged_to.filter(|judged| !self.waits_for_collectors(*judged))?;
        let due = judged.plus(-ENTERS_AFTER);
        let first = self.counts.first()?;
        let from = self.ledger_to.unwrap_or(first).max(first);
        let mut slice = Slice::default();
        if from < due {
            let start = self.next_busy(from, due).unwrap_or(due);
            let to = start.plus(span).min(due);
            slice = Slice { minutes: self.busy_minutes(start, to), to: Some(to), more: to < due };
        }
        Some(slice)
    }

    /// Nothing but the collectors tells how far they have read, so after a refill the ledger waits for them, for as long as a
    /// minute waits to enter it.
    fn waits_for_collectors(&self, judged: MinuteId) -> bool {
        let filled = self.filled_at.map(MinuteId::of_timestamp);
        filled.is_some_and(|filled| judged < filled.plus(ENTERS_AFTER)) && self.counts.lacks_word(judged)
    }

    fn next_busy(&self, from: MinuteId, to: MinuteId) -> Option<MinuteId> {
        let all = self.counts.counted().flat_map(|(_, _, source)| Sli::ALL.map(|sli| source.series(sli)));
        all.flatten().filter_map(|series| series.busy(from, to).next()).map(|(minute, _)| minute).min()
    }

    /// Minutes in which some SLI is not idle.
    fn busy_minutes(&self, from: MinuteId, to: MinuteId) -> Vec<MinuteId> {
        let mut busy = vec![false; usize::try_from(to.0 - from.0).unwrap_or_default()];
        let all = self.counts.counted().flat_map(|(_, _, source)| Sli::ALL.map(|sli| source.series(sli)));
        for (minute, _) in all.flatten().flat_map(|series| series.busy(from, to)) {
            busy[(minute.0 - from.0) as usize] = true;
        }
        (from.0..).zip(busy).filter(|(_, busy)| *busy).map(|(minute, _)| MinuteId(minute)).collect()
    }

    /// Says a minute: what is not idle the first time, afterwards only what changed since `said`, and nothing when nothing
    /// did.
    pub(in super::super) fn say(
        &mut self,
        minute: MinuteId,
        said: &[Block],
        ladders: Vec<Ladder>,
    ) -> Result<Vec<Change>, LedgerError> {
        let entries = self.entries(minute, ladders);
        let Some(block) = block(self.tip, minute, said, entries)? else { return Ok(Vec::new()) };
        self.tip = Tip { next: self.tip.next + 1, hash: block.hash() };
        Ok(vec![Change::Block(block)])
    }

    /// Everything before a minute is said.
    pub(in super::super) fn said_to(&mut self, to: Option<MinuteId>) -> Vec<Change> {
        let Some(to) = to.filter(|to| self.ledger_to.is_none_or(|said| said < *to)) else {
            return Vec::new();
        };
        self.ledger_to = Some(to);
        vec![Change::Meta(LEDGER_TO, to.0.to_string())]
    }

    fn entries(&self, minute: MinuteId, ladders: Vec<Ladder>) -> Vec<Entry> {
        let ladders = self.by_service(ladders);
        let mut entries = Vec::new();
        for (service, _, source) in self.counts.counted() {
            for sli in Sli::ALL {
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

    fn by_service(&self, ladders: Vec<Ladder>) -> BTreeMap<Service, Vec<u64>> {
        let mut by_service: BTreeMap<Service, Vec<u64>> = BTreeMap::new();
        for (name, origin, ladder) in ladders {
            let service = self.counts.known.resolve(&name);
            let counted = self.counts.service(&service).is_some_and(|(counted, _)| counted == origin);
            if counted {
                add_ladder(by_service.entry(service).or_default(), &ladder);
            }
        }
        by_service
    }
}

/// The block that says a minute. An SLO without a word was idle; so was one that was said and is not among the entries any
/// more: its requests count for another name.
fn block(
    tip: Tip,
    minute: MinuteId,
    said: &[Block],
    entries: Vec<Entry>,
) -> Result<Option<Block>, LedgerError> {
    let table = slo::ledger::table(said);
    let is_news = |entry: &Entry| match table.get(&(minute, entry.service.clone(), entry.sli)) {
        Some(word) => word != entry,
        None => entry.minute() != Minute::IDLE,
    };
    let is_said =
        |service: &str, sli| entries.iter().any(|entry| entry.service == service && entry.sli == sli);
    let moved =
        table.values().filter(|word| word.minute() != Minute::IDLE && !is_said(&word.service, word.sli));
    let moved: Vec<Entry> = moved.map(idle).collect();
    let news: Vec<Entry> = entries.into_iter().filter(is_news).chain(moved).collect();
    if news.is_empty() {
        return Ok(None);
    }
    let amendment = u32::try_from(said.len()).unwrap_or(u32::MAX);
    Block::new(tip, minute, amendment, news).map(Some)
}

fn idle(word: &Entry) -> Entry {
    let (service, sli) = (word.service.clone(), word.sli);
    Entry { service, sli, state: EntryState::Read, counts: Counts::default(), ladder: Vec::new() }
}

fn word(minute: Minute) -> EntryState {
    match minute {
        Minute::Read(_) => EntryState::Read,
        Minute::Partial(_) => EntryState::Partial,
        Minute::Unmeasured => EntryState::Unmeasured,
        Minute::Excluded => EntryState::Excluded,
    }
}
