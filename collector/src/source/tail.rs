//! A tail: one stream being read from one file.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::content::{Content, Look, Match};
use super::lines::{Line, Lines};
use crate::event::Stream;
use crate::identity::{Fingerprint, Inode};

/// Bytes that are read at once; few in tests, so that their small files are read in many pieces.
const READ_BYTES: usize = if cfg!(test) { 4096 } else { 256 * 1024 };

/// One stream being read.
pub(super) struct Tail {
    pub(super) stream: Arc<Stream>,
    pub(super) inode: Inode,
    /// Everything below was handed on.
    pub(super) settled: u64,
    /// Nothing will follow, and that was told.
    pub(super) ended: bool,
    /// Whether a span was given out since the start or the last change of state.
    pub(super) told: Told,
    /// The file's path is gone; what is open can still be read.
    pub(super) gone: bool,
    /// Why the rest cannot be read, as it was told.
    pub(super) broken: Option<Arc<str>>,
    /// Bytes on disk that were read.
    pub(super) consumed: u64,
    /// It is compressed: nothing will be added, and it may be deleted soon.
    pub(super) packed: bool,
    lines: Lines,
    content: Option<Content>,
    /// The file as it was when its end was reached.
    end_at: Option<Look>,
    /// The file changed since it was looked at closely.
    suspect: bool,
}

/// What was told of a stream besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// That it is there.
    pub(super) start: bool,
    /// That it ended.
    pub(super) end: bool,
}

impl Tail {
    /// Starts at `position` of a file that holds at least as much.
    pub(super) fn new(
        stream: Arc<Stream>,
        mut content: Content,
        position: u64,
        max: usize,
    ) -> io::Result<Self> {
        let lines = Lines::new(max, position, content.edges(position)?);
        let packed = content.is_gzip();
        Ok(Self {
            packed,
            stream,
            inode: content.inode(),
            settled: position,
            ended: false,
            told: Told::default(),
            gone: false,
            broken: None,
            lines,
            consumed: 0,
            content: Some(content),
            end_at: None,
            suspect: false,
        })
    }

    /// Offset behind the last line that was read.
    pub(super) fn position(&self) -> u64 {
        self.lines.position()
    }

    /// What was read so far.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.lines.fingerprint()
    }

    /// Whether everything was read that the file held when it looked like `look`.
    pub(super) fn is_at_end(&self, look: Look) -> bool {
        self.end_at == Some(look) || (self.gone && self.end_at.is_some())
    }

    /// Whether the file changed since it was looked at closely.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect
    }

    pub(super) fn is_open(&self) -> bool {
        self.content.is_some()
    }

    pub(super) fn is_gzip(&self) -> bool {
        self.content.as_ref().is_some_and(Content::is_gzip)
    }

    /// Goes back to `position`, with the file that is open; `false` if it is not, or cannot be read there.
    pub(super) fn go_back(&mut self, position: u64, max: usize) -> bool {
        let Some(Ok(edges)) = self.content.as_mut().map(|content| content.edges(position)) else {
            return false;
        };
        self.lines = Lines::new(max, position, edges);
        self.settled = position;
        self.ended = false;
        self.told = Told::default();
        self.broken = None;
        self.end_at = None;
        true
    }

    /// Notes that the file looks different now.
    pub(super) fn changed(&mut self) {
        self.end_at = None;
        self.suspect = true;
        self.ended = false;
        match self.is_gzip() {
            // A gzip is written once; one that changed has to be read from its start.
            true => self.close(),
            false => self.lines.forget_pending(),
        }
    }

    pub(super) fn close(&mut self) {
        self.content = None;
        self.lines.forget_pending();
    }

    /// Makes sure that the file is open and still holds what was read of it; `open` is used where it is closed.
    /// `false` if it holds something else.
    pub(super) fn check(&mut self, open: impl FnOnce() -> io::Result<Content>) -> io::Result<bool> {
        let content = match self.content.take() {
            Some(content) => self.content.insert(content),
            None => {
                self.suspect = true;
                self.content.insert(open()?)
            }
        };
        if content.inode() != self.inode {
            return Ok(false);
        }
        if !std::mem::take(&mut self.suspect) {
            return Ok(true);
        }
        if !content.is_gzip() && content.look()?.size < self.lines.wants() {
            return Ok(false);
        }
        Ok(content.matches(&self.lines.fingerprint())? == Match::Same)
    }

    /// Reads the next bytes and adds the lines that they complete; `look` is how the file looked before.
    pub(super) fn read(&mut self, look: Look, out: &mut Vec<Line>) -> io::Result<()> {
        let Some(content) = &mut self.content else { return Ok(()) };
        let mut buffer = BytesMut::zeroed(READ_BYTES);
        let wanted = self.lines.wants();
        let count = content.read_at(wanted, &mut buffer)?;
        self.consumed = content.consumed(wanted + count as u64);
        if count < READ_BYTES {
            self.end_at = Some(look);
        }
        buffer.truncate(count);
        // Lines keep the buffer they lie in until they are delivered: a few of them must not keep all of it.
        let read = if count < READ_BYTES / 2 { Bytes::copy_from_slice(&buffer) } else { buffer.freeze() };
        self.lines.feed(&read, out);
        Ok(())
    }

    /// Takes what stands behind the last line end as a line, where nothing can follow it.
    pub(super) fn finish(&mut self) -> Option<Line> {
        self.lines.finish()
    }

    /// Whether bytes stand behind the last line end.
    pub(super) fn has_rest(&self) -> bool {
        self.lines.pending() > 0
    }

    /// Why the file cannot be read to its end, if that is news.
    pub(super) fn news_of_break(&mut self) -> Option<Arc<str>> {
        let reason = self.content.as_ref()?.broken()?;
        if self.broken.as_deref() == Some(reason) {
            return None;
        }
        self.broken = Some(reason.into());
        self.broken.clone()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.broken().is_some())
    }
}
