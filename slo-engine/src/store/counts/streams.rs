//! Streams and collectors, as they lie in the store.

use serde::{Deserialize, Serialize};
use slo::counts::{CountsRequest, MinuteId, StreamReport};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::{StoreError, Transaction, doing};
use super::{StoredTally, stored_tally};

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
    /// The Kubernetes node that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The minute in which that node was seen to be gone; nothing else is expected from then on.
    #[serde(skip)]
    pub gone: Option<MinuteId>,
}

/// Every collector.
pub async fn all_collectors(tx: &mut Transaction) -> Result<Vec<StoredCollector>, StoreError> {
    let rows = sqlx::query("SELECT * FROM collectors ORDER BY collector")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read collectors"))?;
    Ok(rows.iter().map(stored_collector).collect())
}

/// One collector.
pub async fn collector(tx: &mut Transaction, name: &str) -> Result<Option<StoredCollector>, StoreError> {
    let row = sqlx::query("SELECT * FROM collectors WHERE collector = $1")
        .bind(name.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read a collector"))?;
    Ok(row.as_ref().map(stored_collector))
}

/// One stream.
pub async fn stream(tx: &mut Transaction, name: &str) -> Result<Option<StoredStream>, StoreError> {
    let row = sqlx::query("SELECT * FROM streams WHERE stream = $1")
        .bind(name.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read a stream"))?;
    Ok(row.as_ref().map(stored_stream))
}

/// The tallies of a stream.
pub async fn tallies(tx: &mut Transaction, stream: &str) -> Result<Vec<StoredTally>, StoreError> {
    let rows = sqlx::query("SELECT * FROM tallies WHERE stream = $1 ORDER BY range_start")
        .bind(stream.to_owned())
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read tallies"))?;
    Ok(rows.iter().map(stored_tally).collect())
}

fn stored_collector(row: &SqliteRow) -> StoredCollector {
    StoredCollector {
        collector: row.get("collector"),
        epoch: row.get("epoch"),
        watermark_ms: row.get("watermark_ms"),
        archived_to_ms: row.get("archived_to_ms"),
        node: row.get("node"),
        gone: row.get::<Option<i64>, _>("gone_minute").map(MinuteId),
    }
}

fn stored_stream(row: &SqliteRow) -> StoredStream {
    StoredStream {
        stream: row.get("stream"),
        collector: row.get("collector"),
        path: row.get("path"),
        namespace: row.get("namespace"),
        pod: row.get("pod"),
        container: row.get("container"),
        oldest_ms: row.get("oldest_ms"),
        newest_ms: row.get("newest_ms"),
        ended: row.get::<i64, _>("ended") != 0,
        broken: row.get("broken"),
    }
}

pub(super) async fn put_collector(
    tx: &mut Transaction,
    request: &CountsRequest,
    archived_to_ms: Option<i64>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO collectors (collector, epoch, watermark_ms, archived_to_ms, node) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (collector) DO UPDATE SET epoch = excluded.epoch, archived_to_ms = excluded.archived_to_ms, \
         node = COALESCE(excluded.node, node), \
         watermark_ms = CASE WHEN excluded.watermark_ms IS NULL OR excluded.watermark_ms < watermark_ms \
         THEN watermark_ms ELSE excluded.watermark_ms END",
    )
    .bind(request.collector.clone())
    .bind(request.epoch.clone())
    .bind(request.watermark_ms)
    .bind(archived_to_ms)
    .bind(request.node.clone())
    .execute(&mut **tx)
    .await
    .map_err(doing("write a collector"))?;
    Ok(())
}

/// The node of a collector was seen to be gone.
pub async fn give_up(tx: &mut Transaction, collector: &str, at: MinuteId) -> Result<(), StoreError> {
    sqlx::query("UPDATE collectors SET gone_minute = $2 WHERE collector = $1")
        .bind(collector.to_owned())
        .bind(at.0)
        .execute(&mut **tx)
        .await
        .map_err(doing("give a collector up"))?;
    Ok(())
}

/// Takes in how old and how new the lines of a report are, and nothing else of it.
pub(super) async fn widen(tx: &mut Transaction, report: &StreamReport) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE streams SET \
         oldest_ms = CASE WHEN oldest_ms IS NULL OR $2 < oldest_ms THEN $2 ELSE oldest_ms END, \
         newest_ms = CASE WHEN newest_ms IS NULL OR $3 > newest_ms THEN $3 ELSE newest_ms END WHERE stream = $1",
    )
    .bind(report.stream.clone())
    .bind(report.oldest_ms)
    .bind(report.newest_ms)
    .execute(&mut **tx)
    .await
    .map_err(doing("write a stream"))?;
    Ok(())
}

/// The oldest minute of which it is decided by the first watermark of a collector whether it was read: the newest one, of
/// the service that has had none for longest, that its streams hold a count of.
pub async fn first_undecided(tx: &mut Transaction, collector: &str) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(
        "SELECT MIN(newest) FROM (SELECT MAX(c.minute) AS newest FROM streams s \
         JOIN counts c ON c.stream = s.stream WHERE s.collector = $1 GROUP BY c.service, c.origin) AS newest_of_each",
    )
    .bind(collector.to_owned())
    .fetch_one(&mut **tx)
    .await
    .map_err(doing("read count rows"))?;
    Ok(row.get(0))
}
