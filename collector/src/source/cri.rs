//! CRI log lines, `time stream P|F text`, and the joining of partial ones into records.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use crate::event::{Stdio, Stream};

/// One CRI line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriLine {
    /// When the runtime read it.
    pub time: Timestamp,
    /// Which output it was written to.
    pub stdio: Stdio,
    /// The record goes on in the next line of the same output.
    pub partial: bool,
    /// What the container wrote.
    pub text: Bytes,
}

/// A record of a container: one line, or several partial ones joined.
#[derive(Clone, Debug)]
pub struct Record {
    /// Stream of its first line.
    pub stream: Arc<Stream>,
    /// Offset of its first line.
    pub offset: u64,
    /// Time of its first line.
    pub time: Option<Timestamp>,
    /// Which output it was written to.
    pub stdio: Option<Stdio>,
    /// What it holds, or why it cannot be delivered.
    pub content: Result<Bytes, Unfit>,
}

/// A record that goes to the dead-letter store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Why.
    pub reason: String,
    /// Its first bytes.
    pub sample: Bytes,
    /// Its length in bytes.
    pub length: u64,
    /// SHA-256 of all of it as hex, where the sample is not all of it.
    pub sha256: Option<String>,
}

/// Joins partial lines. Records come out in the order of their first bytes, so one that is still open holds back those
/// behind it (of the other output): what is before a position is then always complete.
#[derive(Debug, Default)]
pub struct Assembler {
    queue: VecDeque<Slot>,
    queued: usize,
}

#[derive(Debug)]
struct Slot {
    record: Record,
    open: Option<BytesMut>,
}

/// Reads one CRI line; nothing if it is none.
pub fn parse(line: &Bytes) -> Option<CriLine> {
    let mut cuts = memchr::memchr_iter(b' ', line);
    let (first, second) = (cuts.next()?, cuts.next()?);
    // A line with an empty text may lack the last space.
    let third = cuts.next().unwrap_or(line.len());
    let time = std::str::from_utf8(&line[..first]).ok()?.parse().ok()?;
    let stdio = match &line[first + 1..second] {
        b"stdout" => Stdio::Stdout,
        b"stderr" => Stdio::Stderr,
        _ => return None,
    };
    // Further tags may follow the first one behind a colon.
    let partial = match line[second + 1..third].split(|&byte| byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(CriLine { time, stdio, partial, text: line.slice((third + 1).min(line.len())..) })
}

impl Assembler {
    /// Takes a line of `stream`.
    pub fn push(&mut self, stream: &Arc<Stream>, offset: u64, line: CriLine, max: usize) {
        self.queued += line.text.len();
        let open =
            self.queue.iter_mut().find(|slot| slot.open.is_some() && slot.record.stdio == Some(line.stdio));
        if let Some(slot) = open {
            if let Some(text) = &mut slot.open {
                text.extend_from_slice(&line.text);
            }
            if !line.partial {
                slot.close(max);
            }
            return;
        }
        let record = Record {
            stream: stream.clone(),
            offset,
            time: Some(line.time),
            stdio: Some(line.stdio),
            content: Ok(line.text.clone()),
        };
        let open = line.partial.then(|| BytesMut::from(&line.text[..]));
        self.queue.push_back(Slot { record, open });
    }

    /// Takes a line that is no part of a longer record.
    pub fn push_whole(&mut self, stream: &Arc<Stream>, offset: u64, content: Result<Bytes, Unfit>) {
        self.queued += length(&content);
        let record = Record { stream: stream.clone(), offset, time: None, stdio: None, content };
        self.queue.push_back(Slot { record, open: None });
    }

    /// The next complete record. One that is open for over `max` bytes of what came since is taken as it is.
    pub fn pop(&mut self, max: usize) -> Option<Record> {
        let first = self.queue.front_mut()?;
        if first.open.is_some() {
            if self.queued <= 2 * max {
                return None;
            }
            first.close(max);
        }
        let slot = self.queue.pop_front()?;
        let length = length(&slot.record.content);
        self.queued = if self.queue.is_empty() { 0 } else { self.queued.saturating_sub(length) };
        Some(slot.record)
    }

    /// Takes what is open as it is: nothing will follow.
    pub fn close(&mut self, max: usize) {
        for slot in &mut self.queue {
            slot.close(max);
        }
    }

    /// Stream and offset of the first record that is not out yet.
    pub fn oldest(&self) -> Option<(&Arc<Stream>, u64)> {
        self.queue.front().map(|slot| (&slot.record.stream, slot.record.offset))
    }
}

impl Slot {
    fn close(&mut self, max: usize) {
        let Some(text) = self.open.take() else { return };
        let text = text.freeze();
        self.record.content = if text.len() <= max { Ok(text) } else { Err(Unfit::too_long(text, max)) };
    }
}

impl Unfit {
    /// A line that is at hand whole.
    pub fn whole(reason: &str, line: Bytes) -> Self {
        Self { reason: reason.to_owned(), length: line.len() as u64, sample: line, sha256: None }
    }

    fn too_long(text: Bytes, max: usize) -> Self {
        let reason = format!("its partial lines add up to more than max_line_bytes ({max})");
        Self { reason, length: text.len() as u64, sample: text, sha256: None }
    }
}

fn length(content: &Result<Bytes, Unfit>) -> usize {
    content.as_ref().map_or_else(|unfit| unfit.sample.len(), Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<(bool, Stdio, &str)>) {
        let parsed = parse(&Bytes::copy_from_slice(line.as_bytes()));
        let got =
            parsed.as_ref().map(|cri| (cri.partial, cri.stdio, std::str::from_utf8(&cri.text).unwrap()));
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn a_cri_line_is_time_stream_tag_and_text() {
        check(
            "2026-01-01T00:00:00.123456789Z stdout F hello world",
            Some((false, Stdio::Stdout, "hello world")),
        );
        check("2026-01-01T02:00:00+02:00 stderr P  x", Some((true, Stdio::Stderr, " x")));
        check("2026-01-01T00:00:00Z stdout F ", Some((false, Stdio::Stdout, "")));
        check("2026-01-01T00:00:00Z stdout F", Some((false, Stdio::Stdout, "")));
        check("2026-01-01T00:00:00Z stdout P:x y", Some((true, Stdio::Stdout, "y")));
        check("2026-01-01T00:00:00Z stdin F x", None);
        check("2026-01-01T00:00:00Z stdout X x", None);
        check("yesterday stdout F x", None);
        check("", None);
        check("{\"log\":\"docker\"}", None);
    }

    fn stream() -> Arc<Stream> {
        Arc::new(Stream { id: "s".into(), path: "p".into(), pod: None, metadata: None })
    }

    #[test]
    fn records_come_out_in_the_order_of_their_first_bytes() {
        let mut assembler = Assembler::default();
        let lines = ["stdout P a", "stderr F b", "stdout P c", "stdout F d", "stderr P e"];
        for (offset, line) in (0..).zip(lines) {
            let line = Bytes::from(format!("2026-01-01T00:00:00Z {line}"));
            assembler.push(&stream(), offset, parse(&line).unwrap(), 100);
        }
        let texts: Vec<_> = std::iter::from_fn(|| assembler.pop(100))
            .map(|record| (record.offset, record.content.unwrap()))
            .collect();
        assert_eq!(texts, [(0, Bytes::from("acd")), (1, Bytes::from("b"))]);
        assert_eq!(assembler.oldest().map(|(_, offset)| offset), Some(4));
        assembler.close(100);
        assert_eq!(assembler.pop(100).unwrap().content.unwrap(), "e");
    }

    #[test]
    fn partial_lines_over_the_limit_are_unfit_and_bounded() {
        let mut assembler = Assembler::default();
        let line = parse(&Bytes::from("2026-01-01T00:00:00Z stdout P 0123456789")).unwrap();
        let mut out = Vec::new();
        for offset in 0..100 {
            assembler.push(&stream(), offset, line.clone(), 40);
            out.extend(std::iter::from_fn(|| assembler.pop(40)));
        }
        assert!(out.len() > 5);
        assert!(out.iter().all(|record| record.content.as_ref().unwrap_err().length <= 100));
    }
}
