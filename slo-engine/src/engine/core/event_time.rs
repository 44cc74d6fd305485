//! The time of the events: minutes are judged at their ends, each once, in order; between two of them at which something may
//! change the clock jumps.

use std::collections::{BTreeMap, BTreeSet};

use slo::counts::{MinuteId, Sli};
use slo::silence::first_silent;

use super::Core;
use crate::discovery::Service;
use crate::evaluator::judge_some;
use crate::store::Change;

/// What is to be looked at next, and when.
#[derive(Debug)]
pub(in super::super) struct Looks {
    target: MinuteId,
    slos: BTreeMap<MinuteId, BTreeSet<(Service, Sli)>>,
    silences: BTreeMap<MinuteId, BTreeSet<Service>>,
}

impl Core {
    /// The newest minute that is an event, by lines up to `newest_ms`; and the first one to judge. A line may claim any time,
    /// so the few that claim to be after `limit` are not the newest event; when many do, it is the clock that is wrong.
    pub(in super::super) fn limit(&self, limit: MinuteId) -> MinuteId {
        if self.counts.is_mostly_after(limit) { MinuteId::of_timestamp(jiff::Timestamp::MAX) } else { limit }
    }

    /// Begins to judge every minute that has not been judged, up to `newest`.
    pub(in super::super) fn begin_judging(&mut self, newest: MinuteId) -> Option<Looks> {
        let first = self.counts.first()?;
        let target = newest.plus(1);
        self.counts.settle(target);
        let at = self.judged_to.map_or(first, |judged| judged.max(first)).plus(1);
        let mut looks = Looks { target, slos: BTreeMap::new(), silences: BTreeMap::new() };
        if at <= target {
            let all =
                self.counts.judged().flat_map(|(service, ..)| Sli::ALL.map(|sli| (service.clone(), sli)));
            looks.slos.insert(at, all.collect());
            looks.silences.insert(at, self.counts.judged().map(|(service, ..)| service.clone()).collect());
        }
        Some(looks)
    }

    /// Judges the next instant at which something may change; nothing when everything is judged. The clock has come there
    /// then, or to the last minute.
    pub(in super::super) fn judge_next(&mut self, looks: &mut Looks) -> Option<Vec<Change>> {
        let next = [
            looks.slos.first_key_value().map(|(at, _)| *at),
            looks.silences.first_key_value().map(|(at, _)| *at),
        ];
        let at = next.into_iter().flatten().min().filter(|at| *at <= looks.target);
        let judged_to = self.judged_to;
        let Some(at) = at else {
            self.run_timers(looks.target);
            self.judged_to = judged_to.max(Some(looks.target));
            let changes = self.decided(&BTreeSet::new());
            return (self.judged_to != judged_to || changes.len() > 1).then_some(changes);
        };
        self.run_timers(at);
        let now = at.start();
        let due = looks.slos.remove(&at).unwrap_or_default();
        let (judged, next) = judge_some(&self.counts, &self.specs, &mut self.episodes, at, &due);
        self.hear(judged.inputs, now);
        for (look, id) in next.into_iter().filter(|(look, _)| *look <= looks.target) {
            looks.slos.entry(look).or_default().insert(id);
        }
        if let Some(services) = looks.silences.remove(&at) {
            self.watch_absences(at, now);
            for service in services {
                if let Some(look) = self.next_silence(&service, at, looks.target) {
                    looks.silences.entry(look).or_default().insert(service);
                }
            }
        }
        self.judged_to = Some(at);
        Some(self.decided(&judged.changed))
    }

    /// Escalation steps that fall due up to a minute's end, each at its own time.
    fn run_timers(&mut self, at: MinuteId) {
        while let Some(due) = self.escalations.poll_timeout().filter(|due| *due <= at.start()) {
            self.escalations.handle_timeout(due);
        }
    }

    /// When a service may begin or end to be silent, after `at`.
    fn next_silence(&self, service: &Service, at: MinuteId, target: MinuteId) -> Option<MinuteId> {
        let series = self.counts.service(service)?.1.series(Sli::Availability)?;
        let is_silent = slo::silence::silent_since(series, at).is_some();
        let begins = if is_silent { None } else { first_silent(series, at.plus(1), target) };
        // A silence ends with a request.
        let ends = series.busy(at, target).next().filter(|_| is_silent).map(|(minute, _)| minute.plus(1));
        begins.or(ends)
    }
}
