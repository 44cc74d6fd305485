//! The ledger in the store: blocks are appended and read, never changed.

use slo::counts::{Counts, MinuteId};
use slo::ledger::{Block, Entry, EntryState, Tip};
use slo::series::Minute;
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

/// Appends what is said of a minute: what is not idle the first time, afterwards only what changed, and nothing when
/// nothing did. An SLO without a word was idle; so was one that was said and is not among the entries any more: its requests
/// count for another name.
pub async fn say(
    tx: &mut Transaction,
    tip: Tip,
    minute: MinuteId,
    entries: Vec<Entry>,
) -> Result<Tip, StoreError> {
    let said = blocks_of(tx, minute).await?;
    let table = slo::ledger::table(&said);
    let is_news = |entry: &Entry| match table.get(&(minute, entry.service.clone(), entry.sli)) {
        Some(word) => word != entry,
        None => entry.minute() != Minute::IDLE,
    };
    let is_said =
        |service: &str, sli| entries.iter().any(|entry| entry.service == service && entry.sli == sli);
    let moved =
        table.values().filter(|word| word.minute() != Minute::IDLE && !is_said(&word.service, word.sli));
    let moved: Vec<Entry> = moved.map(idle).collect();
    let news: Vec<Entry> = entries.into_iter().filter(is_news).chain(moved).collect();
    if news.is_empty() {
        return Ok(tip);
    }
    let amendment = u32::try_from(said.len()).map_err(reading("ledger"))?;
    let block = Block::new(tip, minute, amendment, news).map_err(reading("ledger block"))?;
    append(tx, &block).await?;
    Ok(Tip { next: tip.next + 1, hash: block.hash() })
}

fn idle(word: &Entry) -> Entry {
    let (service, sli) = (word.service.clone(), word.sli);
    Entry { service, sli, state: EntryState::Read, counts: Counts::default(), ladder: Vec::new() }
}

/// Notes that a minute that was already said has changed; the next tick amends it.
pub async fn note_amendment(tx: &mut Transaction, minute: MinuteId) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO amendments (minute) VALUES ($1) ON CONFLICT (minute) DO NOTHING")
        .bind(minute.0)
        .execute(&mut **tx)
        .await
        .map_err(doing("note an amendment"))?;
    Ok(())
}

/// Notes every minute of `[from, to)` of which something was said.
pub async fn note_amendments(tx: &mut Transaction, from: MinuteId, to: MinuteId) -> Result<(), StoreError> {
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

/// Minutes that are to be amended; the note is gone with the transaction that amends them.
pub async fn take_amendments(tx: &mut Transaction) -> Result<Vec<MinuteId>, StoreError> {
    let rows = sqlx::query("DELETE FROM amendments RETURNING minute")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the amendments"))?;
    let mut minutes: Vec<MinuteId> = rows.iter().map(|row| MinuteId(row.get(0))).collect();
    minutes.sort_unstable();
    Ok(minutes)
}

fn block(row: &SqliteRow) -> Result<Block, StoreError> {
    let bytes = zstd::stream::decode_all(row.get::<&[u8], _>("body")).map_err(reading("ledger block"))?;
    Block::decode(&bytes).map_err(reading("ledger block"))
}
