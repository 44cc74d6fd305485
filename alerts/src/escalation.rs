//! The escalation machine: inputs and time in, commands out; no I/O, no clock, the same code live and in a simulation.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::alert::{Alert, Input};
use crate::id::IncidentId;
use crate::incident::Incident;
use crate::intent::Intent;
use crate::policy::Policies;

/// What the owner of the machine must do.
///
/// All commands that follow from one call of `handle` or `handle_timeout` are committed in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Keep this incident, in place of what was kept under its id.
    Save(Incident),
    /// Add this intent to the outbox.
    Notify(Intent),
}

/// All open incidents. After each call take every [`Escalations::next_command`] and commit them together.
#[derive(Clone, Debug)]
pub struct Escalations {
    policies: Policies,
    /// Open incidents by alert key. Invariant: none is resolved.
    open: BTreeMap<String, Incident>,
    /// The latest episode of every key.
    episodes: BTreeMap<String, u32>,
    commands: VecDeque<Command>,
}

impl Escalations {
    /// A machine with no incidents.
    pub fn new(policies: Policies) -> Escalations {
        Escalations::restore(policies, [])
    }

    /// A machine that goes on from what was saved: all open incidents and, so that episodes count on, the latest
    /// resolved one of each key. It commands nothing until there is an input or a deadline passes.
    pub fn restore(policies: Policies, incidents: impl IntoIterator<Item = Incident>) -> Escalations {
        let mut machine = Escalations {
            policies,
            open: BTreeMap::new(),
            episodes: BTreeMap::new(),
            commands: VecDeque::new(),
        };
        for incident in incidents {
            let episode = machine.episodes.entry(incident.alert.key.clone()).or_default();
            *episode = incident.episode.max(*episode);
            if incident.is_open() {
                machine.open.insert(incident.alert.key.clone(), incident);
            }
        }
        machine
    }

    /// Takes new policies. Nothing is sent, and open incidents keep the policy under which they run.
    pub fn set_policies(&mut self, policies: Policies) {
        self.policies = policies;
    }

    /// Takes one input. Inputs about an incident that is not open (any more) change nothing.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Fire(alert) => self.fire(alert, now),
            Input::Renotify(alert) => self.renotify(alert, now),
            Input::Resolve { key } => self.resolve(&key, None, now),
            Input::Acknowledge { incident, by } => self.acknowledge(&incident, by, now),
            Input::ResolveByHand { incident, by } => {
                if let Some(key) = self.incident(&incident).map(|incident| incident.alert.key.clone()) {
                    self.resolve(&key, Some(by), now);
                }
            }
        }
    }

    /// Runs what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for incident in self.open.values_mut() {
            if incident.next_step_at.is_some_and(|due| due <= now) {
                let intents = incident.advance(now);
                command(&mut self.commands, incident, intents);
            }
        }
    }

    /// When to call `handle_timeout` next; `None`: not before another input.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.open.values().filter_map(|incident| incident.next_step_at).min()
    }

    /// The next thing to do, in order: an incident's `Save` comes before its `Notify`s.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The open incidents, by alert key.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.open.values()
    }

    /// An open incident.
    pub fn incident(&self, id: &IncidentId) -> Option<&Incident> {
        self.open.values().find(|incident| incident.id == *id)
    }

    fn fire(&mut self, alert: Alert, now: Timestamp) {
        match self.open.get(&alert.key) {
            None => self.begin(alert, now),
            Some(incident) if alert.severity > incident.alert.severity => self.renotify(alert, now),
            Some(_) => {}
        }
    }

    fn begin(&mut self, alert: Alert, now: Timestamp) {
        let episode = self.episodes.entry(alert.key.clone()).or_default();
        *episode += 1;
        let policy = self.policies.route(&alert).clone();
        let mut incident = Incident::open(alert, policy, *episode, now);
        let intents = incident.advance(now);
        command(&mut self.commands, &incident, intents);
        self.open.insert(incident.alert.key.clone(), incident);
    }

    fn renotify(&mut self, alert: Alert, now: Timestamp) {
        let Some(incident) = self.open.get_mut(&alert.key) else { return self.begin(alert, now) };
        let worse = alert.severity > incident.alert.severity;
        incident.alert = Alert { severity: alert.severity.max(incident.alert.severity), ..alert };
        let intents = if worse || incident.acknowledged.is_some() {
            incident.restart(self.policies.route(&incident.alert).clone(), now)
        } else {
            incident.remind(now)
        };
        command(&mut self.commands, incident, intents);
    }

    fn acknowledge(&mut self, id: &IncidentId, by: String, now: Timestamp) {
        let mut open = self.open.values_mut();
        if let Some(incident) = open.find(|open| open.id == *id && open.acknowledged.is_none()) {
            let intents = incident.acknowledge(by, now);
            command(&mut self.commands, incident, intents);
        }
    }

    fn resolve(&mut self, key: &str, by: Option<String>, now: Timestamp) {
        if let Some(mut incident) = self.open.remove(key) {
            let intents = incident.resolve(by, now);
            command(&mut self.commands, &incident, intents);
        }
    }
}

fn command(commands: &mut VecDeque<Command>, incident: &Incident, intents: Vec<Intent>) {
    commands.push_back(Command::Save(incident.clone()));
    commands.extend(intents.into_iter().map(Command::Notify));
}
