//! An intent to notify: one message to one target through one channel, committed with the state that caused it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::id::{IncidentId, IntentId, digest};
use crate::policy::ChannelName;

/// What the receiver is told about the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is wrong: act.
    Trigger,
    /// Someone took it on.
    Acknowledge,
    /// It is over.
    Resolve,
}

/// One message to one target through one channel. Immutable: what becomes of it stands beside it in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Hash of (incident, episode, step, round, target, channel, kind): a repeat carries the same id.
    pub id: IntentId,
    /// The incident.
    pub incident: IncidentId,
    /// What the receiver groups by: equal for all messages of one incident, another for the next episode.
    pub dedup_key: String,
    /// How often the alert's key went wrong, from 1.
    pub episode: u32,
    /// Escalation step, from 0: the step that triggers, or the last one that had when it was acknowledged or resolved.
    pub step: u32,
    /// Which loop over the steps, from 0; a repetition of the policy and a renotification each begin the next.
    pub round: u32,
    /// What is told.
    pub kind: Kind,
    /// Who is told.
    pub target: String,
    /// Through which channel.
    pub channel: ChannelName,
    /// Channels to try, in this order, if this one refuses for good. Empty for anything but a trigger.
    pub fallback: Vec<ChannelName>,
    /// What is wrong.
    pub alert: Alert,
    /// Who acknowledged or resolved by hand.
    pub by: Option<String>,
    /// When the incident opened.
    pub opened_at: Timestamp,
    /// When the machine decided to notify.
    pub created_at: Timestamp,
}

impl Intent {
    /// The same message through the next channel, under that channel's own id; `None` when no channel is left.
    pub fn next_channel(&self) -> Option<Intent> {
        let (channel, fallback) = self.fallback.split_first()?;
        let next = Intent { channel: channel.clone(), fallback: fallback.to_vec(), ..self.clone() };
        Some(next.identified())
    }

    /// Gives the intent the id that follows from its fields.
    pub(crate) fn identified(mut self) -> Intent {
        self.id = IntentId(digest(&[
            &self.incident.0,
            &self.episode.to_string(),
            &self.step.to_string(),
            &self.round.to_string(),
            &self.target,
            &self.channel.0,
            self.kind.as_str(),
        ]));
        self
    }
}

impl Kind {
    /// The name that is hashed and that receivers read.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Trigger => "trigger",
            Kind::Acknowledge => "acknowledge",
            Kind::Resolve => "resolve",
        }
    }
}
