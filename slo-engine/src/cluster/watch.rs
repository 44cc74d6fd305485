//! The driver: watches the cluster's objects and tells the engine, beside everything else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubernetes::{
    Cache, Client, Deployment, Failure, Ingress, Namespace, Node, Notice, Pod, Scope, Service, StatefulSet,
};
use tokio::time::MissedTickBehavior;

use super::Objects;
use super::kind::Kind;
use crate::engine::Engine;
use crate::metrics::Metrics;

/// How often changes are looked for: what changes at once is taken at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long after its last failure a kind counts as one that is not watched; it is tried again at least every half minute.
const FAILS_FOR: SignedDuration = SignedDuration::from_secs(120);

/// What the API server says, and how the watches get on. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    namespaces: Cache<Namespace>,
    services: Cache<Service>,
    ingresses: Cache<Ingress>,
    pods: Cache<Pod>,
    nodes: Cache<Node>,
    deployments: Cache<Deployment>,
    stateful_sets: Cache<StatefulSet>,
    failures: Arc<Mutex<BTreeMap<Kind, (String, Timestamp)>>>,
}

impl Watched {
    /// Keeps all kinds up to date for ever; `on_failure` hears of each try that failed.
    pub async fn follow(&self, client: Client, on_failure: impl Fn(Kind)) {
        let all = &Scope::All;
        let heard = |kind: Kind, notice: Notice| {
            if self.hear(kind, notice) {
                on_failure(kind);
            }
        };
        let client = || client.clone();
        tokio::join!(
            self.namespaces.follow(client(), all, |notice| heard(Kind::Namespaces, notice)),
            self.services.follow(client(), all, |notice| heard(Kind::Services, notice)),
            self.ingresses.follow(client(), all, |notice| heard(Kind::Ingresses, notice)),
            self.pods.follow(client(), all, |notice| heard(Kind::Pods, notice)),
            self.nodes.follow(client(), all, |notice| heard(Kind::Nodes, notice)),
            self.deployments.follow(client(), all, |notice| heard(Kind::Deployments, notice)),
            self.stateful_sets.follow(client(), all, |notice| heard(Kind::StatefulSets, notice)),
        );
    }

    /// What is known; nothing before namespaces and services were listed once.
    pub fn objects(&self) -> Option<Objects> {
        fn listed<T: kubernetes::Kept>(cache: &Cache<T>) -> Option<Vec<Arc<T>>> {
            cache.is_complete().then(|| cache.all())
        }
        Some(Objects {
            namespaces: listed(&self.namespaces)?,
            services: listed(&self.services)?,
            ingresses: listed(&self.ingresses),
            pods: listed(&self.pods),
            nodes: listed(&self.nodes),
            deployments: listed(&self.deployments),
            stateful_sets: listed(&self.stateful_sets),
        })
    }

    /// Kinds that fail at `now`, each with why.
    pub fn failures(&self, now: Timestamp) -> Vec<(Kind, String)> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let fails = |(_, (_, at)): &(&Kind, &(String, Timestamp))| now.duration_since(*at) < FAILS_FOR;
        failures.iter().filter(fails).map(|(kind, (why, _))| (*kind, why.clone())).collect()
    }

    /// Whether every kind was listed or has failed: there is nothing to wait for.
    pub fn is_settled(&self) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        self.complete()
            .iter()
            .zip(Kind::ALL)
            .all(|(complete, kind)| *complete || failures.contains_key(&kind))
    }

    fn complete(&self) -> [bool; 7] {
        [
            self.namespaces.is_complete(),
            self.services.is_complete(),
            self.ingresses.is_complete(),
            self.pods.is_complete(),
            self.nodes.is_complete(),
            self.deployments.is_complete(),
            self.stateful_sets.is_complete(),
        ]
    }

    /// A number that differs when anything has changed.
    fn changes(&self) -> u64 {
        let each = [
            self.namespaces.changes(),
            self.services.changes(),
            self.ingresses.changes(),
            self.pods.changes(),
            self.nodes.changes(),
            self.deployments.changes(),
            self.stateful_sets.changes(),
        ];
        each.iter().map(|changes| *changes.borrow()).sum()
    }

    /// Takes what befell a watch; whether it was a failure.
    fn hear(&self, kind: Kind, notice: Notice) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match notice {
            // The API server's memory is short by design: what follows is a list.
            Notice::Failed { failure: Failure::Gone { .. }, .. } => false,
            Notice::Failed { failure, is_news } => {
                let error = failure.to_string();
                if is_news {
                    tracing::warn!(kind = kind.as_str(), error, "a part of the cluster is not watched");
                }
                failures.insert(kind, (error, now()));
                true
            }
            Notice::Recovered => {
                failures.remove(&kind);
                false
            }
        }
    }
}

/// Tells the engine what the cluster says, for ever. Nothing waits for the API server.
pub(crate) async fn run(client: Client, engine: &Engine, metrics: &Metrics) {
    let watched = Watched::default();
    let follow = watched.follow(client, |kind| metrics.discovery_failed(kind));
    tokio::join!(follow, tell(&watched, engine));
}

async fn tell(watched: &Watched, engine: &Engine) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut warned) = (None, Vec::new());
    loop {
        interval.tick().await;
        let changes = watched.changes();
        if let Some(objects) = watched.objects().filter(|_| told != Some(changes)) {
            match engine.discovered(&objects, now()).await {
                Ok(()) => told = Some(changes),
                Err(error) => tracing::error!(%error, "cannot keep what the cluster says; it is tried again"),
            }
        }
        let warnings = warnings(&watched.failures(now()));
        if warnings != warned {
            engine.warn(warnings.clone()).await;
            warned = warnings;
        }
    }
}

/// What fails, for people; once where all has one cause.
fn warnings(failures: &[(Kind, String)]) -> Vec<String> {
    match failures {
        [(_, why), ..] if failures.len() == Kind::ALL.len() => {
            vec![format!("the cluster is not watched: {why}")]
        }
        some => some.iter().map(|(kind, why)| format!("{} are not watched: {why}", kind.as_str())).collect(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver of the watches")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
