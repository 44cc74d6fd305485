//! Which bytes of the streams are counted.

use std::collections::BTreeMap;

use slo::counts::ByteRange;
use sqlx::Row;

use super::super::{StoreError, Transaction, doing};
use super::{column, offset};

/// For each stream, the offset below which everything is counted, whoever sent it.
pub async fn positions(tx: &mut Transaction) -> Result<BTreeMap<String, u64>, StoreError> {
    let rows = sqlx::query("SELECT stream, MAX(range_end) FROM tallies GROUP BY stream")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read positions"))?;
    Ok(rows.iter().map(|row| (row.get(0), offset(row.get(1)))).collect())
}

/// The same of one stream; nothing where none of it is counted.
pub async fn position(tx: &mut Transaction, stream: &str) -> Result<Option<u64>, StoreError> {
    let row = sqlx::query("SELECT MAX(range_end) FROM tallies WHERE stream = $1")
        .bind(stream.to_owned())
        .fetch_one(&mut **tx)
        .await
        .map_err(doing("read positions"))?;
    Ok(row.get::<Option<i64>, _>(0).map(offset))
}

/// Counted bytes that `range` would cut through.
pub async fn cut_through(
    tx: &mut Transaction,
    stream: &str,
    range: ByteRange,
) -> Result<Option<ByteRange>, StoreError> {
    let row = sqlx::query(
        "SELECT range_start, range_end FROM tallies WHERE stream = $1 AND range_start < $3 AND range_end > $2 \
         AND NOT (range_start <= $2 AND range_end >= $3) AND NOT (range_start >= $2 AND range_end <= $3) LIMIT 1",
    )
    .bind(stream.to_owned())
    .bind(column(range.start))
    .bind(column(range.end))
    .fetch_optional(&mut **tx)
    .await
    .map_err(doing("read positions"))?;
    Ok(row.map(|row| ByteRange { start: offset(row.get(0)), end: offset(row.get(1)) }))
}

/// The bytes of a stream that are counted, ascending.
pub async fn ranges(tx: &mut Transaction, stream: &str) -> Result<Vec<ByteRange>, StoreError> {
    let rows =
        sqlx::query("SELECT range_start, range_end FROM tallies WHERE stream = $1 ORDER BY range_start")
            .bind(stream.to_owned())
            .fetch_all(&mut **tx)
            .await
            .map_err(doing("read positions"))?;
    Ok(rows.iter().map(|row| ByteRange { start: offset(row.get(0)), end: offset(row.get(1)) }).collect())
}
