//! What is kept of each kind of object: a few fields, so that memory is bounded by the number of objects and not by their
//! size.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the names of our annotations begin with; those of others are not kept.
const PREFIX: &str = "headroom.dev/";

/// Name of the annotation with which a Namespace, Pod or Service says that Headroom leaves it alone (`"true"`).
const EXCLUDE: &str = "headroom.dev/exclude";

/// Annotation in which the mirror of a static pod has the name of its log directory.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Annotation by which an Ingress named its class before there was a field for it.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// Longest annotation that is kept, in bytes.
const LONGEST_ANNOTATION: usize = 1024;

/// What an object is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A pod, by the UID that its log directory has.
    Uid(String),
    /// (namespace, name); of what has no namespace, that is empty.
    Name(String, String),
}

/// A kind of object that is watched, and what is kept of it.
pub trait Kept: Debug + PartialEq + Send + Sync + Sized + 'static {
    /// What the API server sends.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static;

    /// What is kept; nothing of an object without a name.
    fn keep(object: Self::Object) -> Option<Self>;

    /// What it is found by.
    fn key(&self) -> Key;
}

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, as its log directory has it (of a static pod: the hash of its file).
    pub uid: String,
    /// Labels.
    pub labels: Labels,
    /// Our own annotations, but for long ones.
    pub annotations: Labels,
    /// Node that it runs on.
    pub node: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// Whom it is of.
    pub owner: Option<Owner>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Whether it takes requests.
    pub ready: bool,
    /// By name, init containers too.
    pub containers: BTreeMap<String, Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Image as the pod names it.
    pub image: String,
    /// Its identity at the runtime, `containerd://…`.
    pub id: Option<String>,
    /// How often it was restarted.
    pub restarts: i32,
    /// Why it does not run, such as `CrashLoopBackOff`.
    pub waiting: Option<String>,
}

/// Whom a pod is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Such as `ReplicaSet`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Our own annotations, but for long ones.
    pub annotations: Labels,
    /// Labels of the pods behind it; none where others say what is behind it.
    pub selector: Labels,
}

/// An Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Class, where it names one.
    pub class: Option<String>,
    /// Names of the Services of its namespace that it routes to, each once.
    pub services: Vec<String>,
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Our own annotations, but for long ones.
    pub annotations: Labels,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Whether its kubelet says that it is ready.
    pub ready: bool,
}

/// What makes pods: a Deployment, StatefulSet or DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload<K> {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels of its pods.
    pub pod_labels: Labels,
    /// How many pods it wants; of a DaemonSet: how many nodes are for it.
    pub replicas: i32,
    kind: std::marker::PhantomData<K>,
}

/// Whether an object says that Headroom leaves it alone.
pub fn is_excluded(annotations: &Labels) -> bool {
    annotations.get(EXCLUDE).is_some_and(|value| value == "true")
}

// === impl Kept ===

impl Kept for Pod {
    type Object = core::Pod;

    fn keep(object: core::Pod) -> Option<Self> {
        let (spec, status) = (object.spec.unwrap_or_default(), object.status.unwrap_or_default());
        let uid = object.metadata.annotations.as_ref().and_then(|all| all.get(MIRROR)).cloned();
        let uid = uid.or(object.metadata.uid.clone())?;
        let owner = object.metadata.owner_references.as_ref().and_then(|owners| owners.first());
        let owner = owner.map(|owner| Owner { kind: owner.kind.clone(), name: owner.name.clone() });
        let conditions = status.conditions.unwrap_or_default();
        let init = spec.init_containers.into_iter().flatten();
        let mut containers: BTreeMap<_, _> = spec
            .containers
            .into_iter()
            .chain(init)
            .map(|container| {
                let image = container.image.unwrap_or_default();
                (container.name, Container { image, ..Container::default() })
            })
            .collect();
        let statuses = [status.container_statuses, status.init_container_statuses];
        for status in statuses.into_iter().flatten().flatten() {
            if let Some(container) = containers.get_mut(&status.name) {
                container.id = status.container_id;
                container.restarts = status.restart_count;
                container.waiting = status.state.and_then(|state| state.waiting?.reason);
            }
        }
        let (namespace, name, labels, annotations) = meta(object.metadata)?;
        Some(Self {
            namespace,
            name,
            uid,
            labels,
            annotations,
            node: spec.node_name,
            ip: status.pod_ip,
            owner,
            phase: status.phase.unwrap_or_default(),
            ready: conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True"),
            containers,
        })
    }

    fn key(&self) -> Key {
        Key::Uid(self.uid.clone())
    }
}

impl Kept for Service {
    type Object = core::Service;

    fn keep(object: core::Service) -> Option<Self> {
        let (namespace, name, labels, annotations) = meta(object.metadata)?;
        let selector = object.spec.and_then(|spec| spec.selector).unwrap_or_default();
        Some(Self { namespace, name, labels, annotations, selector })
    }

    fn key(&self) -> Key {
        Key::Name(self.namespace.clone(), self.name.clone())
    }
}

impl Kept for Ingress {
    type Object = networking::Ingress;

    fn keep(object: networking::Ingress) -> Option<Self> {
        let old_class = object.metadata.annotations.as_ref().and_then(|all| all.get(OLD_CLASS)).cloned();
        let (namespace, name, ..) = meta(object.metadata)?;
        let spec = object.spec.unwrap_or_default();
        let paths = spec.rules.into_iter().flatten().filter_map(|rule| rule.http).flat_map(|http| http.paths);
        let backends = spec.default_backend.into_iter().chain(paths.map(|path| path.backend));
        let mut services: Vec<String> =
            backends.filter_map(|backend| backend.service).map(|service| service.name).collect();
        services.sort();
        services.dedup();
        let class = spec.ingress_class_name.or(old_class);
        Some(Self { namespace, name, class, services })
    }

    fn key(&self) -> Key {
        Key::Name(self.namespace.clone(), self.name.clone())
    }
}

impl Kept for Namespace {
    type Object = core::Namespace;

    fn keep(object: core::Namespace) -> Option<Self> {
        let (_, name, labels, annotations) = meta(object.metadata)?;
        Some(Self { name, labels, annotations })
    }

    fn key(&self) -> Key {
        Key::Name(String::new(), self.name.clone())
    }
}

impl Kept for Node {
    type Object = core::Node;

    fn keep(object: core::Node) -> Option<Self> {
        let (_, name, labels, _) = meta(object.metadata)?;
        let conditions = object.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        Some(Self { name, labels, ready })
    }

    fn key(&self) -> Key {
        Key::Name(String::new(), self.name.clone())
    }
}

impl Kept for Workload<Deployment> {
    type Object = Deployment;

    fn keep(object: Deployment) -> Option<Self> {
        let spec = object.spec.unwrap_or_default();
        Self::new(object.metadata, spec.template.metadata, spec.replicas.unwrap_or(1))
    }

    fn key(&self) -> Key {
        self.name()
    }
}

impl Kept for Workload<StatefulSet> {
    type Object = StatefulSet;

    fn keep(object: StatefulSet) -> Option<Self> {
        let spec = object.spec.unwrap_or_default();
        Self::new(object.metadata, spec.template.metadata, spec.replicas.unwrap_or(1))
    }

    fn key(&self) -> Key {
        self.name()
    }
}

impl Kept for Workload<DaemonSet> {
    type Object = DaemonSet;

    fn keep(object: DaemonSet) -> Option<Self> {
        let template = object.spec.unwrap_or_default().template.metadata;
        let wanted = object.status.map_or(0, |status| status.desired_number_scheduled);
        Self::new(object.metadata, template, wanted)
    }

    fn key(&self) -> Key {
        self.name()
    }
}

impl<K> Workload<K> {
    fn new(metadata: ObjectMeta, template: Option<ObjectMeta>, replicas: i32) -> Option<Self> {
        let (namespace, name, _, _) = meta(metadata)?;
        let pod_labels = template.and_then(|template| template.labels).unwrap_or_default();
        Some(Self { namespace, name, pod_labels, replicas, kind: std::marker::PhantomData })
    }

    fn name(&self) -> Key {
        Key::Name(self.namespace.clone(), self.name.clone())
    }
}

fn meta(metadata: ObjectMeta) -> Option<(String, String, Labels, Labels)> {
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.retain(|name, value| name.starts_with(PREFIX) && value.len() <= LONGEST_ANNOTATION);
    let namespace = metadata.namespace.unwrap_or_default();
    Some((namespace, metadata.name?, metadata.labels.unwrap_or_default(), annotations))
}

#[cfg(test)]
mod tests;
