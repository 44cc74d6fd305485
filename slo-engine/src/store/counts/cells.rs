//! Cells: what the rows of an hour add up to once nobody cuts them any more.

use std::collections::BTreeMap;

use slo::cells::{CellKey, HourBlock, StreamShare};
use slo::counts::MinuteId;
use sqlx::Row;

use super::super::bytes::{compress, decompress};
use super::super::{StoreError, Transaction, doing, reading};
use super::{StoredRow, add_ladder, column, packed};

/// Level of compression: a block is written once, or a few times.
const ZSTD_LEVEL: i32 = 6;

/// Bytes of packed rows that one fold takes in, so that nobody waits for it long.
const BYTES_A_FOLD: usize = 1 << 20;

/// What one fold did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Minutes of streams that are cells now.
    pub minutes: u64,
    /// There may be more.
    pub more: bool,
}

/// The cells of an hour; nothing where none of its rows have folded.
pub async fn cells(tx: &mut Transaction, hour: i64) -> Result<Option<HourBlock>, StoreError> {
    let row = sqlx::query("SELECT body FROM cells WHERE hour = $1")
        .bind(hour)
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read cells"))?;
    row.map(|row| block(row.get("body"))).transpose()
}

/// Shows every hour's cells to `visit`, oldest first, one hour in memory at a time.
pub async fn all_cells(tx: &mut Transaction, mut visit: impl FnMut(HourBlock)) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT hour FROM cells ORDER BY hour").fetch_all(&mut **tx).await;
    for row in rows.map_err(doing("read cells"))? {
        if let Some(block) = cells(tx, row.get("hour")).await? {
            visit(block);
        }
    }
    Ok(())
}

/// Folds rows of minutes before `before` that are not marked for Elasticsearch, and all of before `anyway`: of one hour, and
/// of so many streams' minutes that nobody waits for it long.
pub async fn fold(tx: &mut Transaction, before: MinuteId, anyway: MinuteId) -> Result<Folded, StoreError> {
    let rows = sqlx::query(
        "SELECT minute, stream, body FROM rows r WHERE minute < $1 AND (minute < $2 OR NOT EXISTS \
         (SELECT 1 FROM export_marks m WHERE m.kind = 'rows' AND m.minute = r.minute AND m.name = r.stream)) \
         ORDER BY minute, stream LIMIT 1000",
    )
    .bind(before.0)
    .bind(anyway.0)
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read what folds"))?;
    let Some(first) = rows.first() else { return Ok(Folded::default()) };
    let hour = first.get::<i64, _>("minute").div_euclid(60);
    let mut block = cells(tx, hour).await?.unwrap_or_else(|| HourBlock::new(hour));
    let (mut folded, mut bytes) = (Folded { minutes: 0, more: true }, 0);
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for row in &rows {
        let (minute, stream, body): (i64, &str, &[u8]) = (row.get(0), row.get(1), row.get(2));
        if minute.div_euclid(60) != hour || bytes > BYTES_A_FOLD {
            break;
        }
        bytes += body.len();
        for stored in packed::unpack(stream, MinuteId(minute), body)? {
            let end = ends.entry(stream.to_owned()).or_default();
            *end = stored.row.range.end.max(*end);
            take_in(&mut block, &stored);
        }
        for sql in [
            "DELETE FROM rows WHERE minute = $1 AND stream = $2",
            "DELETE FROM export_marks WHERE kind = 'rows' AND minute = $1 AND name = $2",
        ] {
            let query = sqlx::query(sql).bind(minute).bind(stream.to_owned());
            query.execute(&mut **tx).await.map_err(doing("fold count rows"))?;
        }
        folded.minutes += 1;
    }
    put_cells(tx, &block).await?;
    for (stream, end) in ends {
        sqlx::query("UPDATE streams SET folded_end = $2 WHERE stream = $1 AND folded_end < $2")
            .bind(stream)
            .bind(column(end))
            .execute(&mut **tx)
            .await
            .map_err(doing("note what folded"))?;
    }
    Ok(folded)
}

/// Adds a row to the cells of its hour.
fn take_in(block: &mut HourBlock, stored: &StoredRow) {
    let row = &stored.row;
    let key = CellKey {
        service: row.key.service.clone(),
        origin: row.key.origin,
        sli: row.key.sli,
        version: row.key.version,
        edges_us: stored.edges_us.clone(),
    };
    let hour = block.series.entry(key).or_default();
    let cell = hour.minutes.entry(row.key.minute).or_default();
    cell.counts += row.counts;
    cell.partial |= stored.partial;
    add_ladder(&mut cell.ladder, &row.ladder);
    hour.sketch.merge(&row.sketch);
    let none = StreamShare { total: 0, newest: row.key.minute };
    let share = hour.streams.entry(row.key.stream.clone()).or_insert(none);
    share.total = share.total.saturating_add(row.counts.total);
    share.newest = share.newest.max(row.key.minute);
}

async fn put_cells(tx: &mut Transaction, block: &HourBlock) -> Result<(), StoreError> {
    let body = compress(&block.encode(), ZSTD_LEVEL)?;
    sqlx::query(
        "INSERT INTO cells (hour, body) VALUES ($1, $2) ON CONFLICT (hour) DO UPDATE SET body = excluded.body",
    )
    .bind(block.hour)
    .bind(body)
    .execute(&mut **tx)
    .await
    .map_err(doing("write cells"))?;
    Ok(())
}

fn block(body: &[u8]) -> Result<HourBlock, StoreError> {
    HourBlock::decode(&decompress(body)?).map_err(reading("cells"))
}
