//! What an archive holds, read back by whoever only has the archive.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use archive::{DirectoryStore, Reader, Store, restore, verify};

/// Every record of an archive, and every stream as a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// The line of each record, by (stream, offset, index).
    pub records: BTreeMap<(String, u64, u32), Vec<u8>>,
    /// The bytes of each stream, by its identity.
    pub streams: BTreeMap<String, Vec<u8>>,
}

impl Archived {
    /// Reads the archive of a data directory.
    ///
    /// # Errors
    /// As [`Archived::in_store`].
    pub async fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let store = Store::Directory(DirectoryStore::open(&data_dir.join("archive"))?);
        Self::in_store(&store).await
    }

    /// Reads an archive.
    ///
    /// # Errors
    /// It cannot be read, is damaged or incomplete, misses bytes of a stream, or holds some twice.
    pub async fn in_store(store: &Store) -> anyhow::Result<Self> {
        let report = verify(store).await?;
        ensure!(report.is_sound() && report.overlaps == 0, "the archive is not whole: {report:?}");
        ensure!(report.incomplete.is_empty(), "deliveries were not completed: {:?}", report.incomplete);
        let mut archived = Self::default();
        let mut reader = Reader::open(store).await?;
        while let Some(part) = reader.next().await? {
            for record in part.records {
                let repeated =
                    archived.records.insert((record.stream, record.offset, record.index), record.line);
                ensure!(repeated.is_none(), "a record is there twice");
            }
        }
        let directory = tempfile::tempdir()?;
        for (stream, path) in restore(store, &directory.path().join("restored")).await?.files {
            archived.streams.insert(stream, std::fs::read(path)?);
        }
        Ok(archived)
    }
}
