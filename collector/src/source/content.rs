//! The content of a log file, plain or gzip: bytes at an offset of what was written before compression.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::lines::Edges;
use crate::identity::{Fingerprint, Inode, hash};

/// What tells, without reading, whether a file may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Size in bytes on disk.
    pub size: u64,
    /// When it was modified, in nanoseconds since 1970.
    pub modified: i128,
}

/// An open log file.
pub struct Content {
    file: Arc<File>,
    inode: Inode,
    gzip: Option<Gzip>,
    broken: Option<String>,
}

struct Gzip {
    decoder: MultiGzDecoder<BufReader<Shared>>,
    at: u64,
}

/// Reads a shared file at a place of its own.
struct Shared {
    file: Arc<File>,
    at: u64,
}

/// How a file's content relates to a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It begins with what the fingerprint covers.
    Same,
    /// It ends before, and is the same as far as can be seen.
    Shorter,
    /// It is something else.
    Other,
}

/// How the contents of two files relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// One is the beginning of the other; `first_longer` if the first file holds more.
    Prefix {
        /// The first file holds more than the second.
        first_longer: bool,
    },
    /// They differ somewhere.
    Diverged,
}

impl Look {
    /// What a file's metadata say.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Self { size: metadata.len(), modified }
    }
}

impl Content {
    /// Takes an open file.
    ///
    /// # Errors
    /// It is not a regular file, or it cannot be read.
    pub fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let inode = Inode { dev: metadata.dev(), ino: metadata.ino() };
        let mut magic = [0; 2];
        let gzip = file.read_at(&mut magic, 0)? == 2 && magic == [0x1f, 0x8b];
        let file = Arc::new(file);
        let gzip = gzip.then(|| Gzip::new(&file));
        Ok(Self { file, inode, gzip, broken: None })
    }

    /// Which file it is.
    pub fn inode(&self) -> Inode {
        self.inode
    }

    /// Its size now.
    ///
    /// # Errors
    /// The file cannot be asked.
    pub fn look(&self) -> io::Result<Look> {
        Ok(Look::of(&self.file.metadata()?))
    }

    /// Whether it is compressed: then it is complete as it is, or broken.
    pub fn is_gzip(&self) -> bool {
        self.gzip.is_some()
    }

    /// Why its end cannot be read, once a read came upon that.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Bytes on disk behind which nothing was read yet, for a content offset that was read.
    pub fn consumed(&self, offset: u64) -> u64 {
        self.gzip.as_ref().map_or(offset, |gzip| gzip.decoder.get_ref().get_ref().at)
    }

    /// Reads at `offset` until `buffer` is full or the content ends; returns how many bytes.
    ///
    /// # Errors
    /// The disk failed. (A gzip that is cut or damaged ends there, see [`broken`](Self::broken).)
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(offset + filled as u64, &mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    /// The first and last bytes before `end`.
    ///
    /// # Errors
    /// The disk failed, or the content ends before `end`.
    pub fn edges(&mut self, end: u64) -> io::Result<Edges> {
        let edge = Fingerprint { end, ..Fingerprint::default() }.edge();
        let (mut head, mut tail) = (vec![0; edge], vec![0; edge]);
        let read = self.read_at(0, &mut head)? + self.read_at(end - edge as u64, &mut tail)?;
        if read < 2 * edge {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content ends before the position"));
        }
        Ok(Edges::new(head, tail))
    }

    /// Whether the content begins with what `fingerprint` covers.
    ///
    /// # Errors
    /// The disk failed.
    pub fn matches(&mut self, fingerprint: &Fingerprint) -> io::Result<Match> {
        if fingerprint.end == 0 {
            return Ok(Match::Same);
        }
        let edge = fingerprint.edge();
        let mut buffer = vec![0; edge];
        let head = self.read_at(0, &mut buffer)?;
        if !fingerprint.head_matches(&buffer[..head]) {
            return Ok(Match::Other);
        }
        let tail = self.read_at(fingerprint.end - edge as u64, &mut buffer)?;
        Ok(match () {
            () if tail < edge => Match::Shorter,
            () if hash(&[&buffer]) == fingerprint.tail => Match::Same,
            () => Match::Other,
        })
    }

    /// Compares with another file from `from` on, before which they are known to be the same.
    ///
    /// # Errors
    /// The disk failed.
    pub fn compare(&mut self, other: &mut Content, mut from: u64) -> io::Result<Relation> {
        let (mut ours, mut theirs) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            let (a, b) = (self.read_at(from, &mut ours)?, other.read_at(from, &mut theirs)?);
            let common = a.min(b);
            if ours[..common] != theirs[..common] {
                return Ok(Relation::Diverged);
            }
            if common < ours.len() {
                return Ok(Relation::Prefix { first_longer: a > b });
            }
            from += common as u64;
        }
    }

    fn read_some(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(gzip) = &mut self.gzip else {
            return retry(|| self.file.read_at(buffer, offset));
        };
        if gzip.at > offset {
            *gzip = Gzip::new(&self.file);
            self.broken = None;
        }
        if self.broken.is_some() {
            return Ok(0);
        }
        match gzip.read_at(offset, buffer) {
            Err(error) if error.raw_os_error().is_none() => {
                let at = gzip.at;
                self.broken = Some(format!("the gzip breaks off at byte {at} of its content: {error}"));
                Ok(0)
            }
            result => result,
        }
    }
}

impl Gzip {
    fn new(file: &Arc<File>) -> Self {
        let shared = Shared { file: file.clone(), at: 0 };
        Self { decoder: MultiGzDecoder::new(BufReader::with_capacity(32 * 1024, shared)), at: 0 }
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut skipped = [0; 16 * 1024];
        while self.at < offset {
            let want = usize::try_from(offset - self.at).unwrap_or(usize::MAX).min(skipped.len());
            match retry(|| self.decoder.read(&mut skipped[..want]))? {
                0 => return Ok(0),
                count => self.at += count as u64,
            }
        }
        let count = retry(|| self.decoder.read(buffer))?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::identity::EDGE_BYTES;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn open(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Content::new(file).unwrap()
    }

    fn text() -> Vec<u8> {
        (0..20_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect()
    }

    #[test]
    fn a_gzip_of_several_members_reads_as_its_content_at_any_offset() {
        let text = text();
        let (first, second) = text.split_at(70_001);
        let mut content = open(&[gzip(first), gzip(second)].concat());
        for offset in [0, 70_000, 5, text.len() - 9] {
            let mut buffer = vec![0; 1000];
            let count = content.read_at(offset as u64, &mut buffer).unwrap();
            assert_eq!(buffer[..count], text[offset..(offset + 1000).min(text.len())]);
        }
        assert_eq!((content.broken(), content.is_gzip()), (None, true));
    }

    #[test]
    fn a_gzip_that_is_cut_or_followed_by_garbage_gives_what_can_be_read_and_says_so() {
        let text = text();
        let packed = gzip(&text);
        for damaged in [&packed[..packed.len() / 2], &[&packed[..], b"garbage behind the end"].concat()] {
            let mut content = open(damaged);
            let mut buffer = vec![0; text.len() + 1];
            let count = content.read_at(0, &mut buffer).unwrap();
            assert!(count > 10_000);
            assert_eq!(buffer[..count], text[..count]);
            assert!(content.broken().unwrap().contains("breaks off at byte"));
        }
    }

    #[test]
    fn a_fingerprint_tells_the_same_content_from_another() {
        let text = text();
        let end = 100_000;
        let print = Fingerprint::of(end as u64, &text[..EDGE_BYTES], &text[end - EDGE_BYTES..end]);
        let mut other = text.clone();
        other[end - 5] = b'!';
        assert_eq!(open(&gzip(&text)).matches(&print).unwrap(), Match::Same);
        assert_eq!(open(&text[..end - 1]).matches(&print).unwrap(), Match::Shorter);
        assert_eq!(open(&other).matches(&print).unwrap(), Match::Other);
    }

    #[test]
    fn contents_compare_across_compression() {
        let text = text();
        let compare = |a: &[u8], b: &[u8]| open(a).compare(&mut open(b), 0).unwrap();
        assert_eq!(compare(&text, &gzip(&text)), Relation::Prefix { first_longer: false });
        assert_eq!(compare(&text, &gzip(&text[..70_000])), Relation::Prefix { first_longer: true });
        assert_eq!(compare(&text[1..], &text), Relation::Diverged);
    }
}
