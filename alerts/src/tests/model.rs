//! A plain model of escalation against the machine, with the machine restarted before every step.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;

use super::{alert, at, channels, intents, policy, step, take};
use crate::{
    Command, Escalations, Incident, IncidentId, Input, Intent, Kind, Policies, PoliciesConfig, Severity,
};

/// What happens to one of the keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Fire(Severity),
    Renotify(Severity),
    Resolve,
    Acknowledge,
    ResolveByHand,
}

/// Steps as (seconds after the loop's start, targets), and (number of loops, seconds from loop to loop).
const PAGE: (&[(i64, &[&str])], i64, i64) = (&[(0, &["a"]), (600, &["b", "c"])], 2, 1_500);
const TICKET: (&[(i64, &[&str])], i64, i64) = (&[(300, &["team"])], 2, 1_200);

pub(super) fn policies() -> Policies {
    let prove = |(steps, loops, every): (&[(i64, &[&str])], i64, i64)| {
        let steps = steps.iter().map(|(after, targets)| step(*after, targets)).collect();
        Some(policy(steps, u32::try_from(loops - 1).unwrap(), every))
    };
    PoliciesConfig { page: prove(PAGE), ticket: prove(TICKET), routes: vec![] }.prove(&channels()).unwrap()
}

pub(super) fn history() -> impl Strategy<Value = Vec<(i64, usize, Op)>> {
    let severity = prop_oneof![Just(Severity::Page), Just(Severity::Ticket)];
    let op = prop_oneof![
        3 => severity.clone().prop_map(Op::Fire),
        2 => severity.prop_map(Op::Renotify),
        2 => Just(Op::Resolve),
        2 => Just(Op::Acknowledge),
        1 => Just(Op::ResolveByHand),
    ];
    prop::collection::vec((0i64..1_000, 0usize..3, op), 1..40)
}

/// The input that `op` means, given the open incident of `key` if there is one.
pub(super) fn input(op: Op, key: &str, open: Option<&Incident>) -> Input {
    let incident = open.map_or(IncidentId("none".into()), |incident| incident.id.clone());
    match op {
        Op::Fire(severity) => Input::Fire(alert(key, severity)),
        Op::Renotify(severity) => Input::Renotify(alert(key, severity)),
        Op::Resolve => Input::Resolve { key: key.into() },
        Op::Acknowledge => Input::Acknowledge { incident, by: "ann".into() },
        Op::ResolveByHand => Input::ResolveByHand { incident, by: "ann".into() },
    }
}

// === the model ===

type Told = (Timestamp, Kind, &'static str);

/// One key, as a list of what is still planned. Without a severity nothing is open.
#[derive(Default)]
struct Key {
    severity: Option<Severity>,
    acknowledged: bool,
    /// Who is told when; `None` begins a loop.
    plan: Vec<(Timestamp, Option<&'static [&'static str]>)>,
    reached: Vec<&'static str>,
    receivers: Vec<&'static str>,
    told: Vec<Told>,
}

impl Key {
    fn run_until(&mut self, now: Timestamp) {
        while self.plan.first().is_some_and(|(due, _)| *due <= now) {
            match self.plan.remove(0) {
                (_, None) => self.reached.clear(),
                (due, Some(targets)) => targets.iter().for_each(|target| self.trigger(target, due)),
            }
        }
    }

    fn trigger(&mut self, target: &'static str, now: Timestamp) {
        self.told.push((now, Kind::Trigger, target));
        self.reached.push(target);
        if !self.receivers.contains(&target) {
            self.receivers.push(target);
        }
    }

    fn begin(&mut self, severity: Severity, now: Timestamp) {
        let (steps, loops, every) = if severity == Severity::Page { PAGE } else { TICKET };
        (self.severity, self.acknowledged, self.plan) = (Some(severity), false, vec![]);
        for start in (0..loops).map(|i| now.as_second() + i * every) {
            let due = |after: i64| Timestamp::from_second(start + after).unwrap();
            self.plan.push((due(0), None));
            self.plan.extend(steps.iter().map(|(after, targets)| (due(*after), Some(*targets))));
        }
        self.run_until(now);
    }

    fn apply(&mut self, op: Op, now: Timestamp) {
        match (op, self.severity) {
            (Op::Fire(new) | Op::Renotify(new), None) => self.begin(new, now),
            (Op::Fire(new) | Op::Renotify(new), Some(old)) if new > old => self.begin(new, now),
            (Op::Renotify(_), Some(old)) if self.acknowledged => self.begin(old, now),
            (Op::Renotify(_), Some(_)) => {
                let reached = std::mem::take(&mut self.reached);
                reached.into_iter().for_each(|target| self.trigger(target, now));
            }
            (Op::Acknowledge, Some(_)) if !self.acknowledged => {
                self.acknowledged = true;
                self.plan.clear();
                self.told.extend(self.receivers.iter().map(|target| (now, Kind::Acknowledge, *target)));
            }
            (Op::Resolve | Op::ResolveByHand, Some(_)) => {
                let told = std::mem::take(&mut self.told);
                let ends = self.receivers.iter().map(|target| (now, Kind::Resolve, *target));
                *self = Key { told: told.into_iter().chain(ends).collect(), ..Key::default() };
            }
            _ => {}
        }
    }
}

// === the machine ===

/// A machine that is restarted from what was saved before every call, beside one that never is.
struct Rig {
    steady: Escalations,
    saved: BTreeMap<IncidentId, Incident>,
    intents: Vec<Intent>,
}

impl Rig {
    fn call(&mut self, mut call: impl FnMut(&mut Escalations)) {
        let mut reborn = Escalations::restore(policies(), self.saved.values().cloned());
        assert_eq!(reborn.next_command(), None, "a restart commands something");
        assert_eq!(reborn.poll_timeout(), self.steady.poll_timeout());
        call(&mut self.steady);
        call(&mut reborn);
        let commands = take(&mut self.steady);
        assert_eq!(take(&mut reborn), commands, "a restart changes what is commanded");
        self.intents.extend(intents(&commands));
        for command in commands {
            if let Command::Save(incident) = command {
                self.saved.insert(incident.id.clone(), incident);
            }
        }
    }

    fn run_until(&mut self, now: Timestamp) {
        while let Some(due) = self.steady.poll_timeout().filter(|due| *due <= now) {
            self.call(|machine| machine.handle_timeout(due));
        }
    }

    /// What was told about `key`, one entry a target.
    fn told(&self, key: &str) -> Vec<(Timestamp, Kind, String)> {
        let told =
            self.intents.iter().filter(|intent| intent.alert.key == key && intent.channel.0 == "pager");
        told.map(|intent| (intent.created_at, intent.kind, intent.target.clone())).collect()
    }
}

proptest! {
    #[test]
    fn the_machine_tells_what_the_model_tells_and_a_restart_at_any_point_changes_nothing(history in history()) {
        let mut rig = Rig { steady: Escalations::new(policies()), saved: BTreeMap::new(), intents: vec![] };
        let mut model: [Key; 3] = Default::default();
        let mut now = at(0);
        for (wait, index, op) in history {
            now = Timestamp::from_second(now.as_second() + wait).unwrap();
            rig.run_until(now);
            model.iter_mut().for_each(|key| key.run_until(now));
            let name = format!("k{index}");
            let input = input(op, &name, rig.steady.incidents().find(|incident| incident.alert.key == name));
            rig.call(|machine| machine.handle(input.clone(), now));
            model[index].apply(op, now);
        }
        rig.run_until(at(1_000_000));
        for (index, key) in model.iter_mut().enumerate() {
            key.run_until(at(1_000_000));
            let want: Vec<_> = key.told.iter().map(|(at, kind, target)| (*at, *kind, (*target).to_owned())).collect();
            prop_assert_eq!(rig.told(&format!("k{index}")), want);
        }
        let ids: BTreeSet<_> = rig.intents.iter().map(|intent| &intent.id).collect();
        prop_assert_eq!(ids.len(), rig.intents.len(), "two messages with one id");
    }
}
