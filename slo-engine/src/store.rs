//! The engine's state in SQLite, in a portable subset of SQL. One writer; every method that takes a transaction leaves
//! the commit to whoever decided what belongs together.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor, Row, Sqlite, SqlitePool};

pub mod alerts;
pub mod cluster;
pub mod counts;
pub mod exports;
pub mod ledger;
pub mod seals;

/// What makes each version of the schema of the one before it. A step that was released is never changed.
const STEPS: [&str; 7] = [
    include_str!("store/schema.sql"),
    include_str!("store/seals.sql"),
    include_str!("store/refreshes.sql"),
    include_str!("store/archived.sql"),
    include_str!("store/exports.sql"),
    include_str!("store/cluster.sql"),
    include_str!("store/nodes.sql"),
];

/// A store of a later version is refused.
const SCHEMA_VERSION: usize = STEPS.len();

/// Key of what tells this store from one that was lost before.
const IDENTITY: &str = "identity";

/// A transaction of the store.
pub type Transaction = sqlx::Transaction<'static, Sqlite>;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("cannot {attempted} in the engine's database: {cause}")]
    Database {
        /// What was attempted.
        attempted: &'static str,
        /// What the database said.
        cause: sqlx::Error,
    },
    /// Something in it cannot be read back.
    #[error(
        "cannot read the {what} in the engine's database: {cause}; restore it from a backup or remove the state directory to start anew"
    )]
    Corrupt {
        /// What cannot be read.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// Written by a later version of this program.
    #[error(
        "the engine's database has schema version {found}, this program knows up to {SCHEMA_VERSION}: run the version that wrote it, or a later one"
    )]
    TooNew {
        /// Version found.
        found: usize,
    },
}

/// Turns a database error into one that says what was attempted.
pub(crate) fn doing(attempted: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |cause| StoreError::Database { attempted, cause }
}

/// Turns a decoding error into one that says what cannot be read.
pub(crate) fn reading<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> StoreError {
    move |cause| StoreError::Corrupt { what, cause: cause.to_string() }
}

impl Store {
    /// Opens the database at `path`, made where there is none.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A reply and a page follow the commit, so the commit must survive a power cut.
            .synchronous(SqliteSynchronous::Full);
        // Invariant: one connection, so one writer and no reader that sees half of a tick.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(doing("open the file"))?;
        let store = Self { pool };
        store.migrate().await?;
        Ok(store)
    }

    /// Starts a transaction; dropped uncommitted, it leaves nothing.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        self.pool.begin().await.map_err(doing("begin a transaction"))
    }

    /// Waits for the last statement and closes the file.
    pub async fn close(self) {
        self.pool.close().await;
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let found = sqlx::query("SELECT name FROM sqlite_master WHERE name = 'meta'")
            .fetch_optional(&mut *tx)
            .await
            .map_err(doing("look for the schema"))?;
        let version = match found {
            None => 0,
            Some(_) => meta(&mut tx, "schema_version")
                .await?
                .unwrap_or_default()
                .parse()
                .map_err(reading("schema version"))?,
        };
        let Some(steps) = STEPS.get(version..) else { return Err(StoreError::TooNew { found: version }) };
        // Whoever only reads beside a running engine must not wait for its write.
        if !steps.is_empty() {
            for step in steps {
                tx.execute(*step).await.map_err(doing("bring the schema up to date"))?;
            }
            set_meta(&mut tx, "schema_version", &SCHEMA_VERSION.to_string()).await?;
        }
        if meta(&mut tx, IDENTITY).await?.is_none() {
            set_meta(&mut tx, IDENTITY, &random()?).await?;
        }
        commit(tx).await
    }
}

/// What tells this store from one that was lost before: random, made with the database.
pub async fn identity(tx: &mut Transaction) -> Result<String, StoreError> {
    Ok(meta(tx, IDENTITY).await?.unwrap_or_default())
}

/// A random identity of 32 hexadecimal digits.
pub(crate) fn random() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| doing("draw an identity from /dev/urandom")(error.into()))?;
    Ok(hex(&bytes))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Commits a transaction.
pub async fn commit(tx: Transaction) -> Result<(), StoreError> {
    tx.commit().await.map_err(doing("commit"))
}

/// Reads a value of the `meta` table.
pub async fn meta(tx: &mut Transaction, key: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE key = $1")
        .bind(key.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("read the meta table"))?;
    Ok(row.map(|row| row.get(0)))
}

/// Writes a value of the `meta` table.
pub async fn set_meta(tx: &mut Transaction, key: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        .bind(key.to_owned())
        .bind(value.to_owned())
        .execute(&mut **tx)
        .await
        .map_err(doing("write the meta table"))?;
    Ok(())
}

#[cfg(test)]
mod tests;
