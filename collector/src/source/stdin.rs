//! The `stdin` source: lines of standard input. What was read and not delivered when the process dies is lost, as nobody
//! can read it again; every run is a stream of its own.

use std::sync::Arc;

use bytes::BytesMut;
use settings::Table;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::chunk::{Chunk, Mark, describe};
use super::lines::{Edges, Line, Lines, Text};
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::event::{Body, Event, Place, Span, Stream};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Settings of the `stdin` source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StdinConfig {
    /// Longest line in bytes; a longer one goes to the dead-letter store.
    pub max_line_bytes: usize,
}

/// The lines of an input that is read once.
pub struct Input<R> {
    reader: R,
    stream: Arc<Stream>,
    component: String,
    lines: Lines,
    dead_letters: DeadLetters,
    ended: bool,
}

impl StdinConfig {
    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        Self { max_line_bytes: super::prove_max_line_bytes(table) }
    }
}

impl<R: AsyncRead + Unpin> Input<R> {
    /// Reads `reader` as `stream`.
    pub fn new(reader: R, stream: Stream, component: &str, max: usize, dead_letters: DeadLetters) -> Self {
        let lines = Lines::new(max, 0, Edges::default());
        let component = component.to_owned();
        Self { reader, stream: Arc::new(stream), component, lines, dead_letters, ended: false }
    }

    /// The next lines; nothing at the end.
    ///
    /// # Errors
    /// The input or the dead-letter store failed.
    pub async fn next_chunk(&mut self) -> std::io::Result<Option<Chunk>> {
        if self.ended {
            return Ok(None);
        }
        let start = self.lines.position();
        let mut lines = Vec::new();
        while lines.is_empty() && !self.ended {
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            match self.reader.read_buf(&mut buffer).await? {
                0 => {
                    self.ended = true;
                    lines.extend(self.lines.finish());
                }
                _ => self.lines.feed(&buffer.freeze(), &mut lines),
            }
        }
        self.chunk(start, lines).map(Some)
    }

    fn chunk(&self, start: u64, lines: Vec<Line>) -> std::io::Result<Chunk> {
        let mut chunk = Chunk::default();
        let mut marks = Vec::with_capacity(lines.len());
        for Line { offset, text, .. } in lines {
            marks.push(Mark { offset, dead_lettered: !matches!(text, Text::Whole(_)), time: None });
            match text {
                Text::Whole(text) => chunk.batch.events.push(Event {
                    place: Place { stream: self.stream.clone(), offset, index: 0 },
                    time: None,
                    stdio: None,
                    body: Body::Line(text),
                }),
                Text::TooLong { sample, sha256, length } => {
                    let (whole, reason) = (Some((length, sha256.as_str())), "longer than max_line_bytes");
                    let letter =
                        DeadLetter::new(&self.stream, offset, &self.component, reason, &sample, whole);
                    self.dead_letters.keep(&letter)?;
                }
            }
        }
        let mut span = Span {
            stream: self.stream.clone(),
            start,
            end: self.lines.position(),
            lines: 0,
            dead_lettered: 0,
            times: None,
            ended: self.ended,
            broken: None,
        };
        describe(&mut span, &marks);
        chunk.batch.spans.push(span);
        chunk.marks.push(marks);
        Ok(chunk)
    }
}
