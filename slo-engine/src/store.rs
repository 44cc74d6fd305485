//! The engine's state in SQLite, in a portable subset of SQL; there is no SQL outside of here. One connection writes, others
//! read what was committed and hold nobody up; every function that takes a transaction leaves the commit to whoever decided
//! what belongs together.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Executor, Row, Sqlite, SqlitePool};

pub mod alerts;
mod bytes;
mod change;
pub mod cluster;
pub mod counts;
pub mod exports;
pub mod ledger;
#[cfg(test)]
pub(crate) mod probe;
pub mod seals;

pub use change::{Change, apply};

/// What makes each version of the schema of the one before it. A step that was released is never changed.
const STEPS: [&str; 8] = [
    include_str!("store/schema.sql"),
    include_str!("store/seals.sql"),
    include_str!("store/refreshes.sql"),
    include_str!("store/archived.sql"),
    include_str!("store/exports.sql"),
    include_str!("store/cluster.sql"),
    include_str!("store/nodes.sql"),
    include_str!("store/folded.sql"),
];

/// The version of this program's schema.
const SCHEMA_VERSION: usize = STEPS.len();

/// The oldest version whose program can go on with what this one leaves. A step that only adds does not raise it, so that
/// a rollback over such a step goes on paging.
const MIN_READER: usize = 8;

/// Keys of the schema's version and of the oldest version whose program can read it.
const VERSION: &str = "schema_version";
const READER: &str = "min_reader";

/// Key of who may write: each engine that opens the store to write takes the next number.
const EPOCH: &str = "epoch";

/// A writer waits for another program before its first statement, not in the middle of what it does.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// Connections that only read.
const READERS: u32 = 4;

/// How long a statement waits for another program that writes.
const WRITER_WAITS: Duration = Duration::from_secs(30);

/// How long a reader waits for a connection; a writer waits longer, since nobody holds its connection for long.
const READER_WAITS: Duration = Duration::from_secs(5);

/// Pages that a look gives back to the file system.
const VACUUM_PAGES: u32 = 2000;

/// Key of when filling ended, in milliseconds since 1970.
pub const FILLED_MS: &str = "filled_ms";

/// Key of what tells this store from one that was lost before.
const IDENTITY: &str = "identity";

/// A transaction of the store.
pub type Transaction = sqlx::Transaction<'static, Sqlite>;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
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
    /// Somebody else has the right to write.
    #[error(
        "another engine (epoch {holder}) writes to this store, this one (epoch {epoch}) must not any more: stop one of them"
    )]
    Fenced {
        /// This engine's.
        epoch: u64,
        /// The one in force.
        holder: u64,
    },
    /// A commit failed, and what was committed before it could not be read since.
    #[error(
        "nothing is committed until the engine's database can be read again, as it could not be after a commit that failed"
    )]
    Lost,
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
    /// Opens the database at `path`, made where there is none. A database of an earlier version is copied beside itself
    /// first, and then brought up to date step by step; each step can be cut off and is gone on with.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let file = SqliteConnectOptions::new().filename(path).busy_timeout(WRITER_WAITS);
        let readers = file.clone().pragma("query_only", "1");
        let is_new = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
        // Said of a file that is there, it would be a write, and whoever only reads beside a running engine writes nothing.
        let file = if is_new { file.auto_vacuum(SqliteAutoVacuum::Incremental) } else { file };
        let options = file
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("journal_size_limit", "67108864")
            // A reply and a page follow the commit, so the commit must survive a power cut.
            .synchronous(SqliteSynchronous::Full);
        // Invariant: one connection writes, so what an engine decides is in one order.
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let store = Self {
            writer: writer.map_err(doing("open the file"))?,
            readers: SqlitePoolOptions::new()
                .max_connections(READERS)
                .acquire_timeout(READER_WAITS)
                .connect_lazy_with(readers),
        };
        store.migrate(path).await?;
        Ok(store)
    }

    /// Starts a transaction that writes; dropped uncommitted, it leaves nothing.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let begun = match self.writer.begin_with(BEGIN).await {
            // A full disk ends a transaction of its own accord, and the driver takes it to be open for ever.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                let broken = self.writer.acquire().await.map_err(doing("look at the connection"))?;
                // What it says on its way out is of no interest.
                let _ = broken.close().await;
                self.writer.begin_with(BEGIN).await
            }
            begun => begun,
        };
        begun.map_err(doing("begin a transaction"))
    }

    /// Starts a transaction that reads what was committed, beside whoever writes.
    pub async fn read(&self) -> Result<Transaction, StoreError> {
        self.readers.begin().await.map_err(doing("begin to read"))
    }

    /// Takes the right to write: whoever had it before is refused from now on.
    pub async fn take_epoch(&self) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let last: Option<u64> = meta_number(&mut tx, EPOCH).await?;
        let epoch = last.map_or(1, |last| last + 1);
        set_meta(&mut tx, EPOCH, &epoch.to_string()).await?;
        commit(tx).await?;
        Ok(epoch)
    }

    /// Starts a transaction of whoever holds `epoch`.
    pub async fn begin_as(&self, epoch: u64) -> Result<Transaction, StoreError> {
        let mut tx = self.begin().await?;
        match meta_number(&mut tx, EPOCH).await? {
            Some(holder) if holder != epoch => Err(StoreError::Fenced { epoch, holder }),
            _ => Ok(tx),
        }
    }

    /// Gives pages that nothing is stored in back to the file system, some at a time.
    pub async fn shrink(&self) -> Result<(), StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"));
        // Each row that it returns is a page.
        sqlx::query(sql).fetch_all(&self.writer).await.map_err(doing("shrink the file"))?;
        Ok(())
    }

    /// Waits for the last statement and closes the file.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn migrate(&self, path: &Path) -> Result<(), StoreError> {
        // Whoever only reads beside a running engine must not wait for its write.
        let (version, reader) = self.version().await?;
        let Some(steps) = STEPS.get(version..) else {
            return match reader {
                Some(reader) if reader <= SCHEMA_VERSION => Ok(()),
                _ => Err(StoreError::TooNew { found: version }),
            };
        };
        if !steps.is_empty() {
            if version > 0 {
                copy_beside(&self.writer, path, version).await?;
            }
            let mut tx = self.begin().await?;
            for step in steps {
                tx.execute(*step).await.map_err(doing("bring the schema up to date"))?;
            }
            alerts::note_resolved(&mut tx).await?;
            set_meta(&mut tx, VERSION, &SCHEMA_VERSION.to_string()).await?;
            set_meta(&mut tx, READER, &MIN_READER.to_string()).await?;
            if meta(&mut tx, IDENTITY).await?.is_none() {
                set_meta(&mut tx, IDENTITY, &random()?).await?;
            }
            commit(tx).await?;
        }
        self.pack_old_rows().await
    }

    /// The schema's version, 0 of a file without one, and the oldest version whose program can read it.
    async fn version(&self) -> Result<(usize, Option<usize>), StoreError> {
        let mut tx = self.read().await?;
        let found = sqlx::query("SELECT name FROM sqlite_master WHERE name = 'meta'")
            .fetch_optional(&mut *tx)
            .await
            .map_err(doing("look for the schema"))?;
        if found.is_none() {
            return Ok((0, None));
        }
        let version = number(&mut tx, VERSION).await?.unwrap_or_default();
        Ok((version, number(&mut tx, READER).await?))
    }

    /// Moves the rows of an earlier version an hour at a time.
    async fn pack_old_rows(&self) -> Result<(), StoreError> {
        let (mut moved, mut told) = (0, 0);
        while counts::has_old_rows(&mut self.read().await?).await? {
            let mut tx = self.begin().await?;
            moved += counts::pack_old_rows(&mut tx).await?;
            commit(tx).await?;
            if moved / 100_000 > told {
                told = moved / 100_000;
                tracing::info!(rows = moved, "packing the count rows of an earlier version");
            }
        }
        if moved > 0 {
            // From now on the file gives free pages back.
            for sql in ["PRAGMA auto_vacuum = 2", "VACUUM"] {
                sqlx::query(sql).execute(&self.writer).await.map_err(doing("shrink the file"))?;
            }
        }
        Ok(())
    }
}

/// Copies a database of an earlier version beside itself, once: whoever goes back to that version starts from the copy.
async fn copy_beside(pool: &SqlitePool, path: &Path, version: usize) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".version-{version}"));
    let copy = PathBuf::from(name);
    if copy.exists() {
        return Ok(());
    }
    let unfinished = copy.with_extension("unfinished");
    let failed = |error: std::io::Error| doing("copy the file before it is brought up to date")(error.into());
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    sqlx::query("VACUUM INTO $1")
        .bind(unfinished.display().to_string())
        .execute(pool)
        .await
        .map_err(doing("copy the file before it is brought up to date"))?;
    std::fs::rename(&unfinished, &copy).map_err(failed)?;
    tracing::info!(copy = %copy.display(), "the store of an earlier version was copied; remove the copy when all is well");
    Ok(())
}

async fn number(tx: &mut Transaction, key: &str) -> Result<Option<usize>, StoreError> {
    meta(tx, key).await?.map(|text| text.parse().map_err(reading("schema version"))).transpose()
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

/// Reads a number of the `meta` table; what is none is as if it were not there.
pub async fn meta_number<T: FromStr>(tx: &mut Transaction, key: &str) -> Result<Option<T>, StoreError> {
    Ok(meta(tx, key).await?.and_then(|text| text.parse().ok()))
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
