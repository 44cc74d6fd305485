//! What the cluster says of services: whose they are, which SLOs they have and why, how their pods are. Pure but for
//! [`watch`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use slo::counts::MinuteId;
use slo::objective::SloSpec;

use crate::discovery::Service;

mod annotations;
pub mod discover;
mod find;
pub mod kind;
mod pods;
#[cfg(test)]
mod tests;
pub mod watch;

pub use find::{Objects, find};

/// (namespace, name).
pub type Name = (String, String);

/// What is known of the cluster. What of it is needed to judge is kept while the API server is away, and through restarts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Namespaces that are there.
    pub namespaces: BTreeSet<String>,
    /// Services that are there, and those that were there in the last 32 days.
    pub services: BTreeMap<Name, Found>,
    /// Nodes that are there, and those that were there in the last day.
    pub nodes: BTreeMap<String, FoundNode>,
}

/// A Service of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The minute in which it was first seen.
    pub since: MinuteId,
    /// The minute in which it was seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<MinuteId>,
    /// Why it has SLOs, or has none.
    pub why: Why,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Address of what to do when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// SLOs that its annotations ask for instead of the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slos: Vec<SloSpec>,
    /// How it was called before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<Name>,
    /// What is wrong with its annotations, each with the object and the annotation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// How its pods are; nothing while that is not known.
    #[serde(skip)]
    pub workload: Option<Workload>,
}

/// Why a service has SLOs, or has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its namespace is excluded.
    NamespaceExcluded,
    /// It is excluded itself.
    Excluded,
    /// These Ingresses route to it.
    Ingress(Vec<String>),
    /// It asks for them by annotation.
    Annotated,
    /// Requests of it were counted.
    Counted,
    /// Nothing leads to it.
    Unseen,
}

/// How the pods behind a service are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Some are ready.
    Serving {
        /// So many.
        ready: usize,
        /// Of so many.
        pods: usize,
    },
    /// None has started yet.
    Starting,
    /// Some run, and none is ready.
    NotReady,
    /// A container of one of them ends again and again.
    CrashLooping {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// Nobody wants a pod.
    ScaledToZero,
    /// There is none.
    NoPods,
    /// Others say what is behind it.
    NoSelector,
    /// The Service itself is not there any more.
    Gone,
}

/// A Node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundNode {
    /// The minute since which it is ready and a collector is to be on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<MinuteId>,
    /// The minute in which it was seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<MinuteId>,
}

impl Cluster {
    /// What is known of a service.
    pub fn get(&self, service: &Service) -> Option<&Found> {
        match service {
            Service::Named { namespace, name } => self.services.get(&(namespace.clone(), name.clone())),
            Service::Ambiguous(_) | Service::Unattributed => None,
        }
    }

    /// Whether an annotation says that a service has no SLOs. A workload that logs its own requests is a service without a
    /// Service: what the others of its namespace say of the namespace holds for it too.
    pub fn is_excluded(&self, service: &Service) -> bool {
        let Service::Named { namespace, .. } = service else { return false };
        let beside = self.services.range((namespace.clone(), String::new())..);
        let mut beside = beside.take_while(|((of, _), _)| of == namespace);
        self.get(service).is_some_and(|found| found.why.is_excluded())
            || beside.any(|(_, found)| found.why == Why::NamespaceExcluded)
    }

    /// Services that have SLOs before their first request, each with the minute since which it is there.
    pub fn expected(&self) -> impl Iterator<Item = (Service, MinuteId)> + '_ {
        let expected =
            self.services.iter().filter(|(_, found)| found.gone.is_none() && found.why.is_expected());
        expected.map(|(name, found)| (Service::of(name), found.since))
    }

    /// New names by old ones. A Service that is there keeps its name; of several that claim one name the first has it, and
    /// those that are there come before those that are gone.
    pub fn renames(&self) -> BTreeMap<Name, Name> {
        let is_there = |name: &Name| self.services.get(name).is_some_and(|found| found.gone.is_none());
        let mut renames = BTreeMap::new();
        let (gone, there): (Vec<_>, Vec<_>) =
            self.services.iter().partition(|(_, found)| found.gone.is_some());
        for (new, found) in there.into_iter().chain(gone) {
            let old = found.renamed_from.as_ref().filter(|old| *old != new && !is_there(old));
            if let Some(old) = old {
                renames.entry(old.clone()).or_insert_with(|| new.clone());
            }
        }
        renames
    }

    /// What is wrong with annotations.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.services.values().flat_map(|found| found.problems.iter().map(String::as_str))
    }
}

impl Why {
    /// Whether an annotation says that there are no SLOs.
    pub fn is_excluded(&self) -> bool {
        matches!(self, Self::NamespaceExcluded | Self::Excluded)
    }

    /// Whether there are SLOs before the first request.
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::Ingress(_) | Self::Annotated)
    }

    /// Whether there are SLOs.
    pub fn has_slos(&self) -> bool {
        self.is_expected() || *self == Self::Counted
    }
}

impl Workload {
    /// A word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Serving { .. } => "serving",
            Self::Starting => "starting",
            Self::NotReady => "not_ready",
            Self::CrashLooping { .. } => "crash_looping",
            Self::ScaledToZero => "scaled_to_zero",
            Self::NoPods => "no_pods",
            Self::NoSelector => "no_selector",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving { ready, pods } => write!(f, "serving, {ready} of {pods} pods ready"),
            Self::CrashLooping { pod, container } => {
                write!(f, "crash-looping, container {container} of pod {pod}")
            }
            Self::Starting => f.write_str("starting"),
            Self::NotReady => f.write_str("not ready"),
            Self::ScaledToZero => f.write_str("scaled to zero"),
            Self::NoPods => f.write_str("no pods"),
            Self::NoSelector => f.write_str("no selector"),
            Self::Gone => f.write_str("gone"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamespaceExcluded => f.write_str("its namespace is excluded by annotation"),
            Self::Excluded => f.write_str("excluded by annotation"),
            Self::Ingress(names) => write!(f, "ingress {} routes here", names.join(", ")),
            Self::Annotated => f.write_str("annotated"),
            Self::Counted => f.write_str("requests were counted"),
            Self::Unseen => f.write_str("no ingress routes here and no requests were seen"),
        }
    }
}
