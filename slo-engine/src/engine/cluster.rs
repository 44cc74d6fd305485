//! What the cluster says, on its way into the engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use alerts::{Alert, Input};
use jiff::Timestamp;
use slo::counts::{MinuteId, Sli};
use slo::episode::Episodes;

use super::{Engine, EngineError, State};
use crate::cluster::{Cluster, Name, Objects, find};
use crate::discovery::{Known, Service, sli_name};
use crate::evaluator::SILENCE;
use crate::figures::SLIS;
use crate::specs::Specs;
use crate::store::{self, cluster as store_cluster, counts as rows};

/// Warnings that are shown at once.
const MOST_WARNINGS: usize = 20;

impl Engine {
    /// Takes what the API server lists. What of it is needed to judge is committed when this returns.
    pub async fn discovered(&self, objects: &Objects, now: Timestamp) -> Result<(), EngineError> {
        let mut state = self.state.lock().await;
        let cluster = find(objects, &state.cluster, &BTreeSet::new(), MinuteId::of_timestamp(now));
        if cluster == *state.cluster {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut known = known(&state.services, &cluster);
        known.namespaces.extend(rows::namespaces(&mut tx).await?);
        if store_cluster::put(&mut tx, &state.cluster, &cluster).await? {
            store::commit(tx).await?;
        }
        let specs = state.documents.annotated(&cluster);
        state.adopt(cluster, specs, known);
        Ok(())
    }

    /// Says what keeps the cluster from saying more; nothing when nothing does.
    pub async fn warn(&self, warnings: Vec<String>) {
        self.state.lock().await.warnings = warnings;
    }

    /// Services of which requests were counted.
    pub async fn counted_services(&self) -> Result<BTreeSet<Name>, EngineError> {
        self.with_figures(|figures| {
            let named = |service: &Service| match service {
                Service::Named { namespace, name } => Some((namespace.clone(), name.clone())),
                Service::Ambiguous(_) | Service::Unattributed => None,
            };
            figures.counts.counted().filter_map(|(service, ..)| named(service)).collect()
        })
        .await
    }

    /// What is known of the cluster.
    pub async fn cluster(&self) -> Arc<Cluster> {
        self.state.lock().await.cluster.clone()
    }
}

/// What is known of services before a row was read.
pub(super) fn known(services: &BTreeSet<Name>, cluster: &Cluster) -> Known {
    // What was called so while it was there goes on being called so.
    let namespaces = cluster.services.keys().map(|(namespace, _)| namespace).chain(&cluster.namespaces);
    Known {
        namespaces: namespaces.cloned().collect(),
        services: cluster.services.keys().chain(services).cloned().collect(),
        renames: cluster.renames(),
    }
}

impl State {
    /// From here on the cluster says something else.
    fn adopt(&mut self, cluster: Cluster, specs: Specs, known: Known) {
        let cluster = Arc::new(cluster);
        self.stale |= !self.counts.relearn(known, &self.specs, &specs);
        self.counts.expect(cluster.clone());
        self.specs = Arc::new(specs);
        self.cluster = cluster;
    }

    /// Expects nothing more of collectors whose node is gone.
    pub(super) fn give_up_stranded(&mut self, at: MinuteId) {
        for collector in self.counts.stranded() {
            self.counts.give_up(&collector, at);
            self.given_up.insert(collector, at);
        }
    }

    /// Ends what is open of services that have no SLOs any more, or whose rows count for another now: its evidence will not
    /// come.
    pub(super) fn let_go(&mut self, now: Timestamp) -> BTreeSet<(Service, Sli)> {
        let open = self.escalations.incidents().filter(|incident| {
            let label = |name: &str| incident.alert.labels.get(name).map_or("", String::as_str);
            SLIS.iter().any(|&sli| label("slo") == sli_name(sli) || label("slo") == SILENCE)
                && self.is_let_go(&Service::parse(label("service")))
        });
        let over: Vec<String> = open.map(|incident| incident.alert.key.clone()).collect();
        for key in over {
            self.escalations.handle(Input::Resolve { key }, now);
        }
        let open = self.episodes.iter().filter(|(_, episodes)| episodes.open.is_some());
        let over: BTreeSet<(Service, Sli)> =
            open.map(|(id, _)| id.clone()).filter(|(service, _)| self.is_let_go(service)).collect();
        for id in &over {
            self.episodes.insert(id.clone(), Episodes::default());
        }
        over
    }

    fn is_let_go(&self, service: &Service) -> bool {
        !self.counts.has(service) || self.cluster.is_excluded(service)
    }

    /// What the receivers of an alert are told of its service.
    pub(super) fn told(&self, alert: Alert) -> Alert {
        let service = alert.labels.get("service").map(|text| Service::parse(text));
        let Some(found) = service.and_then(|service| self.cluster.get(&service)) else { return alert };
        let facts = [("team", &found.team), ("owner", &found.owner), ("runbook", &found.runbook)];
        let facts = facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact.clone()?)));
        let labels = alert.labels.into_iter().chain(facts).collect();
        Alert { labels, ..alert }
    }

    /// What keeps the cluster from saying more, and what is wrong with what it says.
    pub(super) fn warnings(&self) -> Vec<String> {
        let problems = self.cluster.problems().map(str::to_owned);
        self.warnings.iter().cloned().chain(problems).take(MOST_WARNINGS).collect()
    }
}
