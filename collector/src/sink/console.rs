//! The `console` sink: events on standard output, one a line.

use settings::Table;
use tokio::io::{AsyncWrite, AsyncWriteExt};

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

/// Writes to a stream.
#[derive(Debug)]
pub struct ConsoleSink<W> {
    encoding: Encoding,
    out: W,
}

/// Lines, and how many bytes of them are written.
#[derive(Debug)]
pub struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

impl ConsoleConfig {
    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let encoding = Encoding::prove(table);
        Self { encoding, batching: Batching::prove(table, Batching::PROMPT) }
    }
}

impl<W> ConsoleSink<W> {
    /// Writes to `out`.
    pub fn new(config: &ConsoleConfig, out: W) -> Self {
        Self { encoding: config.encoding, out }
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> Sink for ConsoleSink<W> {
    type Request = Pending;

    fn encode(&mut self, chunk: &Chunk, _: Option<i64>) -> Pending {
        let mut bytes = Vec::new();
        for event in &chunk.batch.events {
            self.encoding.write(event, &mut bytes);
        }
        Pending { bytes, written: 0 }
    }

    async fn send(&mut self, pending: &mut Pending) -> Result<(), SendError> {
        while pending.written < pending.bytes.len() {
            let count = self.out.write(&pending.bytes[pending.written..]).await;
            pending.written += count.map_err(|error| disk("write to standard output", &error))?;
        }
        self.out.flush().await.map_err(|error| disk("write to standard output", &error))
    }
}
