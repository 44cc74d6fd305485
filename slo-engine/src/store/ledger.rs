//! The ledger in the store: blocks are appended and read, never changed.

use slo::counts::MinuteId;
use slo::ledger::{Block, Tip};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{StoreError, Transaction, doing, hex, reading};

/// Level of compression; a block is small, so a higher one gains nothing.
const ZSTD_LEVEL: i32 = 3;

/// Appends a block.
pub async fn append(tx: &mut Transaction, block: &Block) -> Result<(), StoreError> {
    let body = zstd::bulk::compress(&block.encode(), ZSTD_LEVEL).map_err(reading("ledger block"))?;
    sqlx::query("INSERT INTO ledger (seq, minute, hash, body) VALUES ($1, $2, $3, $4)")
        .bind(i64::try_from(block.number()).map_err(reading("ledger block"))?)
        .bind(block.minute().0)
        .bind(hex(&block.hash()))
        .bind(body)
        .execute(&mut **tx)
        .await
        .map_err(doing("append a ledger block"))?;
    Ok(())
}

/// Behind which block the next one goes.
pub async fn tip(tx: &mut Transaction) -> Result<Tip, StoreError> {
    let row = sqlx::query("SELECT body FROM ledger ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read the ledger"))?;
    let Some(row) = row else { return Ok(Tip::START) };
    let last = block(&row)?;
    Ok(Tip { next: last.number() + 1, hash: last.hash() })
}

/// Every block, in the order of the chain.
pub async fn blocks(tx: &mut Transaction) -> Result<Vec<Block>, StoreError> {
    let rows = sqlx::query("SELECT body FROM ledger ORDER BY seq")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the ledger"))?;
    rows.iter().map(block).collect()
}

/// The blocks about minutes of `[from, to)`, in the order of the chain.
pub async fn blocks_between(
    tx: &mut Transaction,
    from: MinuteId,
    to: MinuteId,
) -> Result<Vec<Block>, StoreError> {
    let rows = sqlx::query("SELECT body FROM ledger WHERE minute >= $1 AND minute < $2 ORDER BY seq")
        .bind(from.0)
        .bind(to.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the ledger"))?;
    rows.iter().map(block).collect()
}

/// The blocks of a minute, in the order of the chain.
pub async fn blocks_of(tx: &mut Transaction, minute: MinuteId) -> Result<Vec<Block>, StoreError> {
    let rows = sqlx::query("SELECT body FROM ledger WHERE minute = $1 ORDER BY seq")
        .bind(minute.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the ledger"))?;
    rows.iter().map(block).collect()
}

/// Notes that minutes that were already said have changed; a later tick amends them.
pub async fn note_amendments(tx: &mut Transaction, minutes: &[MinuteId]) -> Result<(), StoreError> {
    for minute in minutes {
        sqlx::query("INSERT INTO amendments (minute) VALUES ($1) ON CONFLICT (minute) DO NOTHING")
            .bind(minute.0)
            .execute(&mut **tx)
            .await
            .map_err(doing("note an amendment"))?;
    }
    Ok(())
}

/// Notes every minute of `[from, to)` of which something was said.
pub async fn note_said(tx: &mut Transaction, from: MinuteId, to: MinuteId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO amendments (minute) SELECT DISTINCT minute FROM ledger WHERE minute >= $1 AND minute < $2 \
         ON CONFLICT (minute) DO NOTHING",
    )
    .bind(from.0)
    .bind(to.0)
    .execute(&mut **tx)
    .await
    .map_err(doing("note amendments"))?;
    Ok(())
}

/// The first minutes that are to be amended.
pub async fn amendments(tx: &mut Transaction, limit: i64) -> Result<Vec<MinuteId>, StoreError> {
    let rows = sqlx::query("SELECT minute FROM amendments ORDER BY minute LIMIT $1")
        .bind(limit)
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the amendments"))?;
    Ok(rows.iter().map(|row| MinuteId(row.get(0))).collect())
}

/// Minutes were amended.
pub async fn amended(tx: &mut Transaction, minutes: &[MinuteId]) -> Result<(), StoreError> {
    for minute in minutes {
        sqlx::query("DELETE FROM amendments WHERE minute = $1")
            .bind(minute.0)
            .execute(&mut **tx)
            .await
            .map_err(doing("take back an amendment"))?;
    }
    Ok(())
}

fn block(row: &SqliteRow) -> Result<Block, StoreError> {
    let bytes = zstd::stream::decode_all(row.get::<&[u8], _>("body")).map_err(reading("ledger block"))?;
    Block::decode(&bytes).map_err(reading("ledger block"))
}
