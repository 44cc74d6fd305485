//! What can be wrong, and what can happen to it: the inputs of the escalation machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::IncidentId;

/// How much haste a thing that is wrong needs. Ordered: a page outranks a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Someone looks at it during working hours.
    Ticket,
    /// Someone is woken.
    Page,
}

/// A thing that is wrong, as its source tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Name of the thing that is wrong; equal keys are the same thing. At most one incident per key is open.
    pub key: String,
    /// How much haste it needs.
    pub severity: Severity,
    /// One line for a human.
    pub summary: String,
    /// Facts for routing and for the receiver.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Something happened. Sources send transitions, not states; a repeat of a transition changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The thing went wrong. Opens an incident; on an open one it counts only if the severity is higher (an upgrade).
    Fire(Alert),
    /// An upgrade, or wrong once more: notifies anew, even when acknowledged. Without an open incident, the same as `Fire`.
    Renotify(Alert),
    /// The source has evidence that the thing is right again.
    Resolve {
        /// The alert's key.
        key: String,
    },
    /// A person took the incident on: escalation stops.
    Acknowledge {
        /// The incident.
        incident: IncidentId,
        /// Who, as the receivers shall read it.
        by: String,
    },
    /// A person closed the incident. The next `Fire` of its key opens the next episode.
    ResolveByHand {
        /// The incident.
        incident: IncidentId,
        /// Who, as the receivers shall read it.
        by: String,
    },
}
