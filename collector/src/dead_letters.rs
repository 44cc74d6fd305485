//! The dead-letter store: one file for each record that cannot be delivered, with the reason and what it held.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable;
use crate::event::Stream;
use crate::identity::{hash, hex};

/// Bytes of a record that are kept; the hash is of all of it.
pub const KEPT_BYTES: usize = 64 * 1024;

/// The store: a directory of JSON files, each named by a hash of what it is about, so that a repeat replaces itself.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    dir: PathBuf,
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Identity of the stream.
    pub stream: String,
    /// Where the stream was found.
    pub path: String,
    /// Offset of the record's first byte.
    pub offset: u64,
    /// Number of the event among those that the record gave.
    #[serde(default)]
    pub index: u32,
    /// Name of the component that could not go on with it.
    pub component: String,
    /// Why.
    pub reason: String,
    /// Length of the whole record in bytes.
    pub length: u64,
    /// SHA-256 of the whole record as hex.
    pub sha256: String,
    /// How `content` is written.
    pub encoding: Encoding,
    /// The record, cut to [`KEPT_BYTES`].
    pub content: String,
}

/// How the content of a dead letter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As text.
    Utf8,
    /// As base64, because it is no valid UTF-8.
    Base64,
}

impl DeadLetter {
    /// A dead letter of a record that is at hand; `whole` has length and SHA-256 where `content` is only its beginning.
    pub fn new(
        stream: &Stream,
        offset: u64,
        component: &str,
        reason: &str,
        content: &[u8],
        whole: Option<(u64, &str)>,
    ) -> Self {
        let (length, sha256) = match whole {
            Some((length, sha256)) => (length, sha256.to_owned()),
            None => (content.len() as u64, hex(&Sha256::digest(content))),
        };
        let (encoding, content) = encode(&content[..content.len().min(KEPT_BYTES)]);
        Self {
            stream: stream.id.to_string(),
            path: stream.path.clone(),
            offset,
            index: 0,
            component: component.to_owned(),
            reason: reason.to_owned(),
            length,
            sha256,
            encoding,
            content,
        }
    }
}

impl DeadLetters {
    /// Opens the store in a data directory, which may be new.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("dead_letters");
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Keeps a dead letter; it is on disk when this returns.
    ///
    /// # Errors
    /// The disk failed: the record's position must not move.
    pub fn keep(&self, letter: &DeadLetter) -> io::Result<()> {
        let (offset, index) = (letter.offset.to_be_bytes(), letter.index.to_be_bytes());
        let key = [letter.stream.as_bytes(), &offset, &index, letter.component.as_bytes()];
        let json = serde_json::to_vec_pretty(letter)?;
        durable::replace(&self.dir.join(format!("{}.json", hash(&key))), &json)
    }

    /// Every letter, by stream, offset and index.
    ///
    /// # Errors
    /// The directory or a file in it cannot be read.
    pub fn list(&self) -> io::Result<Vec<DeadLetter>> {
        let mut letters = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                letters.push(serde_json::from_slice::<DeadLetter>(&fs::read(&path)?)?);
            }
        }
        letters.sort_by(|a, b| (&a.stream, a.offset, a.index).cmp(&(&b.stream, b.offset, b.index)));
        Ok(letters)
    }
}

fn encode(content: &[u8]) -> (Encoding, String) {
    match std::str::from_utf8(content) {
        Ok(text) => (Encoding::Utf8, text.to_owned()),
        Err(_) => (Encoding::Base64, base64::engine::general_purpose::STANDARD.encode(content)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(offset: u64, content: &[u8]) -> DeadLetter {
        let stream = Stream { id: "s".into(), path: "/p".into(), pod: None, metadata: None };
        DeadLetter::new(&stream, offset, "files", "too long", content, None)
    }

    #[test]
    fn a_letter_that_is_kept_twice_is_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = DeadLetters::open(dir.path()).unwrap();
        for offset in [7, 7, 3] {
            store.keep(&letter(offset, b"text")).unwrap();
        }
        let second = DeadLetter { index: 1, ..letter(3, b"text") };
        store.keep(&second).unwrap();
        assert_eq!(store.list().unwrap(), [letter(3, b"text"), second, letter(7, b"text")]);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_as_base64_and_long_ones_cut() {
        let odd = letter(0, b"\xff\x00");
        assert_eq!((odd.encoding, odd.content.as_str()), (Encoding::Base64, "/wA="));
        let long = letter(0, &vec![b'x'; 2 * KEPT_BYTES]);
        assert_eq!((long.content.len(), long.length), (KEPT_BYTES, 2 * KEPT_BYTES as u64));
    }
}
