//! From the objects of the API server to what is known of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kubernetes::{Deployment, Ingress, Namespace, Node, Pod, Service, StatefulSet, is_excluded};
use slo::counts::MinuteId;

use super::annotations::{self, Asked, problem};
use super::pods::Pods;
use super::{Cluster, Found, FoundNode, Name, Why, Workload};
use crate::counts::{FORGET_AFTER_MINUTES, KEEP_UNMEASURED_MINUTES};

/// Labels of nodes that run nothing of a DaemonSet.
const VIRTUAL: [(&str, &str); 2] =
    [("type", "virtual-kubelet"), ("eks.amazonaws.com/compute-type", "fargate")];

/// The objects that are looked at. Of kinds that could not be listed yet, what was known stays.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Namespaces.
    pub namespaces: Vec<Arc<Namespace>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// Ingresses.
    pub ingresses: Option<Vec<Arc<Ingress>>>,
    /// Pods.
    pub pods: Option<Vec<Arc<Pod>>>,
    /// Nodes.
    pub nodes: Option<Vec<Arc<Node>>>,
    /// Deployments.
    pub deployments: Option<Vec<Arc<Deployment>>>,
    /// StatefulSets.
    pub stateful_sets: Option<Vec<Arc<StatefulSet>>>,
}

/// What the objects say at `now`, given what was known `before` and for which services requests were counted.
pub fn find(objects: &Objects, before: &Cluster, counted: &BTreeSet<Name>, now: MinuteId) -> Cluster {
    let namespaces: BTreeMap<&str, &Namespace> =
        objects.namespaces.iter().map(|it| (it.name.as_str(), &**it)).collect();
    let routes = objects.ingresses.as_deref().map(routes);
    let pods = pods(objects);
    let mut services = BTreeMap::new();
    for service in &objects.services {
        let name = (service.namespace.clone(), service.name.clone());
        let namespace = namespaces.get(service.namespace.as_str()).copied();
        let known = before.services.get(&name);
        let routed = match &routes {
            Some(routes) => routes.get(&(service.namespace.as_str(), service.name.as_str())).cloned(),
            None => known.and_then(|known| match &known.why {
                Why::Ingress(names) => Some(names.clone()),
                _ => None,
            }),
        };
        let asked = annotations::read(service, namespace);
        let why = match routed {
            _ if namespace.is_some_and(|it| is_excluded(&it.annotations)) => Why::NamespaceExcluded,
            _ if is_excluded(&service.annotations) => Why::Excluded,
            Some(names) => Why::Ingress(names),
            None if asked.wants_slos => Why::Annotated,
            None if counted.contains(&name) => Why::Counted,
            None => Why::Unseen,
        };
        let since = known.filter(|known| known.gone.is_none()).map_or(now, |known| known.since);
        let workload = pods.as_ref().map(|pods| pods.workload(&service.namespace, &service.selector));
        services.insert(name, found(asked, why, since, workload));
    }
    let gone = before.services.iter().filter(|(name, _)| !services.contains_key(*name));
    let gone: Vec<(Name, Found)> = gone
        .map(|(name, known)| {
            let gone = Some(known.gone.unwrap_or(now));
            (
                name.clone(),
                Found { gone, workload: Some(Workload::Gone), problems: Vec::new(), ..known.clone() },
            )
        })
        .filter(|(_, found)| found.gone.is_some_and(|gone| gone.plus(KEEP_UNMEASURED_MINUTES) > now))
        .collect();
    services.extend(gone);
    let nodes = objects.nodes.as_deref().map_or_else(|| before.nodes.clone(), |it| nodes(it, before, now));
    let namespaces = namespaces.into_keys().map(str::to_owned).collect();
    let mut cluster = Cluster { namespaces, services, nodes };
    tell_renames(&mut cluster);
    cluster
}

fn found(asked: Asked, why: Why, since: MinuteId, workload: Option<Workload>) -> Found {
    let Asked { team, owner, runbook, slos, renamed_from, problems, .. } = asked;
    Found { since, gone: None, why, team, owner, runbook, slos, renamed_from, problems, workload }
}

/// Names of the Ingresses that route to each service.
fn routes(ingresses: &[Arc<Ingress>]) -> BTreeMap<(&str, &str), Vec<String>> {
    let mut routes: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for ingress in ingresses {
        for service in &ingress.services {
            routes
                .entry((ingress.namespace.as_str(), service.as_str()))
                .or_default()
                .push(ingress.name.clone());
        }
    }
    routes
}

fn pods(objects: &Objects) -> Option<Pods<'_>> {
    let deployments = objects.deployments.iter().flatten();
    let deployments = deployments.map(|it| (it.namespace.as_str(), &it.pod_labels, it.replicas));
    let stateful = objects.stateful_sets.iter().flatten();
    let stateful = stateful.map(|it| (it.namespace.as_str(), &it.pod_labels, it.replicas));
    objects.pods.as_ref().map(|pods| Pods::new(pods, deployments.chain(stateful)))
}

fn nodes(nodes: &[Arc<Node>], before: &Cluster, now: MinuteId) -> BTreeMap<String, FoundNode> {
    let ready = |node: &Node| {
        let known = before.nodes.get(&node.name).and_then(|known| known.ready);
        (node.ready && is_for_collectors(node)).then(|| known.unwrap_or(now))
    };
    let there = nodes.iter().map(|node| (node.name.clone(), FoundNode { ready: ready(node), gone: None }));
    let there: BTreeMap<_, _> = there.collect();
    let gone = before.nodes.iter().filter(|(name, _)| !there.contains_key(*name));
    let gone = gone.map(|(name, known)| (name.clone(), known.gone.unwrap_or(now)));
    // A collector is forgotten by then, whatever became of its node.
    let gone = gone.filter(|(_, gone)| gone.plus(FORGET_AFTER_MINUTES) > now);
    let gone: Vec<_> = gone.map(|(name, gone)| (name, FoundNode { ready: None, gone: Some(gone) })).collect();
    there.into_iter().chain(gone).collect()
}

/// Whether a collector is to be on a node.
fn is_for_collectors(node: &Node) -> bool {
    let has = |(name, value): (&str, &str)| node.labels.get(name).is_some_and(|it| it == value);
    has(("kubernetes.io/os", "linux")) && !VIRTUAL.into_iter().any(has) && !is_excluded(&node.labels)
}

/// Says which names are claimed in vain.
fn tell_renames(cluster: &mut Cluster) {
    let renames = cluster.renames();
    let is_there = |old: &Name, services: &BTreeMap<Name, Found>| {
        services.get(old).is_some_and(|found| found.gone.is_none())
    };
    let mut told = Vec::new();
    for (name, found) in cluster.services.iter().filter(|(_, found)| found.gone.is_none()) {
        let Some(old) = &found.renamed_from else { continue };
        let why = match renames.get(old) {
            Some(new) if new == name => continue,
            Some((namespace, new)) => format!("{}/{} was renamed to {namespace}/{new} already", old.0, old.1),
            None if is_there(old, &cluster.services) => {
                format!("{}/{} is still there and keeps its requests until it is deleted", old.0, old.1)
            }
            None => continue,
        };
        told.push((name.clone(), problem((&name.0, &name.1), "renamed-from", why)));
    }
    for (name, problem) in told {
        cluster.services.entry(name).and_modify(|found| found.problems.push(problem));
    }
}
