//! Count rows, tallies and streams in the store: what a byte range does to those that are there is decided by
//! [`slo::counts::merge`], and adjacent ranges of a key are joined, so a key has seldom more than one row.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use slo::counts::{
    ByteRange, CountRow, Counts, CountsRequest, MinuteId, Origin, RowKey, ServiceRef, Sli, StreamReport,
    Tally,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{StoreError, Transaction, doing, reading};

mod place;
mod ranges;
mod streams;

use place::{Put, Ranged, place};
pub use ranges::{cut_through, position, positions, ranges};
pub use streams::{
    StoredCollector, StoredStream, all_collectors, collector, first_undecided, give_up, stream, tallies,
};

/// A row as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The row.
    pub row: CountRow,
    /// Edges of its ladder in microseconds.
    pub edges_us: Vec<u64>,
    /// Some range of it was cut through by another: its minute is partial, whatever comes later.
    pub partial: bool,
}

/// A tally as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTally {
    /// The bytes.
    pub range: ByteRange,
    /// What became of their lines.
    pub tally: Tally,
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

/// What a request did to the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Indexes of the request's rows that only added to what was there.
    pub added: Vec<usize>,
    /// Some row replaced others or cut through them: sums in memory must be made anew.
    pub replaced: bool,
    /// How far the collector's archive is, as it is known now (ms since 1970).
    pub archived_to_ms: Option<i64>,
}

/// Writes what of `request` is news.
pub async fn ingest(tx: &mut Transaction, request: &CountsRequest) -> Result<Ingested, StoreError> {
    ingest_keeping(tx, request, &BTreeSet::new()).await
}

/// The same; of the streams `kept`, what is known of them stays, but for their counts.
pub async fn ingest_keeping(
    tx: &mut Transaction,
    request: &CountsRequest,
    kept: &BTreeSet<String>,
) -> Result<Ingested, StoreError> {
    let archived_to_ms = archived_to(archived_to_ms(tx, &request.collector).await?, request);
    streams::put_collector(tx, request, archived_to_ms).await?;
    let mut held: BTreeMap<&str, Vec<ByteRange>> = BTreeMap::new();
    for report in &request.streams {
        held.insert(&report.stream, ranges(tx, &report.stream).await?);
    }
    for report in &request.streams {
        if kept.contains(&report.stream) {
            streams::widen(tx, report).await?;
        } else {
            put_stream(tx, &request.collector, report).await?;
        }
        put_tally(tx, report).await?;
    }
    let mut ingested = Ingested { archived_to_ms, ..Ingested::default() };
    // What lies in bytes that are counted is a repeat, however it was cut the first time.
    let is_counted = |row: &CountRow| {
        held.get(&*row.key.stream).is_some_and(|held| held.iter().any(|held| held.contains(row.range)))
    };
    for (index, row) in request.rows.iter().enumerate().filter(|(_, row)| !is_counted(row)) {
        match put_row(tx, row, request).await? {
            Put::Repeat => {}
            Put::Added => ingested.added.push(index),
            Put::Replaced => ingested.replaced = true,
        }
    }
    Ok(ingested)
}

/// Every row.
pub async fn all_rows(tx: &mut Transaction) -> Result<Vec<StoredRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM counts ORDER BY minute, service, stream, sli, range_start")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read count rows"))?;
    rows.iter().map(stored_row).collect()
}

/// Every row of a minute.
pub async fn rows_of_minute(tx: &mut Transaction, minute: MinuteId) -> Result<Vec<StoredRow>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM counts WHERE minute = $1 ORDER BY service, stream, sli, range_start")
            .bind(minute.0)
            .fetch_all(&mut **tx)
            .await
            .map_err(doing("read count rows"))?;
    rows.iter().map(stored_row).collect()
}

/// Up to when a collector has said that it has read (ms since 1970).
pub async fn watermark(tx: &mut Transaction, collector: &str) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT watermark_ms FROM collectors WHERE collector = $1")
        .bind(collector.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read a collector"))?;
    Ok(row.and_then(|row| row.get(0)))
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

/// Sum of all tallies: the books of the input.
pub async fn tally(tx: &mut Transaction) -> Result<Tally, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM tallies").fetch_all(&mut **tx).await.map_err(doing("read tallies"))?;
    let mut sum = Tally::default();
    for row in &rows {
        sum += stored_tally(row).tally;
    }
    Ok(sum)
}

/// How far a collector's archive is by what was known and what it says. One that has delivered nothing yet is where it was;
/// if that is not known either, its archive lags from the first instant that it has read up to.
fn archived_to(known: Option<i64>, request: &CountsRequest) -> Option<i64> {
    match request.archived_to_ms? {
        0 => known.or(request.watermark_ms),
        said => known.max(Some(said)),
    }
}

async fn archived_to_ms(tx: &mut Transaction, collector: &str) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT archived_to_ms FROM collectors WHERE collector = $1")
        .bind(collector.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read a collector"))?;
    Ok(row.and_then(|row| row.get(0)))
}

async fn put_stream(tx: &mut Transaction, collector: &str, report: &StreamReport) -> Result<(), StoreError> {
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

async fn put_tally(tx: &mut Transaction, report: &StreamReport) -> Result<(), StoreError> {
    if report.range.is_empty() {
        return Ok(());
    }
    let mut held = tallies(tx, &report.stream).await?;
    let before = held.clone();
    if place(&mut held, StoredTally { range: report.range, tally: report.tally }) == Put::Repeat {
        return Ok(());
    }
    for gone in before.iter().filter(|tally| !held.contains(tally)) {
        delete_tally(tx, &report.stream, gone.range).await?;
    }
    for news in held.iter().filter(|tally| !before.contains(tally)) {
        insert_tally(tx, &report.stream, news).await?;
    }
    Ok(())
}

async fn delete_tally(tx: &mut Transaction, stream: &str, range: ByteRange) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM tallies WHERE stream = $1 AND range_start = $2")
        .bind(stream.to_owned())
        .bind(column(range.start))
        .execute(&mut **tx)
        .await
        .map_err(doing("join tallies"))?;
    Ok(())
}

async fn insert_tally(tx: &mut Transaction, stream: &str, news: &StoredTally) -> Result<(), StoreError> {
    let StoredTally { range, tally } = news;
    sqlx::query(
        "INSERT INTO tallies (stream, range_start, range_end, lines, requests, ignored, unparsed, late, dead_lettered) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(stream.to_owned())
    .bind(column(range.start))
    .bind(column(range.end))
    .bind(column(tally.lines))
    .bind(column(tally.requests))
    .bind(column(tally.ignored))
    .bind(column(tally.unparsed))
    .bind(column(tally.late))
    .bind(column(tally.dead_lettered))
    .execute(&mut **tx)
    .await
    .map_err(doing("write a tally"))?;
    Ok(())
}

async fn put_row(tx: &mut Transaction, new: &CountRow, request: &CountsRequest) -> Result<Put, StoreError> {
    let mut held = rows_of(tx, &new.key).await?;
    let before = held.clone();
    let news = StoredRow {
        row: new.clone(),
        edges_us: if new.ladder.is_empty() { Vec::new() } else { request.edges_us.clone() },
        partial: false,
    };
    let put = place(&mut held, news);
    if put == Put::Repeat {
        return Ok(put);
    }
    let starts: Vec<u64> = held.iter().map(|stored| stored.row.range.start).collect();
    for gone in before.iter().filter(|stored| !starts.contains(&stored.row.range.start)) {
        delete_row(tx, &gone.row).await?;
    }
    for stored in held.iter().filter(|stored| !before.contains(stored)) {
        put_stored_row(tx, stored).await?;
    }
    Ok(put)
}

impl Ranged for StoredRow {
    fn range(&self) -> ByteRange {
        self.row.range
    }

    fn add(&mut self, next: &Self) -> bool {
        if self.edges_us != next.edges_us {
            return false;
        }
        self.row.range.end = next.row.range.end;
        self.row.counts += next.row.counts;
        add_ladder(&mut self.row.ladder, &next.row.ladder);
        self.row.sketch.merge(&next.row.sketch);
        self.partial |= next.partial;
        true
    }

    fn tear(&mut self) {
        self.partial = true;
    }

    fn is_torn(&self) -> bool {
        self.partial
    }
}

impl Ranged for StoredTally {
    fn range(&self) -> ByteRange {
        self.range
    }

    fn add(&mut self, next: &Self) -> bool {
        self.range.end = next.range.end;
        self.tally += next.tally;
        true
    }

    // The minutes of the rows are marked; a tally is of no minute.
    fn tear(&mut self) {}

    fn is_torn(&self) -> bool {
        false
    }
}

/// Adds a ladder to another of the same edges.
pub fn add_ladder(sum: &mut Vec<u64>, other: &[u64]) {
    if sum.len() < other.len() {
        sum.resize(other.len(), 0);
    }
    for (sum, count) in sum.iter_mut().zip(other) {
        *sum += count;
    }
}

const KEY: &str =
    "stream = $1 AND service = $2 AND origin = $3 AND sli = $4 AND version = $5 AND minute = $6";

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind_key(query: Query, key: &RowKey) -> Query {
    query
        .bind(key.stream.clone())
        .bind(text(&key.service))
        .bind(text(&key.origin))
        .bind(text(&key.sli))
        .bind(i64::from(key.version))
        .bind(key.minute.0)
}

/// Marks every row of a key as cut through.
pub async fn tear(tx: &mut Transaction, key: &RowKey) -> Result<(), StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("UPDATE counts SET partial = 1 WHERE {KEY}"));
    bind_key(sqlx::query(sql), key).execute(&mut **tx).await.map_err(doing("mark a count row"))?;
    Ok(())
}

async fn rows_of(tx: &mut Transaction, key: &RowKey) -> Result<Vec<StoredRow>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM counts WHERE {KEY} ORDER BY range_start"));
    let rows =
        bind_key(sqlx::query(sql), key).fetch_all(&mut **tx).await.map_err(doing("read count rows"))?;
    rows.iter().map(stored_row).collect()
}

async fn delete_row(tx: &mut Transaction, row: &CountRow) -> Result<(), StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("DELETE FROM counts WHERE {KEY} AND range_start = $7"));
    bind_key(sqlx::query(sql), &row.key)
        .bind(column(row.range.start))
        .execute(&mut **tx)
        .await
        .map_err(doing("replace count rows"))?;
    Ok(())
}

/// Writes a row, over one that begins at the same byte.
async fn put_stored_row(tx: &mut Transaction, stored: &StoredRow) -> Result<(), StoreError> {
    let row = &stored.row;
    let query = sqlx::query(
        "INSERT INTO counts (stream, service, origin, sli, version, minute, range_start, range_end, total, bad, \
         excluded, edges, ladder, sketch, partial) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
         ON CONFLICT (stream, service, origin, sli, version, minute, range_start) DO UPDATE SET \
         range_end = excluded.range_end, total = excluded.total, bad = excluded.bad, \
         excluded = excluded.excluded, edges = excluded.edges, ladder = excluded.ladder, \
         sketch = excluded.sketch, partial = excluded.partial",
    );
    bind_key(query, &row.key)
        .bind(column(row.range.start))
        .bind(column(row.range.end))
        .bind(column(row.counts.total))
        .bind(column(row.counts.bad))
        .bind(column(row.counts.excluded))
        .bind(text(&stored.edges_us))
        .bind(text(&row.ladder))
        .bind(text(&row.sketch))
        .bind(i64::from(stored.partial))
        .execute(&mut **tx)
        .await
        .map_err(doing("write a count row"))?;
    Ok(())
}

pub(super) fn stored_row(row: &SqliteRow) -> Result<StoredRow, StoreError> {
    let partial = row.get::<i64, _>("partial") != 0;
    let key = RowKey {
        stream: row.get("stream"),
        service: value::<ServiceRef>(row, "service")?,
        origin: value::<Origin>(row, "origin")?,
        sli: value::<Sli>(row, "sli")?,
        version: u32::try_from(row.get::<i64, _>("version")).map_err(reading("definition version"))?,
        minute: MinuteId(row.get("minute")),
    };
    let edges_us = value(row, "edges")?;
    let row = CountRow {
        key,
        range: range(row),
        counts: Counts {
            total: offset(row.get("total")),
            bad: offset(row.get("bad")),
            excluded: offset(row.get("excluded")),
        },
        ladder: value(row, "ladder")?,
        sketch: value(row, "sketch")?,
    };
    Ok(StoredRow { row, edges_us, partial })
}

pub(super) fn stored_tally(row: &SqliteRow) -> StoredTally {
    let count = |name: &str| offset(row.get::<i64, _>(name));
    let tally = Tally {
        lines: count("lines"),
        requests: count("requests"),
        ignored: count("ignored"),
        unparsed: count("unparsed"),
        late: count("late"),
        dead_lettered: count("dead_lettered"),
    };
    StoredTally { range: range(row), tally }
}

fn range(row: &SqliteRow) -> ByteRange {
    ByteRange { start: offset(row.get("range_start")), end: offset(row.get("range_end")) }
}

/// Invariant: every number that is stored is below 2^63; a negative one was never written.
fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn offset(column: i64) -> u64 {
    u64::try_from(column).unwrap_or_default()
}

/// Small values (enums, ladders, sketches) are stored as JSON text; they have string keys only and always encode.
fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn value<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(row.get::<&str, _>(column)).map_err(reading(column))
}
