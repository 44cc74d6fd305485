//! Streams and collectors, as they lie in the store.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::{StoreError, Transaction, doing};

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredStream {
    /// Name.
    pub stream: String,
    /// Who sent it last.
    pub collector: String,
    /// File, for people.
    pub path: String,
    /// Kubernetes namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Time of its oldest line (ms since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<i64>,
    /// Time of its newest line (ms since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_ms: Option<i64>,
    /// It was read to its end and grows no more.
    pub ended: bool,
    /// Why it could not be read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// How far a collector has read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCollector {
    /// Name.
    pub collector: String,
    /// Epoch of its state.
    pub epoch: String,
    /// Everything that ended before this instant and could be read is in the store (ms since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// Everything that was written before this instant and could be read is in its archive (ms since 1970); nothing where
    /// it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_to_ms: Option<i64>,
}

/// Every collector.
pub async fn all_collectors(tx: &mut Transaction) -> Result<Vec<StoredCollector>, StoreError> {
    let rows = sqlx::query(
        "SELECT collector, epoch, watermark_ms, archived_to_ms FROM collectors ORDER BY collector",
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read collectors"))?;
    let stored = |row: &SqliteRow| StoredCollector {
        collector: row.get(0),
        epoch: row.get(1),
        watermark_ms: row.get(2),
        archived_to_ms: row.get(3),
    };
    Ok(rows.iter().map(stored).collect())
}
