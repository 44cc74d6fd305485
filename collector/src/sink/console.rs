//! The `console` sink: events on standard output, one a line.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use settings::Table;

use super::{Batching, Encoding, SendError, Sink, disk};
use crate::source::chunk::Chunk;

/// Settings of the `console` sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// How events are written.
    pub encoding: Encoding,
    /// When.
    pub batching: Batching,
}

/// Writes to a stream, without a buffer: a line counts as delivered when the system has taken it.
#[derive(Debug)]
pub struct ConsoleSink {
    encoding: Encoding,
    out: Arc<File>,
}

/// Lines, and how many bytes of them are written.
#[derive(Clone, Debug)]
pub struct Pending {
    bytes: Bytes,
    written: usize,
}

impl ConsoleConfig {
    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let encoding = Encoding::prove(table);
        Self { encoding, batching: Batching::prove(table, Batching::PROMPT) }
    }
}

impl ConsoleSink {
    /// Writes to the standard output of this process.
    ///
    /// # Errors
    /// It is closed.
    pub fn new(config: &ConsoleConfig) -> io::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self::to(config, stdout.into()))
    }

    fn to(config: &ConsoleConfig, out: File) -> Self {
        Self { encoding: config.encoding, out: Arc::new(out) }
    }
}

impl Pending {
    /// Writes what is not written yet.
    fn write(&mut self, mut out: &File) -> io::Result<()> {
        while self.written < self.bytes.len() {
            match out.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Sink for ConsoleSink {
    type Request = Pending;

    fn encode(&mut self, chunk: &Chunk, _: Option<i64>) -> Pending {
        let mut bytes = Vec::new();
        for event in &chunk.batch.events {
            self.encoding.write(event, &mut bytes);
        }
        Pending { bytes: bytes.into(), written: 0 }
    }

    async fn send(&mut self, pending: &mut Pending) -> Result<(), SendError> {
        let (out, mut lines) = (self.out.clone(), pending.clone());
        // Whoever reads the other end of a pipe may be slow.
        let writing = tokio::task::spawn_blocking(move || {
            let result = lines.write(&out);
            (lines.written, result)
        });
        let (written, result) =
            writing.await.map_err(|error| disk("write to standard output", &io::Error::other(error)))?;
        pending.written = written;
        result.map_err(|error| disk("write to standard output", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_full_disk_did_not_take_never_counts_as_written() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let config = ConsoleConfig { encoding: Encoding::Text, batching: Batching::PROMPT };
        let mut sink = ConsoleSink::to(&config, full);
        let mut pending = Pending { bytes: Bytes::from_static(b"a line\n"), written: 0 };
        for _ in 0..3 {
            assert!(matches!(sink.send(&mut pending).await, Err(SendError::Retry { .. })));
        }
    }
}
