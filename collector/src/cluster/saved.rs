//! What is known, kept for the next process: it may start while the API server is away.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use kubernetes::{Cache, Namespace, Node, Pod};
use serde::{Deserialize, Serialize};

use super::Cluster;
use crate::durable;

/// Version of the file's format.
const FORMAT: u64 = 1;

/// What the file holds. Of the pods that were deleted, the caches know the newest alone, so it is bounded as they are.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u64,
    node: String,
    pods: Vec<Arc<Pod>>,
    namespaces: Vec<Arc<Namespace>>,
    nodes: Vec<Arc<Node>>,
}

impl Cluster {
    /// The cluster of a node, with what an earlier process knew of it. What that left is a help and no more: without it
    /// the collector starts all the same.
    pub(crate) fn open(node: &str, data_dir: &Path) -> Self {
        let path = data_dir.join("kubernetes.json");
        let saved = read(&path, node);
        let cluster = Self {
            node: node.into(),
            pods: Cache::default(),
            namespaces: Cache::default(),
            nodes: Cache::default(),
            file: Arc::new((path, Mutex::default())),
        };
        if let Some(saved) = saved {
            cluster.pods.restore(saved.pods);
            cluster.namespaces.restore(saved.namespaces);
            cluster.nodes.restore(saved.nodes);
        }
        cluster
    }

    /// Writes what is known, if it differs from what was written last.
    fn save(&self) -> io::Result<()> {
        let saved = Saved {
            version: FORMAT,
            node: self.node.to_string(),
            pods: self.pods.known(),
            namespaces: self.namespaces.known(),
            nodes: self.nodes.all(),
        };
        let json = serde_json::to_vec(&saved).map_err(io::Error::other)?;
        let (path, written) = &*self.file;
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written != json {
            durable::replace(path, &json)?;
            *written = json;
        }
        Ok(())
    }

    /// Writes what is known, and says so if that fails.
    pub(crate) fn save_or_tell(&self) {
        if let Err(error) = self.save() {
            tracing::warn!(path = %self.file.0.display(), %error,
                "cannot write what is known of the cluster; a restart while the API server is away knows less");
        }
    }

    /// Ends when something has changed since `seen`.
    pub(super) async fn changed(&self, seen: u64) {
        let (mut pods, mut namespaces, mut nodes) =
            (self.pods.changes(), self.namespaces.changes(), self.nodes.changes());
        if self.changes() == seen {
            // Nobody but the caches themselves sends, and they are here.
            tokio::select! {
                _ = pods.changed() => {}
                _ = namespaces.changed() => {}
                _ = nodes.changed() => {}
            }
        }
    }
}

fn read(path: &Path, node: &str) -> Option<Saved> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read what was known of the cluster");
            return None;
        }
    };
    match serde_json::from_slice::<Saved>(&text) {
        Ok(saved) if saved.version == FORMAT && saved.node == node => Some(saved),
        Ok(saved) => {
            tracing::warn!(path = %path.display(), version = saved.version, of = saved.node, node,
                "what was known of the cluster is of another node or version; it is asked anew");
            None
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error,
                "what was known of the cluster cannot be read; it is asked anew");
            None
        }
    }
}
