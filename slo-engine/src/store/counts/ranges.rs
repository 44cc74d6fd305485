//! Which bytes of the streams are counted.

use std::collections::BTreeMap;

use slo::counts::ByteRange;
use sqlx::Row;

use super::super::{StoreError, Transaction, doing};
use super::offset;

/// For each stream, the offset below which everything is counted, whoever sent it.
pub async fn positions(tx: &mut Transaction) -> Result<BTreeMap<String, u64>, StoreError> {
    let rows = sqlx::query("SELECT stream, MAX(range_end) FROM tallies GROUP BY stream")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read positions"))?;
    Ok(rows.iter().map(|row| (row.get(0), offset(row.get(1)))).collect())
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
