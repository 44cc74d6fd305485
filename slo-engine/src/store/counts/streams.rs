//! Streams and collectors, as they lie in the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slo::counts::{MinuteId, StreamReport, Tally};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::{StoreError, Transaction, doing, meta, reading, set_meta};
use super::{offset, stored_tally};

/// Key of the sum of tallies that were forgotten with their streams.
const FORGOTTEN: &str = "forgotten_tally";

/// Streams that are forgotten at once, so that nobody waits for it long.
const STREAMS_A_LOOK: i64 = 500;

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

/// Writes what a collector says of itself; a watermark never goes back.
pub async fn put_collector(tx: &mut Transaction, collector: &StoredCollector) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO collectors (collector, epoch, watermark_ms, archived_to_ms, node) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (collector) DO UPDATE SET epoch = excluded.epoch, archived_to_ms = excluded.archived_to_ms, \
         node = COALESCE(excluded.node, node), \
         watermark_ms = CASE WHEN excluded.watermark_ms IS NULL OR excluded.watermark_ms < watermark_ms \
         THEN watermark_ms ELSE excluded.watermark_ms END",
    )
    .bind(collector.collector.clone())
    .bind(collector.epoch.clone())
    .bind(collector.watermark_ms)
    .bind(collector.archived_to_ms)
    .bind(collector.node.clone())
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
pub async fn widen(tx: &mut Transaction, report: &StreamReport) -> Result<(), StoreError> {
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

/// Writes what a collector says of a stream.
pub async fn put_stream(
    tx: &mut Transaction,
    collector: &str,
    report: &StreamReport,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO streams (stream, collector, path, namespace, pod, container, oldest_ms, newest_ms, ended, broken) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (stream) DO UPDATE SET \
         collector = excluded.collector, path = excluded.path, ended = excluded.ended, broken = excluded.broken, \
         namespace = COALESCE(excluded.namespace, namespace), pod = COALESCE(excluded.pod, pod), \
         container = COALESCE(excluded.container, container), \
         oldest_ms = CASE WHEN oldest_ms IS NULL OR excluded.oldest_ms < oldest_ms THEN excluded.oldest_ms ELSE oldest_ms END, \
         newest_ms = CASE WHEN newest_ms IS NULL OR excluded.newest_ms > newest_ms THEN excluded.newest_ms ELSE newest_ms END",
    )
    .bind(report.stream.clone())
    .bind(collector.to_owned())
    .bind(report.path.clone())
    .bind(report.namespace.clone())
    .bind(report.pod.clone())
    .bind(report.container.clone())
    .bind(report.oldest_ms)
    .bind(report.newest_ms)
    .bind(i64::from(report.ended))
    .bind(report.broken.clone())
    .execute(&mut **tx)
    .await
    .map_err(doing("write a stream"))?;
    Ok(())
}

/// Behind the last byte of a stream whose rows have folded.
pub async fn folded_end(tx: &mut Transaction, stream: &str) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT folded_end FROM streams WHERE stream = $1")
        .bind(stream.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read a stream"))?;
    Ok(row.map_or(0, |row| offset(row.get(0))))
}

/// Newest time of a line up to `limit_ms` (ms since 1970), over the streams that hold none after it.
pub async fn newest_ms(tx: &mut Transaction, limit_ms: i64) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT MAX(newest_ms) FROM streams WHERE newest_ms <= $1")
        .bind(limit_ms)
        .fetch_one(&mut **tx)
        .await
        .map_err(doing("read streams"))?;
    Ok(row.get(0))
}

/// Streams that hold lines but no request, or that could not be read to their ends: path, lines, and why.
pub async fn curious_streams(tx: &mut Transaction) -> Result<Vec<(String, u64, Option<String>)>, StoreError> {
    let rows = sqlx::query(
        "SELECT s.path, COALESCE(SUM(t.lines), 0) AS lines, s.broken FROM streams s \
         LEFT JOIN tallies t ON t.stream = s.stream GROUP BY s.stream, s.path, s.broken \
         HAVING COALESCE(SUM(t.requests), 0) = 0 OR s.broken IS NOT NULL ORDER BY s.path",
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read streams"))?;
    Ok(rows.iter().map(|row| (row.get(0), offset(row.get(1)), row.get(2))).collect())
}

/// Namespaces that pods were seen in.
pub async fn namespaces(tx: &mut Transaction) -> Result<Vec<String>, StoreError> {
    let rows =
        sqlx::query("SELECT DISTINCT namespace FROM streams WHERE namespace IS NOT NULL ORDER BY namespace")
            .fetch_all(&mut **tx)
            .await
            .map_err(doing("read namespaces"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Who sends each stream.
pub async fn owners(tx: &mut Transaction) -> Result<BTreeMap<String, String>, StoreError> {
    let rows = sqlx::query("SELECT stream, collector FROM streams")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read streams"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Forgets streams whose newest line is of before an instant (ms since 1970), with their byte ranges: a line of theirs that
/// came again would add nothing to any window. Which ones; all of them where these are fewer than a look takes.
pub async fn forget_streams(tx: &mut Transaction, before_ms: i64) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query("SELECT stream FROM streams WHERE newest_ms < $1 LIMIT $2")
        .bind(before_ms)
        .bind(STREAMS_A_LOOK)
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read old streams"))?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut sum = forgotten(tx).await?;
    for name in &names {
        let gone = sqlx::query("DELETE FROM tallies WHERE stream = $1 RETURNING *")
            .bind(name.clone())
            .fetch_all(&mut **tx)
            .await
            .map_err(doing("forget the tallies of a stream"))?;
        gone.iter().for_each(|row| sum += stored_tally(row).tally);
        for sql in [
            "DELETE FROM streams WHERE stream = $1",
            "DELETE FROM export_marks WHERE name = $1 AND kind = 'stream'",
        ] {
            sqlx::query(sql).bind(name.clone()).execute(&mut **tx).await.map_err(doing("forget a stream"))?;
        }
    }
    if !names.is_empty() {
        let text = serde_json::to_string(&sum).map_err(reading("tally"))?;
        set_meta(tx, FORGOTTEN, &text).await?;
    }
    Ok(names)
}

/// Sum of the tallies of streams that were forgotten.
pub(super) async fn forgotten(tx: &mut Transaction) -> Result<Tally, StoreError> {
    let text = meta(tx, FORGOTTEN).await?;
    text.map_or(Ok(Tally::default()), |text| serde_json::from_str(&text).map_err(reading("tally")))
}

/// Forgets a collector.
pub async fn forget_collector(tx: &mut Transaction, collector: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM collectors WHERE collector = $1",
        "DELETE FROM export_marks WHERE name = $1 AND kind = 'collector'",
    ] {
        sqlx::query(sql)
            .bind(collector.to_owned())
            .execute(&mut **tx)
            .await
            .map_err(doing("forget a collector"))?;
    }
    Ok(())
}
