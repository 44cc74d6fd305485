//! Where segments go: the seam between the archive and a directory, an S3 bucket, or whatever keeps objects by key.

mod directory;
mod s3;

use std::time::Duration;

use crate::key::{InvalidName, sha256_hex};
use crate::spool::Staged;
pub use directory::DirectoryStore;
pub use s3::{S3Config, S3Store};

/// A place that keeps objects by key and never overwrites one.
#[derive(Clone, Debug)]
pub enum Store {
    /// A local directory.
    Directory(DirectoryStore),
    /// An S3 bucket.
    S3(S3Store),
}

/// What a put found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Nothing was there; now the object is, durably.
    Created,
    /// The object was there with the same checksum: an earlier try went through.
    AlreadySame,
}

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another object lies under the key. To be alerted on: two writers share an identity, or the archive was altered.
    #[error(
        "put {key}: an object with checksum {found} is there, this one has {wanted}; find out who else writes as this \
         collector and epoch before anything is deleted"
    )]
    Conflict {
        /// The key.
        key: String,
        /// SHA-256 of what lies there.
        found: String,
        /// SHA-256 of what should have been put.
        wanted: String,
    },
    /// The bytes are not those that the checksum was taken of; nothing was written.
    #[error("put {key}: the bytes have checksum {found}, not {wanted}: they were damaged on the way")]
    Checksum {
        /// The key.
        key: String,
        /// SHA-256 of the bytes.
        found: String,
        /// SHA-256 that was given.
        wanted: String,
    },
    /// A key that could leave the store's root.
    #[error("refused key {key:?}: {cause}")]
    Key {
        /// The key as it was given.
        key: String,
        /// The part that is wrong.
        cause: InvalidName,
    },
    /// Nothing lies under the key.
    #[error("get {key}: no such object")]
    Missing {
        /// The key.
        key: String,
    },
    /// The store failed; the same request may be sent again.
    #[error("{attempt}: {cause}")]
    Io {
        /// What was attempted, with what.
        attempt: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The server refused or did not answer; the same request may be sent again, however often.
    #[error("{attempt}: {cause}")]
    Unavailable {
        /// What was attempted, with what.
        attempt: String,
        /// What came back, and what to mend.
        cause: String,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
    },
}

impl Store {
    /// Keeps `bytes` under `key` unless something is there. On success the object is durable. `sha256` is that of
    /// `bytes` as [`sha256_hex`] writes it.
    ///
    /// # Errors
    /// Only [`StoreError::Io`] and [`StoreError::Unavailable`] may pass when tried again.
    pub async fn put_if_absent(&self, key: &str, bytes: &[u8], sha256: &str) -> Result<Put, StoreError> {
        let found = sha256_hex(bytes);
        if found != sha256 {
            return Err(StoreError::Checksum { key: key.to_owned(), found, wanted: sha256.to_owned() });
        }
        match self {
            Self::Directory(directory) => directory.put_if_absent(key, bytes, sha256),
            Self::S3(bucket) => bucket.put_if_absent(key, bytes, sha256).await,
        }
    }

    /// The object under `key`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Directory(directory) => directory.get(key),
            Self::S3(bucket) => bucket.get(key).await,
        }
    }

    /// Every key that begins with `prefix`, ascending.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Directory(directory) => directory.list(prefix),
            Self::S3(bucket) => bucket.list(prefix).await,
        }
    }

    /// Puts a staged segment: its data, then its manifest. A segment without a manifest does not count, so it may stop
    /// between the two; the same call again completes it.
    ///
    /// # Errors
    /// As [`Store::put_if_absent`]; the segment stays staged.
    pub async fn put_segment(&self, staged: &Staged) -> Result<Put, StoreError> {
        let (data, manifest) = staged.read()?;
        let id = staged.id();
        self.put_if_absent(&id.data_key(), &data, &staged.manifest().contents.sha256).await?;
        self.put_if_absent(&id.manifest_key(), &manifest, &sha256_hex(&manifest)).await
    }
}
