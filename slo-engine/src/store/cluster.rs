//! What the cluster said last, in the store.

use std::collections::BTreeMap;

use sqlx::Row;

use super::{StoreError, Transaction, doing, reading};
use crate::cluster::{Cluster, Workload};

/// (kind, name) and body.
type Rows = BTreeMap<(&'static str, String), String>;

const NAMESPACE: &str = "namespace";
const SERVICE: &str = "service";
const NODE: &str = "node";

/// What the cluster said last.
pub async fn cluster(tx: &mut Transaction) -> Result<Cluster, StoreError> {
    let rows = sqlx::query("SELECT kind, name, body FROM cluster")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read what the cluster said"))?;
    let mut cluster = Cluster::default();
    for row in &rows {
        let (name, body): (String, &str) = (row.get("name"), row.get("body"));
        match row.get("kind") {
            NAMESPACE => drop(cluster.namespaces.insert(name)),
            NODE => {
                let node = serde_json::from_str(body).map_err(reading("node of the cluster"))?;
                cluster.nodes.insert(name, node);
            }
            _ => {
                let mut found: crate::cluster::Found =
                    serde_json::from_str(body).map_err(reading("service of the cluster"))?;
                found.workload = found.gone.map(|_| Workload::Gone);
                if let Some((namespace, name)) = name.split_once('/') {
                    cluster.services.insert((namespace.to_owned(), name.to_owned()), found);
                }
            }
        }
    }
    Ok(cluster)
}

/// Writes what the cluster says other than before; whether that was anything.
pub async fn put(tx: &mut Transaction, before: &Cluster, now: &Cluster) -> Result<bool, StoreError> {
    let (before, now) = (rows(before)?, rows(now)?);
    for (kind, name) in before.keys().filter(|key| !now.contains_key(key)) {
        sqlx::query("DELETE FROM cluster WHERE kind = $1 AND name = $2")
            .bind(*kind)
            .bind(name.clone())
            .execute(&mut **tx)
            .await
            .map_err(doing("forget what the cluster said"))?;
    }
    for (key, body) in now.iter().filter(|(key, body)| before.get(key) != Some(body)) {
        sqlx::query(
            "INSERT INTO cluster (kind, name, body) VALUES ($1, $2, $3) \
             ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body",
        )
        .bind(key.0)
        .bind(key.1.clone())
        .bind(body.clone())
        .execute(&mut **tx)
        .await
        .map_err(doing("write what the cluster says"))?;
    }
    Ok(before != now)
}

fn rows(cluster: &Cluster) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    for name in &cluster.namespaces {
        rows.insert((NAMESPACE, name.clone()), String::new());
    }
    for ((namespace, name), found) in &cluster.services {
        let body = serde_json::to_string(found).map_err(reading("service of the cluster"))?;
        rows.insert((SERVICE, format!("{namespace}/{name}")), body);
    }
    for (name, node) in &cluster.nodes {
        let body = serde_json::to_string(node).map_err(reading("node of the cluster"))?;
        rows.insert((NODE, name.clone()), body);
    }
    Ok(rows)
}
