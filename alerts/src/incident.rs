//! An incident: one episode of one thing being wrong, and the pure rules of how it escalates.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::id::{IncidentId, IntentId, digest};
use crate::intent::{Intent, Kind};
use crate::policy::{ChannelName, Policy};

/// One episode of one thing being wrong. Everything that escalation needs, so that a restart goes on where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Hash of (alert key, episode, `opened_at`).
    pub id: IncidentId,
    /// How often the alert's key went wrong, from 1.
    pub episode: u32,
    /// What is wrong, as last told; the severity is the highest of the episode.
    pub alert: Alert,
    /// The policy as it was when the incident opened or was upgraded; a changed configuration does not touch it.
    pub policy: Policy,
    /// When the first signal came.
    pub opened_at: Timestamp,
    /// Who took it on. A renotification clears it.
    pub acknowledged: Option<Acknowledgement>,
    /// When it ended; `None` while open.
    pub resolved_at: Option<Timestamp>,
    /// Who ended it; `None` while open, or when the source did.
    pub resolved_by: Option<String>,
    /// The next step to run, from 0; the number of steps when all ran.
    pub step: u32,
    /// Which loop over the steps, from 0; a repetition of the policy and a renotification each begin the next.
    pub round: u32,
    /// When the running loop began: step delays count from here.
    pub round_started_at: Timestamp,
    /// Repetitions of the policy that are left.
    pub repeats_left: u32,
    /// Wall deadline of the next step or repetition; `None` when acknowledged, resolved or all is done.
    pub next_step_at: Option<Timestamp>,
    /// Everyone a trigger may have reached, in order and once each; whatever becomes of the policy, they hear the end.
    pub receivers: Vec<Receiver>,
}

/// Someone took the incident on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
}

/// A place where an incident may have been opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Who.
    pub target: String,
    /// Through what.
    pub channel: ChannelName,
}

impl Incident {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// A new episode. Nobody is told yet: [`Incident::advance`] does that.
    pub(crate) fn open(alert: Alert, policy: Policy, episode: u32, now: Timestamp) -> Incident {
        let id = IncidentId(digest(&[&alert.key, &episode.to_string(), &now.to_string()]));
        let mut incident = Incident {
            id,
            episode,
            alert,
            repeats_left: policy.repeat,
            policy,
            opened_at: now,
            acknowledged: None,
            resolved_at: None,
            resolved_by: None,
            step: 0,
            round: 0,
            round_started_at: now,
            next_step_at: None,
            receivers: Vec::new(),
        };
        incident.schedule();
        incident
    }

    /// Runs everything that is due. Overdue steps all run; overdue repetitions run once, the next counts from `now`.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Vec<Intent> {
        let mut intents = Vec::new();
        while self.next_step_at.is_some_and(|due| due <= now) {
            if (self.step as usize) < self.policy.steps.len() {
                intents.extend(self.trigger(self.step, now));
                self.step += 1;
            } else {
                self.repeats_left = self.repeats_left.saturating_sub(1);
                self.begin_round(now);
            }
            self.schedule();
        }
        intents
    }

    /// Wrong once more while nobody took it on: everyone told so far is told anew, and the clock runs on. (Begun anew,
    /// an alert that comes back often would never reach the second step.)
    pub(crate) fn remind(&mut self, now: Timestamp) -> Vec<Intent> {
        self.round += 1;
        (0..self.step).flat_map(|step| self.trigger(step, now)).collect()
    }

    /// Wrong once more although someone took it on, or worse than before: escalation begins anew under `policy`.
    pub(crate) fn restart(&mut self, policy: Policy, now: Timestamp) -> Vec<Intent> {
        self.acknowledged = None;
        self.repeats_left = policy.repeat;
        self.policy = policy;
        self.begin_round(now);
        self.schedule();
        self.advance(now)
    }

    pub(crate) fn acknowledge(&mut self, by: String, now: Timestamp) -> Vec<Intent> {
        self.acknowledged = Some(Acknowledgement { at: now, by: by.clone() });
        self.schedule();
        self.tell_receivers(Kind::Acknowledge, Some(by), now)
    }

    pub(crate) fn resolve(&mut self, by: Option<String>, now: Timestamp) -> Vec<Intent> {
        self.resolved_at = Some(now);
        self.resolved_by = by.clone();
        self.schedule();
        self.tell_receivers(Kind::Resolve, by, now)
    }

    fn begin_round(&mut self, now: Timestamp) {
        self.round += 1;
        self.step = 0;
        self.round_started_at = now;
    }

    fn schedule(&mut self) {
        self.next_step_at = if self.acknowledged.is_some() || !self.is_open() {
            None
        } else if let Some(step) = self.policy.steps.get(self.step as usize) {
            Some(self.round_started_at.checked_add(step.after).unwrap_or(Timestamp::MAX))
        } else if self.repeats_left > 0 {
            Some(self.round_started_at.checked_add(self.policy.repeat_every).unwrap_or(Timestamp::MAX))
        } else {
            None
        };
    }

    fn trigger(&mut self, step: u32, now: Timestamp) -> Vec<Intent> {
        let targets = self.policy.steps.get(step as usize).map_or(Vec::new(), |step| step.targets.clone());
        let mut intents = Vec::new();
        for target in targets {
            for channel in &target.channels {
                self.remember(Receiver { target: target.name.clone(), channel: channel.clone() });
            }
            if let Some((channel, fallback)) = target.channels.split_first() {
                let receiver = Receiver { target: target.name, channel: channel.clone() };
                let intent = self.intent(Kind::Trigger, step, receiver, None, now);
                intents.push(Intent { fallback: fallback.to_vec(), ..intent });
            }
        }
        intents
    }

    fn remember(&mut self, receiver: Receiver) {
        if !self.receivers.contains(&receiver) {
            self.receivers.push(receiver);
        }
    }

    fn tell_receivers(&self, kind: Kind, by: Option<String>, now: Timestamp) -> Vec<Intent> {
        let step = self.step.saturating_sub(1);
        let tell = |receiver: &Receiver| self.intent(kind, step, receiver.clone(), by.clone(), now);
        self.receivers.iter().map(tell).collect()
    }

    fn intent(
        &self,
        kind: Kind,
        step: u32,
        receiver: Receiver,
        by: Option<String>,
        now: Timestamp,
    ) -> Intent {
        let intent = Intent {
            id: IntentId(String::new()),
            incident: self.id.clone(),
            dedup_key: self.id.0.clone(),
            episode: self.episode,
            step,
            round: self.round,
            kind,
            target: receiver.target,
            channel: receiver.channel,
            fallback: Vec::new(),
            alert: self.alert.clone(),
            by,
            opened_at: self.opened_at,
            created_at: now,
        };
        intent.identified()
    }
}
