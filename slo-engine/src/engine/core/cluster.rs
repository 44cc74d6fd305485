//! What the cluster says, on its way into the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alerts::{Alert, Input, Severity};
use jiff::Timestamp;
use slo::counts::{MinuteId, Sli};
use slo::episode::Episodes;

use super::Core;
use crate::cluster::{Cluster, Name, Objects, find};
use crate::discovery::{Known, Service, sli_name};
use crate::evaluator::{SILENCE, pipeline_alert};
use crate::refused;
use crate::specs::Specs;
use crate::store::Change;

/// Warnings that are shown at once.
const MOST_WARNINGS: usize = 20;

/// Minutes that too many services are told after the last row that had no place.
const OVERFLOWN_FOR: i64 = 60;

/// What is known of services before a row was read.
pub(in super::super) fn known(services: &BTreeSet<Name>, cluster: &Cluster) -> Known {
    // What was called so while it was there goes on being called so.
    let namespaces = cluster.services.keys().map(|(namespace, _)| namespace).chain(&cluster.namespaces);
    Known {
        namespaces: namespaces.cloned().collect(),
        services: cluster.services.keys().chain(services).cloned().collect(),
        renames: cluster.renames(),
    }
}

impl Core {
    /// Takes what the API server lists; `namespaces` are those that pods were seen in.
    pub(in super::super) fn discovered(
        &mut self,
        objects: &Objects,
        namespaces: Vec<String>,
        now: Timestamp,
    ) -> Vec<Change> {
        let found = find(objects, &self.cluster, &BTreeSet::new(), MinuteId::of_timestamp(now));
        if found == *self.cluster {
            return Vec::new();
        }
        let found = Arc::new(found);
        let change = Change::Cluster(self.cluster.clone(), found.clone());
        self.cluster = found;
        let specs = self.documents.annotated(&self.cluster);
        self.adopt(specs, namespaces);
        vec![change]
    }

    /// Other documents and services, as the configuration says from now on.
    pub(in super::super) fn reconfigure(
        &mut self,
        documents: Specs,
        services: BTreeSet<Name>,
        namespaces: Vec<String>,
    ) {
        let specs = documents.annotated(&self.cluster);
        (self.documents, self.services) = (documents, services);
        self.adopt(specs, namespaces);
    }

    fn adopt(&mut self, specs: Specs, namespaces: Vec<String>) {
        let mut known = known(&self.services, &self.cluster);
        known.namespaces.extend(namespaces);
        self.stale |= !self.counts.relearn(known, &self.specs, &specs);
        self.counts.expect(self.cluster.clone());
        self.specs = Arc::new(specs);
    }

    /// Expects nothing more of collectors whose node is gone.
    pub(super) fn give_up_stranded(&mut self, at: MinuteId) -> Vec<Change> {
        let stranded = self.counts.stranded();
        stranded.iter().for_each(|collector| self.counts.give_up(collector, at));
        stranded.into_iter().map(|collector| Change::GiveUp(collector, at)).collect()
    }

    /// Ends what is open of services that have no SLOs any more, or whose rows count for another now: its evidence will not
    /// come.
    pub(super) fn let_go(&mut self, now: Timestamp) -> BTreeSet<(Service, Sli)> {
        let open = self.escalations.incidents().filter(|incident| {
            let label = |name: &str| incident.alert.labels.get(name).map_or("", String::as_str);
            Sli::ALL.iter().any(|&sli| label("slo") == sli_name(sli) || label("slo") == SILENCE)
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

    /// An alert while rows find no place among the services.
    pub(super) fn overflow_alert(&self, at: MinuteId) -> BTreeMap<String, Alert> {
        let full = self.overflown.is_some_and(|last| last.plus(OVERFLOWN_FOR) > at);
        let alert = || {
            let summary = format!(
                "logs name more than {} services that discovery does not know; what comes after counts as unattributed: \
                 look which pod writes such names, or raise `limits.unknown_services`",
                self.caps.unknown_services
            );
            pipeline_alert("pipeline/services".to_owned(), Severity::Ticket, summary)
        };
        full.then(alert).map(|alert| (alert.key.clone(), alert)).into_iter().collect()
    }

    /// An alert while collectors are refused.
    pub(super) fn unauthorized_alert(&self) -> Option<(String, Alert)> {
        let summary = self.unauthorized.clone()?;
        let alert = pipeline_alert(refused::KEY.to_owned(), Severity::Page, summary);
        Some((alert.key.clone(), alert))
    }

    /// What keeps the cluster from saying more, what is wrong with what it says, and what is wrong with who sends counts.
    pub(in super::super) fn all_warnings(&self) -> Vec<String> {
        let problems = self.cluster.problems().map(str::to_owned);
        let notes = self.notes.values().map(|note| note.text.clone());
        self.warnings.iter().cloned().chain(notes).chain(problems).take(MOST_WARNINGS).collect()
    }
}
