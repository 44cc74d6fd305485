//! The pure heart of the engine: what is known, and what an input makes of it. No store, no clock, no lock: whoever owns it
//! hands in what it needs of the store, and commits the changes that come out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alerts::{Command, Escalations, IncidentId, Input, Policies};
use jiff::Timestamp;
use slo::counts::{MinuteId, Sli, Tally};
use slo::ledger::Tip;

use super::{Caps, Clock};
use crate::cluster::{Cluster, Name};
use crate::counts::Counts;
use crate::discovery::Service;
use crate::evaluator::{AllEpisodes, absences, is_over, judge};
use crate::specs::Specs;
use crate::store::Change;

mod cluster;
mod event_time;
mod ingest;
mod ledger;
mod retention;

pub(super) use cluster::known;
pub(super) use ingest::is_believed;
pub(crate) use ingest::{Held, HeldStream, Ingested, Terms};
pub(super) use ledger::Ladder;
pub(super) use retention::{KEPT_FROM, Sealable, sealable};

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) counts: Counts,
    /// Which SLOs services have, by documents and by what the cluster says.
    pub(super) specs: Arc<Specs>,
    /// Those of documents alone.
    pub(super) documents: Specs,
    /// Services that are known by name from the start.
    pub(super) services: BTreeSet<Name>,
    /// What the cluster says.
    pub(super) cluster: Arc<Cluster>,
    /// What keeps the cluster from saying more.
    pub(super) warnings: Vec<String>,
    pub(super) clock: Clock,
    pub(super) caps: Caps,
    /// The counts are behind the store and must be made anew before they are used.
    pub(super) stale: bool,
    /// Up to which minute (exclusive) was judged.
    pub(super) judged_to: Option<MinuteId>,
    /// The first minute that this process judged.
    pub(super) listening_since: Option<MinuteId>,
    pub(super) episodes: AllEpisodes,
    pub(super) policies: Policies,
    pub(super) escalations: Escalations,
    /// When a state that was lost was full again.
    pub(super) filled_at: Option<Timestamp>,
    /// Up to which minute (exclusive) the ledger has spoken.
    pub(super) ledger_to: Option<MinuteId>,
    /// Behind which block the next one goes.
    pub(super) tip: Tip,
    /// The books of the input.
    pub(super) tally: Tally,
    /// Whether what changes is marked for Elasticsearch.
    pub(super) exports: bool,
    /// What is told on the page: who has a wrong clock, or was refused.
    pub(super) notes: BTreeMap<String, Note>,
    /// Collectors are refused for want of a token, in words.
    pub(super) unauthorized: Option<String>,
    /// Rows of services beyond the cap were counted as unattributed.
    pub(super) overflown: Option<MinuteId>,
}

/// Something that people should know, and until when it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) text: String,
    pub(super) until: MinuteId,
}

/// Key of the minute (exclusive) up to which was judged.
pub(super) const JUDGED_TO: &str = "judged_to";

/// Minutes that a note is told after its cause was last seen.
const NOTED_FOR: i64 = 60;

/// Most notes that are kept: their causes come from outside.
const MOST_NOTES: usize = 100;

impl Core {
    /// Judges `now`, by the wall clock.
    pub(super) fn tick(&mut self, now: Timestamp, unauthorized: Option<String>) -> Vec<Change> {
        let at = MinuteId::of_timestamp(now).plus(1);
        let mut changes = self.give_up_stranded(at);
        self.counts.settle(at);
        let mut changed = self.judge(at, now, true);
        changed.extend(self.let_go(now));
        self.unauthorized = unauthorized;
        self.watch_absences(at, now);
        self.escalations.handle_timeout(now);
        self.judged_to = Some(at);
        self.notes.retain(|_, note| note.until >= at);
        changes.extend(self.decided(&changed));
        changes
    }

    /// Someone acknowledges or closes an incident; nothing where there is none.
    pub(super) fn decide(&mut self, id: &str, now: Timestamp, input: Decision) -> Option<Vec<Change>> {
        let incident = IncidentId(id.to_owned());
        self.escalations.incident(&incident)?;
        let input = match input {
            Decision::Acknowledge { by } => Input::Acknowledge { incident, by },
            Decision::Resolve { by } => Input::ResolveByHand { incident, by },
        };
        let now = self.now_or(now);
        self.escalations.handle(input, now);
        Some(self.decided(&BTreeSet::new()))
    }

    /// Other policies for what fires from now on. Nothing is sent.
    pub(super) fn set_policies(&mut self, policies: Policies) {
        self.escalations.set_policies(policies.clone());
        self.policies = policies;
    }

    /// In event time "now" is where the clock has come to.
    fn now_or(&self, wall: Timestamp) -> Timestamp {
        match (self.clock, self.judged_to) {
            (Clock::Event, Some(minute)) => minute.start(),
            _ => wall,
        }
    }

    /// What an instant decided: episodes, how far the clock has come, and what the escalation machine commanded.
    fn decided(&mut self, changed: &BTreeSet<(Service, Sli)>) -> Vec<Change> {
        let mut changes = Vec::new();
        for id in changed {
            if let Some(episodes) = self.episodes.get(id) {
                changes.push(Change::Episodes(id.0.clone(), id.1, Some(episodes.clone())));
            }
        }
        if let Some(minute) = self.judged_to {
            changes.push(Change::Meta(JUDGED_TO, minute.0.to_string()));
        }
        while let Some(command) = self.escalations.next_command() {
            changes.push(match command {
                Command::Save(incident) => Change::Incident(incident),
                Command::Notify(intent) => Change::Intent(intent),
            });
        }
        changes
    }

    /// Judges an instant and tells the escalation machine.
    fn judge(&mut self, at: MinuteId, now: Timestamp, again: bool) -> BTreeSet<(Service, Sli)> {
        let judged = judge(&self.counts, &self.specs, &mut self.episodes, at, again);
        self.hear(judged.inputs, now);
        judged.changed
    }

    fn hear(&mut self, inputs: Vec<Input>, now: Timestamp) {
        for input in inputs {
            let input = match input {
                Input::Fire(alert) => Input::Fire(self.told(alert)),
                Input::Renotify(alert) => Input::Renotify(self.told(alert)),
                other => other,
            };
            self.escalations.handle(input, now);
        }
    }

    /// Opens and closes alerts about what is not there.
    fn watch_absences(&mut self, at: MinuteId, now: Timestamp) {
        let since = *self.listening_since.get_or_insert(at);
        let mut absent = absences(&self.counts, at, since);
        absent.extend(self.overflow_alert(at));
        absent.extend(self.unauthorized_alert());
        let open = self.escalations.incidents();
        let over = open.filter(|incident| {
            !absent.contains_key(&incident.alert.key) && is_over(&self.counts, incident, at)
        });
        let over: Vec<String> = over.map(|incident| incident.alert.key.clone()).collect();
        for key in over {
            self.escalations.handle(Input::Resolve { key }, now);
        }
        for alert in absent.into_values() {
            let alert = self.told(alert);
            self.escalations.handle(Input::Fire(alert), now);
        }
    }

    /// SLOs with an open alert.
    pub(super) fn firing(&self) -> BTreeSet<(Service, Sli)> {
        let open = self.episodes.iter().filter(|(_, episodes)| episodes.is_firing());
        open.map(|(id, _)| id.clone()).collect()
    }

    /// The instant that figures are of.
    pub(super) fn shown_at(&self) -> MinuteId {
        self.judged_to.or(self.counts.read_to()).unwrap_or_default()
    }

    /// What is said of the state itself, for people.
    pub(super) fn note(&mut self, key: String, text: String, at: MinuteId) {
        if self.notes.len() < MOST_NOTES || self.notes.contains_key(&key) {
            self.notes.insert(key, Note { text, until: at.plus(NOTED_FOR) });
        }
    }
}

/// What someone does about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Takes it.
    Acknowledge {
        /// Who.
        by: String,
    },
    /// Closes it.
    Resolve {
        /// Who.
        by: String,
    },
}
