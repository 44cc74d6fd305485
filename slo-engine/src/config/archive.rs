//! The key `archive`: where the collectors' archive lies.

use std::path::PathBuf;

use archive::{DirectoryStore, S3Config, S3Store, Store, StoreError};
use settings::Table;

/// Where the archive lies, as the collectors' sinks have it.
#[derive(Clone, Debug)]
pub enum ArchiveConfig {
    /// In a directory.
    Directory(PathBuf),
    /// In an S3 bucket.
    S3(Box<S3Config>),
}

impl ArchiveConfig {
    const TYPES: &'static [&'static str] = &["aws_s3", "directory"];

    pub(super) fn prove(table: &mut Table<'_>) -> Option<Self> {
        let mut archive = table.table("archive")?;
        let proven = match archive.one_of("type", Self::TYPES, None) {
            Some("directory") => Some(Self::Directory(archive.required_string("path").into())),
            Some("aws_s3") => Some(Self::S3(Box::new(S3Config::prove(&mut archive)))),
            _ => None,
        };
        archive.finish();
        proven
    }

    /// Opens it.
    ///
    /// # Errors
    /// Says what cannot be opened and why.
    pub fn open(&self) -> Result<Store, StoreError> {
        match self {
            Self::Directory(path) => Ok(Store::Directory(DirectoryStore::open(path)?)),
            Self::S3(config) => Ok(Store::S3(S3Store::new(config))),
        }
    }
}
