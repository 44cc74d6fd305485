//! How the pods behind a service are.

use std::collections::HashMap;
use std::sync::Arc;

use kubernetes::{Labels, Pod};

use super::Workload;

/// Why a container does not run that ends again and again.
const CRASH_LOOP: &str = "CrashLoopBackOff";

/// Pods by namespace and each of their labels, so that a selector need not look at all of them.
pub(super) struct Pods<'a> {
    by_label: HashMap<(&'a str, &'a str, &'a str), Vec<&'a Pod>>,
    /// (namespace, labels) of the pods of which none is wanted.
    unwanted: Vec<(&'a str, &'a Labels)>,
}

impl<'a> Pods<'a> {
    /// Of pods that have not ended, and (namespace, labels of the pods, how many are wanted) of what makes pods.
    pub(super) fn new(
        pods: &'a [Arc<Pod>],
        workloads: impl Iterator<Item = (&'a str, &'a Labels, i32)>,
    ) -> Self {
        let mut by_label: HashMap<_, Vec<&Pod>> = HashMap::new();
        let live = pods.iter().filter(|pod| !matches!(pod.phase.as_str(), "Succeeded" | "Failed"));
        for pod in live {
            for (key, value) in &pod.labels {
                by_label.entry((pod.namespace.as_str(), key.as_str(), value.as_str())).or_default().push(pod);
            }
        }
        let unwanted = workloads.filter(|(.., wanted)| *wanted == 0);
        Self { by_label, unwanted: unwanted.map(|(namespace, labels, _)| (namespace, labels)).collect() }
    }

    /// How those are that a Service selects.
    pub(super) fn workload(&self, namespace: &str, selector: &Labels) -> Workload {
        let Some((key, value)) = selector.first_key_value() else { return Workload::NoSelector };
        let is_selected =
            |labels: &Labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let candidates = self.by_label.get(&(namespace, key.as_str(), value.as_str()));
        let pods: Vec<&Pod> =
            candidates.into_iter().flatten().filter(|pod| is_selected(&pod.labels)).copied().collect();
        if pods.is_empty() {
            let is_unwanted =
                self.unwanted.iter().any(|(ns, labels)| *ns == namespace && is_selected(labels));
            return if is_unwanted { Workload::ScaledToZero } else { Workload::NoPods };
        }
        let mut crashing = pods.iter().filter_map(|pod| Some((pod, crashing(pod)?)));
        if let Some((pod, container)) = crashing.next() {
            return Workload::CrashLooping { pod: pod.name.clone(), container: container.to_owned() };
        }
        match pods.iter().filter(|pod| pod.ready).count() {
            0 if pods.iter().all(|pod| pod.phase == "Pending") => Workload::Starting,
            0 => Workload::NotReady,
            ready => Workload::Serving { ready, pods: pods.len() },
        }
    }
}

fn crashing(pod: &Pod) -> Option<&str> {
    let waits = |container: &kubernetes::Container| container.waiting.as_deref() == Some(CRASH_LOOP);
    pod.containers.iter().find(|(_, container)| waits(container)).map(|(name, _)| name.as_str())
}
