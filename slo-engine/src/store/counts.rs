//! Count rows, tallies, streams and collectors in the store. What a byte range does to those that are there is decided
//! elsewhere; here is only how it lies: rows packed by stream and minute, and cells by the hour once they have folded.

use std::collections::BTreeMap;

use slo::counts::{ByteRange, CountRow, MinuteId, Tally};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{StoreError, Transaction, doing};

mod cells;
mod packed;
mod ranges;
mod streams;

pub use cells::{Folded, all_cells, cells, fold};
pub use ranges::{positions, ranges};
pub use streams::{
    StoredCollector, StoredStream, all_collectors, collector, curious_streams, folded_end, forget_collector,
    forget_streams, give_up, namespaces, newest_ms, owners, put_collector, put_stream, stream, widen,
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

/// The rows of one minute of one stream that have not folded.
pub async fn rows_of(
    tx: &mut Transaction,
    minute: MinuteId,
    stream: &str,
) -> Result<Vec<StoredRow>, StoreError> {
    let row = sqlx::query("SELECT body FROM rows WHERE minute = $1 AND stream = $2")
        .bind(minute.0)
        .bind(stream.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read count rows"))?;
    row.map_or(Ok(Vec::new()), |row| packed::unpack(stream, minute, row.get("body")))
}

/// The rows of minutes `[from, to)` that have not folded, in the order of minute and stream.
pub async fn rows_between(
    tx: &mut Transaction,
    from: MinuteId,
    to: MinuteId,
) -> Result<Vec<StoredRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT minute, stream, body FROM rows WHERE minute >= $1 AND minute < $2 ORDER BY minute, stream",
    )
    .bind(from.0)
    .bind(to.0)
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read count rows"))?;
    let mut all = Vec::new();
    for row in &rows {
        all.extend(packed::unpack(row.get("stream"), MinuteId(row.get("minute")), row.get("body"))?);
    }
    Ok(all)
}

/// Minutes, ascending, of which rows have not folded.
pub async fn minutes_with_rows(tx: &mut Transaction) -> Result<Vec<MinuteId>, StoreError> {
    let rows = sqlx::query("SELECT DISTINCT minute FROM rows ORDER BY minute")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read count rows"))?;
    Ok(rows.iter().map(|row| MinuteId(row.get(0))).collect())
}

/// Writes the rows of one minute of one stream in place of those that are there.
pub async fn put_rows(
    tx: &mut Transaction,
    minute: MinuteId,
    stream: &str,
    rows: &[StoredRow],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO rows (minute, stream, body) VALUES ($1, $2, $3) \
         ON CONFLICT (minute, stream) DO UPDATE SET body = excluded.body",
    )
    .bind(minute.0)
    .bind(stream.to_owned())
    .bind(packed::pack(rows)?)
    .execute(&mut **tx)
    .await
    .map_err(doing("write count rows"))?;
    Ok(())
}

/// Drops rows of before a minute: no window reaches them.
pub async fn forget_rows(tx: &mut Transaction, before: MinuteId) -> Result<(), StoreError> {
    for (sql, bound) in [
        ("DELETE FROM rows WHERE minute < $1", before.0),
        ("DELETE FROM cells WHERE hour < $1", before.0.div_euclid(60)),
        ("DELETE FROM breakdowns WHERE hour < $1", before.0.div_euclid(60)),
        ("DELETE FROM export_marks WHERE kind IN ('rows', 'results') AND minute < $1", before.0),
    ] {
        sqlx::query(sql).bind(bound).execute(&mut **tx).await.map_err(doing("forget old counts"))?;
    }
    Ok(())
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

/// Sum of all tallies, and of those that were forgotten with their streams: the books of the input.
pub async fn tally(tx: &mut Transaction) -> Result<Tally, StoreError> {
    let rows = sqlx::query("SELECT * FROM tallies").fetch_all(&mut **tx).await;
    let mut sum = streams::forgotten(tx).await?;
    rows.map_err(doing("read tallies"))?.iter().for_each(|row| sum += stored_tally(row).tally);
    Ok(sum)
}

/// Puts tallies in place of others of their stream.
pub async fn put_tallies(
    tx: &mut Transaction,
    stream: &str,
    gone: &[ByteRange],
    news: &[StoredTally],
) -> Result<(), StoreError> {
    for range in gone {
        sqlx::query("DELETE FROM tallies WHERE stream = $1 AND range_start = $2")
            .bind(stream.to_owned())
            .bind(column(range.start))
            .execute(&mut **tx)
            .await
            .map_err(doing("join tallies"))?;
    }
    for StoredTally { range, tally } in news {
        let numbers = [tally.lines, tally.requests, tally.ignored, tally.unparsed, tally.late];
        let mut query = sqlx::query(
            "INSERT INTO tallies (stream, range_start, range_end, lines, requests, ignored, unparsed, late, \
             dead_lettered) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        query = query.bind(stream.to_owned()).bind(column(range.start)).bind(column(range.end));
        query = numbers.iter().fold(query, |query, &number| query.bind(column(number)));
        query.bind(column(tally.dead_lettered)).execute(&mut **tx).await.map_err(doing("write a tally"))?;
    }
    Ok(())
}

/// Adds a ladder to another of the same edges.
pub fn add_ladder(sum: &mut Vec<u64>, other: &[u64]) {
    if sum.len() < other.len() {
        sum.resize(other.len(), 0);
    }
    for (sum, count) in sum.iter_mut().zip(other) {
        *sum = sum.saturating_add(*count);
    }
}

fn stored_tally(row: &SqliteRow) -> StoredTally {
    let count = |name: &str| offset(row.get::<i64, _>(name));
    let tally = Tally {
        lines: count("lines"),
        requests: count("requests"),
        ignored: count("ignored"),
        unparsed: count("unparsed"),
        late: count("late"),
        dead_lettered: count("dead_lettered"),
    };
    let range = ByteRange { start: count("range_start"), end: count("range_end") };
    StoredTally { range, tally }
}

/// Invariant: every number that is stored is below 2^63; a negative one was never written.
fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn offset(column: i64) -> u64 {
    u64::try_from(column).unwrap_or_default()
}

/// Whether there are rows as an earlier version of the store held them.
pub(super) async fn has_old_rows(tx: &mut Transaction) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM counts LIMIT 1").fetch_optional(&mut **tx).await;
    Ok(row.map_err(doing("look for the count rows of an earlier version"))?.is_some())
}

/// Packs rows that an earlier version of the store held one by one, those of the next hour; how many they were.
pub(super) async fn pack_old_rows(tx: &mut Transaction) -> Result<usize, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM counts WHERE minute < (SELECT MIN(minute) + 60 FROM counts) ORDER BY minute, stream, range_start",
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read the count rows of an earlier version"))?;
    let mut packed: BTreeMap<(MinuteId, String), Vec<StoredRow>> = BTreeMap::new();
    for row in &rows {
        let stored = old_row(row)?;
        packed.entry((stored.row.key.minute, stored.row.key.stream.clone())).or_default().push(stored);
    }
    let Some(((last, _), _)) = packed.last_key_value() else { return Ok(0) };
    for ((minute, stream), rows) in &packed {
        put_rows(tx, *minute, stream, rows).await?;
    }
    sqlx::query("DELETE FROM counts WHERE minute <= $1")
        .bind(last.0)
        .execute(&mut **tx)
        .await
        .map_err(doing("pack the count rows of an earlier version"))?;
    Ok(rows.len())
}

fn old_row(row: &SqliteRow) -> Result<StoredRow, StoreError> {
    use slo::counts::{Counts, RowKey};
    let key = RowKey {
        stream: row.get("stream"),
        service: value(row, "service")?,
        origin: value(row, "origin")?,
        sli: value(row, "sli")?,
        version: u32::try_from(row.get::<i64, _>("version")).map_err(super::reading("definition version"))?,
        minute: MinuteId(row.get("minute")),
    };
    let number = |name: &str| offset(row.get::<i64, _>(name));
    let counts = Counts { total: number("total"), bad: number("bad"), excluded: number("excluded") };
    let range = ByteRange { start: number("range_start"), end: number("range_end") };
    let row_of =
        CountRow { key, range, counts, ladder: value(row, "ladder")?, sketch: value(row, "sketch")? };
    Ok(StoredRow { row: row_of, edges_us: value(row, "edges")?, partial: row.get::<i64, _>("partial") != 0 })
}

fn value<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(row.get::<&str, _>(column)).map_err(super::reading(column))
}
