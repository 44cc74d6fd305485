//! What is known of the cluster that the node belongs to: its pods, their namespaces, itself; and what follows from that.

mod describe;
mod follow;
mod saved;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use kubernetes::{Access, Cache, Key, Namespace, Node, Pod, is_excluded};
use settings::Table;

use crate::event;
use crate::event::Metadata;

pub(crate) use follow::follow;

/// The cluster that a source's node belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Name of the node (`self_node_name`).
    pub node: String,
    /// How the API server is reached.
    pub access: Access,
}

/// What is known. Clones are the same.
#[derive(Clone, Debug)]
pub struct Cluster {
    node: Arc<str>,
    /// Those of the node.
    pods: Cache<Pod>,
    /// All.
    namespaces: Cache<Namespace>,
    /// Only the node itself.
    nodes: Cache<Node>,
    /// Where it is kept for the next process, and what was written last.
    file: Arc<(PathBuf, Mutex<Vec<u8>>)>,
}

/// Who says that a pod's logs are not shipped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusion {
    /// Its namespace.
    Namespace(String),
    /// The pod itself.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
}

impl ClusterConfig {
    /// Reads `self_node_name` and `kube_config_file`.
    pub(crate) fn prove(table: &mut Table<'_>) -> Option<Self> {
        let (node, file) = (table.string("self_node_name"), table.string("kube_config_file"));
        if node.as_deref() == Some("") {
            table.problem(
                "self_node_name",
                "is empty; in a pod, take it from the field spec.nodeName by a variable",
            );
        }
        if node.is_none() && file.is_some() {
            table.problem("kube_config_file", "does nothing without self_node_name, the name of this node");
        }
        let access = file.map_or(Access::InCluster, |file| Access::KubeConfig(file.into()));
        Some(Self { node: node?, access })
    }
}

impl Cluster {
    /// Of a pod's events: what is known now.
    pub(crate) fn metadata(&self, pod: &event::Pod) -> Metadata {
        let known = self.pods.get(&Key::Uid(pod.uid.clone()));
        let namespace = self.namespaces.get(&Key::Name(String::new(), pod.namespace.clone()));
        let node = self.nodes.get(&Key::Name(String::new(), self.node.to_string()));
        describe::metadata(pod, &self.node, known.as_deref(), namespace.as_deref(), node.as_deref())
    }

    /// Whether a pod's logs are not to be shipped, and who says so.
    pub(crate) fn exclusion(&self, pod: &event::Pod) -> Option<Exclusion> {
        let of_namespace = Exclusion::Namespace(pod.namespace.clone());
        let (namespace, name, uid) = (pod.namespace.clone(), pod.name.clone(), pod.uid.clone());
        let of_pod = Exclusion::Pod { namespace, name, uid };
        [of_namespace, of_pod].into_iter().find(|exclusion| self.says(exclusion))
    }

    /// Whether somebody says so now.
    pub(crate) fn says(&self, exclusion: &Exclusion) -> bool {
        match exclusion {
            Exclusion::Namespace(name) => self
                .namespaces
                .get(&Key::Name(String::new(), name.clone()))
                .is_some_and(|namespace| is_excluded(&namespace.annotations)),
            Exclusion::Pod { uid, .. } => {
                self.pods.get(&Key::Uid(uid.clone())).is_some_and(|pod| is_excluded(&pod.annotations))
            }
        }
    }

    /// A number that grows with every change.
    pub(crate) fn changes(&self) -> u64 {
        let (pods, namespaces, nodes) =
            (self.pods.changes(), self.namespaces.changes(), self.nodes.changes());
        *pods.borrow() + *namespaces.borrow() + *nodes.borrow()
    }

    /// Ends when all of it was listed once.
    pub(crate) async fn complete(&self) {
        let (mut pods, mut namespaces, mut nodes) =
            (self.pods.changes(), self.namespaces.changes(), self.nodes.changes());
        // Nobody but the cache itself sends, and it is here.
        let _ = pods.wait_for(|_| self.pods.is_complete()).await;
        let _ = namespaces.wait_for(|_| self.namespaces.is_complete()).await;
        let _ = nodes.wait_for(|_| self.nodes.is_complete()).await;
    }

    /// What was not listed yet, in the API server's words.
    pub(crate) fn missing(&self) -> BTreeSet<&'static str> {
        let kinds = [
            ("pods", self.pods.is_complete()),
            ("namespaces", self.namespaces.is_complete()),
            ("nodes", self.nodes.is_complete()),
        ];
        kinds.into_iter().filter(|(_, is_complete)| !is_complete).map(|(kind, _)| kind).collect()
    }
}

impl std::fmt::Display for Exclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Pod { namespace, name, .. } => write!(f, "pod {namespace}/{name}"),
        }
    }
}
