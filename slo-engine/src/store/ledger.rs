//! The ledger in the store: blocks are appended and read, never changed.

use slo::counts::MinuteId;
use slo::ledger::{Block, Tip};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{StoreError, Transaction, doing, hex, meta, meta_number, reading, set_meta};

/// Level of compression; a block is small, so a higher one gains nothing.
const ZSTD_LEVEL: i32 = 3;

/// Key of the minute (exclusive) up to which the ledger has spoken.
pub const LEDGER_TO: &str = "ledger_to";

/// Key of where the chain ended when the last block was appended: how many blocks, and the hash of the last one.
const TIP: &str = "ledger_tip";

/// Key of the first place where the chain was found to have been changed by someone else.
const BROKEN: &str = "ledger_broken";

/// A block as it lies in the store: its columns, and what its bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its place in the chain.
    pub number: i64,
    /// The minute that it is about.
    pub minute: MinuteId,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
    /// The block itself.
    pub block: Block,
}

/// What the store says of its chain beside the blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many blocks the chain has and the hash of the last one; nothing where an earlier version appended it.
    pub tip: Option<(u64, String)>,
    /// Up to which minute (exclusive) the ledger has spoken.
    pub to: Option<MinuteId>,
    /// Where an engine found that the chain had been changed behind its back.
    pub broken: Option<String>,
}

/// Appends a block, and notes that the chain ends with it.
pub async fn append(tx: &mut Transaction, block: &Block) -> Result<(), StoreError> {
    let follows = (block.number(), hex(&block.previous()));
    if let Some(told) = told_tip(tx).await?.filter(|told| *told != follows && block.number() > 0) {
        let text = format!(
            "{} blocks were said, the last one {}; then {} were found, the last one {}",
            told.0, told.1, follows.0, follows.1
        );
        tracing::error!("the ledger was changed by someone else: {text}; compare it with the sealed months");
        if meta(tx, BROKEN).await?.is_none() {
            set_meta(tx, BROKEN, &text).await?;
        }
    }
    set_meta(tx, TIP, &format!("{} {}", block.number() + 1, hex(&block.hash()))).await?;
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

/// Every block with its columns, in the order of the chain.
pub async fn stored(tx: &mut Transaction) -> Result<Vec<StoredBlock>, StoreError> {
    let rows = sqlx::query("SELECT seq, minute, hash, body FROM ledger ORDER BY seq")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the ledger"))?;
    let stored = |row: &SqliteRow| {
        let (number, minute, hash) = (row.get(0), MinuteId(row.get(1)), row.get(2));
        Ok(StoredBlock { number, minute, hash, block: block(row)? })
    };
    rows.iter().map(stored).collect()
}

/// What the store says of its chain beside the blocks.
pub async fn told(tx: &mut Transaction) -> Result<Told, StoreError> {
    let to = meta_number(tx, LEDGER_TO).await?.map(MinuteId);
    Ok(Told { tip: told_tip(tx).await?, to, broken: meta(tx, BROKEN).await? })
}

async fn told_tip(tx: &mut Transaction) -> Result<Option<(u64, String)>, StoreError> {
    let Some(text) = meta(tx, TIP).await? else { return Ok(None) };
    let parts = text.split_once(' ').and_then(|(count, hash)| Some((count.parse().ok()?, hash.to_owned())));
    parts.map(Some).ok_or_else(|| reading("end of the ledger")("it is not a number and a hash"))
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
