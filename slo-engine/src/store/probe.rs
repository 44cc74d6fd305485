//! What tests look at and change in the store behind the engine's back.

use std::collections::BTreeMap;

use sqlx::Row;

use super::{Store, commit};

/// Tables that must not grow without end.
const BOUNDED: [&str; 10] = [
    "rows",
    "cells",
    "streams",
    "tallies",
    "collectors",
    "episodes",
    "incidents",
    "outbox",
    "amendments",
    "export_marks",
];

/// How many rows lie in each table that must not grow without end.
pub(crate) async fn sizes(store: &Store) -> BTreeMap<&'static str, i64> {
    let mut tx = store.read().await.unwrap();
    let mut sizes = BTreeMap::new();
    for table in BOUNDED {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        sizes.insert(table, sqlx::query(sql).fetch_one(&mut *tx).await.unwrap().get(0));
    }
    sizes
}

/// Carries a statement out on the connection that writes, and commits it.
pub(crate) async fn run(store: &Store, sql: &str) {
    let mut tx = store.begin().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap();
    commit(tx).await.unwrap();
}

/// For the connection that writes now, the disk is full.
pub(crate) async fn fill_disk(store: &Store) {
    let mut tx = store.begin().await.unwrap();
    // Smaller than the file is, the limit is the file.
    sqlx::query("PRAGMA max_page_count = 1").fetch_all(&mut *tx).await.unwrap();
}

/// Waits for other writers no longer than this from now on.
pub(crate) async fn wait_at_most(store: &Store, milliseconds: u32) {
    let sql = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {milliseconds}"));
    sqlx::query(sql).fetch_all(&mut *store.begin().await.unwrap()).await.unwrap();
}
