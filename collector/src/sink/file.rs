//! The `file` sink: events appended to a file, synced before a position moves.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use settings::Table;

use super::{Batching, Encoding, SendError, Sink, disk};
use crate::source::chunk::Chunk;

/// Settings of the `file` sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSinkConfig {
    /// The file; its directory is made if need be.
    pub path: PathBuf,
    /// How events are written.
    pub encoding: Encoding,
    /// When.
    pub batching: Batching,
}

/// Appends to a file. After a kill between write and checkpoint the last batch is written again: a plain file cannot say
/// which events it holds. Exactly once is what `archive` is for.
#[derive(Debug)]
pub struct FileSink {
    config: FileSinkConfig,
    file: Option<File>,
}

impl FileSinkConfig {
    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        Self {
            path: table.required_string("path").into(),
            encoding: Encoding::prove(table),
            batching: Batching::prove(table, Batching::PROMPT),
        }
    }
}

impl FileSink {
    /// Appends to the file of this configuration.
    pub fn new(config: FileSinkConfig) -> Self {
        Self { config, file: None }
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                if let Some(dir) = self.config.path.parent() {
                    std::fs::create_dir_all(dir)?;
                }
                File::options().create(true).append(true).open(&self.config.path)?
            }
        };
        let before = file.seek(SeekFrom::End(0))?;
        // After a failure the file is opened anew and what may have been written of this batch is cut off again: a
        // failed sync says nothing of what is on the disk.
        if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_data()) {
            file.set_len(before)?;
            return Err(error);
        }
        self.file = Some(file);
        Ok(())
    }
}

impl Sink for FileSink {
    type Request = Vec<u8>;

    fn encode(&mut self, chunk: &Chunk, _: Option<i64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for event in &chunk.batch.events {
            self.config.encoding.write(event, &mut bytes);
        }
        bytes
    }

    async fn send(&mut self, bytes: &mut Vec<u8>) -> Result<(), SendError> {
        let attempt = format!("append to {}", self.config.path.display());
        self.append(bytes).map_err(|error| disk(&attempt, &error))
    }
}
