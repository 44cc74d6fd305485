//! Sealed months in the store: a month's files are committed with its seal, and stay until they lie everywhere.

use std::collections::BTreeMap;

use sqlx::Row;

use super::{StoreError, Transaction, doing, meta, reading, set_meta};
use crate::seal::{Seal, Sealed};

/// Notes a sealed month, to be delivered.
pub async fn put(tx: &mut Transaction, sealed: &Sealed) -> Result<(), StoreError> {
    let Sealed { seal, files } = sealed;
    let body = serde_json::to_string(seal).map_err(reading("seal"))?;
    sqlx::query("INSERT INTO seals (month, number, delivered, body) VALUES ($1, $2, 0, $3)")
        .bind(seal.month.clone())
        .bind(i64::from(seal.restatement))
        .bind(body)
        .execute(&mut **tx)
        .await
        .map_err(doing("write a seal"))?;
    for (name, body) in files {
        sqlx::query("INSERT INTO seal_files (month, number, name, body) VALUES ($1, $2, $3, $4)")
            .bind(seal.month.clone())
            .bind(i64::from(seal.restatement))
            .bind(name.clone())
            .bind(body.clone())
            .execute(&mut **tx)
            .await
            .map_err(doing("write a sealed file"))?;
    }
    Ok(())
}

/// Notes that a seal was taken over: it speaks of the ledger of an engine whose state was lost.
pub async fn note_adopted(tx: &mut Transaction, seal: &Seal) -> Result<(), StoreError> {
    set_meta(tx, &adopted_key(&seal.month, seal.restatement), "1").await
}

/// Every seal that speaks of this store's own ledger, oldest first: those of before the state was lost and filled at
/// `filled_ms` do not.
pub async fn own(tx: &mut Transaction, filled_ms: Option<i64>) -> Result<Vec<Seal>, StoreError> {
    let rows = sqlx::query("SELECT body FROM seals ORDER BY month, number")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the seals"))?;
    let mut own = Vec::new();
    for row in rows {
        let seal: Seal = serde_json::from_str(row.get("body")).map_err(reading("seal"))?;
        let is_older = filled_ms.is_some_and(|filled| seal.sealed_at.as_millisecond() < filled);
        let adopted = meta(tx, &adopted_key(&seal.month, seal.restatement)).await?.is_some();
        own.extend((!is_older && !adopted).then_some(seal));
    }
    Ok(own)
}

fn adopted_key(month: &str, number: u32) -> String {
    format!("adopted_seal {month} {number}")
}

/// The newest word on a month.
pub async fn latest(tx: &mut Transaction, month: &str) -> Result<Option<Seal>, StoreError> {
    let row = sqlx::query("SELECT body FROM seals WHERE month = $1 ORDER BY number DESC LIMIT 1")
        .bind(month.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read a seal"))?;
    row.map(|row| serde_json::from_str(row.get("body")).map_err(reading("seal"))).transpose()
}

/// Sealed months whose files do not lie everywhere yet, oldest first.
pub async fn pending(tx: &mut Transaction) -> Result<Vec<Sealed>, StoreError> {
    let rows = sqlx::query("SELECT body FROM seals WHERE delivered = 0 ORDER BY month, number")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read the seals"))?;
    let mut pending = Vec::new();
    for row in rows {
        let seal: Seal = serde_json::from_str(row.get("body")).map_err(reading("seal"))?;
        let files = files(tx, &seal).await?;
        pending.push(Sealed { seal, files });
    }
    Ok(pending)
}

/// Notes that a month's files lie everywhere, and drops them here.
pub async fn delivered(tx: &mut Transaction, seal: &Seal) -> Result<(), StoreError> {
    for statement in [
        "UPDATE seals SET delivered = 1 WHERE month = $1 AND number = $2",
        "DELETE FROM seal_files WHERE month = $1 AND number = $2",
    ] {
        sqlx::query(statement)
            .bind(seal.month.clone())
            .bind(i64::from(seal.restatement))
            .execute(&mut **tx)
            .await
            .map_err(doing("note a delivered seal"))?;
    }
    Ok(())
}

async fn files(tx: &mut Transaction, seal: &Seal) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let rows = sqlx::query("SELECT name, body FROM seal_files WHERE month = $1 AND number = $2")
        .bind(seal.month.clone())
        .bind(i64::from(seal.restatement))
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read sealed files"))?;
    Ok(rows.iter().map(|row| (row.get("name"), row.get("body"))).collect())
}
