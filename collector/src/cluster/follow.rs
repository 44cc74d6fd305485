//! The task that keeps what is known of the cluster up to date, here and on disk.

use std::time::Duration;

use kubernetes::{Client, Notice, Scope};

use super::Cluster;
use crate::metrics::Metrics;

/// What is known is written so often at most.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Follows the API server for ever.
pub(crate) async fn follow(cluster: Cluster, client: Client, metrics: Metrics) {
    let of_node = |field: &str| Scope::Fields(format!("{field}={}", cluster.node));
    let hear = |kind: &'static str| {
        let metrics = &metrics;
        move |notice| heard(kind, &notice, metrics)
    };
    let (its_pods, itself) = (of_node("spec.nodeName"), of_node("metadata.name"));
    tokio::join!(
        cluster.pods.follow(client.clone(), &its_pods, hear("pods")),
        cluster.namespaces.follow(client.clone(), &Scope::All, hear("namespaces")),
        cluster.nodes.follow(client.clone(), &itself, hear("nodes")),
        keep(&cluster),
    );
}

fn heard(kind: &'static str, notice: &Notice, metrics: &Metrics) {
    match notice {
        Notice::Failed { failure, is_news } => {
            metrics.watch_error(kind);
            if *is_news {
                tracing::warn!(kind, "{failure}");
            }
        }
        Notice::Recovered => tracing::info!(kind, "the watch of the cluster works again"),
    }
}

async fn keep(cluster: &Cluster) {
    let mut seen = 0;
    loop {
        cluster.changed(seen).await;
        tokio::time::sleep(SAVE_EVERY).await;
        seen = cluster.changes();
        cluster.save_or_tell();
    }
}
