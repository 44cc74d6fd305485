//! Who a stream is: a hash of its content's first line and of where it belongs, never a name.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::{Pod, StreamId};

/// A first line longer than this identifies its stream by this many bytes, so that identity needs bounded memory.
pub const FIRST_LINE_BYTES: usize = 256 * 1024;

/// Bytes at either end of what was read that a [`Fingerprint`] covers.
pub const EDGE_BYTES: usize = 1024;

/// A file as the file system knows it; only breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Inode {
    /// Device.
    pub dev: u64,
    /// Number on the device.
    pub ino: u64,
}

/// A fingerprint's head has a hash for every so many bytes, so that a shorter file can be told apart too.
const RUNG_BYTES: usize = 32;

/// What tells whether a file still holds what was read of a stream: hashes of both edges of `[0, end)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Bytes that were read.
    pub end: u64,
    /// Eight hex digits for each 32 bytes of the first [`EDGE_BYTES`]: a hash of everything up to there.
    pub head: String,
    /// Hash of the last [`EDGE_BYTES`] of them, or of all.
    pub tail: String,
}

impl Fingerprint {
    /// The fingerprint of `[0, end)` whose edges are `head` and `tail`.
    pub fn of(end: u64, head: &[u8], tail: &[u8]) -> Self {
        Self { end, head: rungs(head), tail: hash(&[tail]) }
    }

    /// Whether a content that begins with `prefix` may be the one that this is of, or the beginning of it.
    pub fn head_matches(&self, prefix: &[u8]) -> bool {
        let rungs = rungs(&prefix[..prefix.len().min(self.edge())]);
        self.head.starts_with(&rungs)
    }

    /// Length of either edge in bytes.
    pub fn edge(&self) -> usize {
        usize::try_from(self.end).map_or(EDGE_BYTES, |end| end.min(EDGE_BYTES))
    }
}

/// Identity of a container's log: pod UID, container, restart count and the first complete line with its CRI time.
pub fn kubernetes(pod: &Pod, first_line: &[u8]) -> StreamId {
    let parts: [&[u8]; 5] =
        [b"kubernetes", pod.uid.as_bytes(), pod.container.as_bytes(), &pod.restart.to_be_bytes(), first_line];
    hash(&parts).into()
}

/// Identity of a plain file: machine, path rule (the source's name: all that it includes is one rule) and first line.
pub fn file(machine: &str, rule: &str, first_line: &[u8]) -> StreamId {
    hash(&[b"file", machine.as_bytes(), rule.as_bytes(), first_line]).into()
}

/// Identity of a source that cannot be read twice (standard input).
pub fn run(id: &str, rule: &str) -> StreamId {
    hash(&[b"run", id.as_bytes(), rule.as_bytes()]).into()
}

/// Identity of a further file with the first line of `base` and other content after it; `turn` counts the files that had
/// the same inode one after the other.
pub fn tie_break(base: &str, inode: Inode, turn: u32) -> StreamId {
    let parts: [&[u8]; 5] =
        [b"tie", base.as_bytes(), &inode.dev.to_be_bytes(), &inode.ino.to_be_bytes(), &turn.to_be_bytes()];
    hash(&parts).into()
}

/// A machine's identity: the hash of its machine id (systemd asks not to show it), or `fallback` where there is none.
pub fn machine(machine_id: &Path, fallback: &str) -> String {
    match std::fs::read_to_string(machine_id) {
        Ok(id) if !id.trim().is_empty() => hash(&[b"machine", id.trim().as_bytes()]),
        _ => fallback.to_owned(),
    }
}

/// 128 bits of SHA-256 over the parts, each with its length before it, as 32 hex digits.
pub fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..16])
}

fn rungs(head: &[u8]) -> String {
    let mut hasher = Sha256::new();
    let chunks = head.chunks_exact(RUNG_BYTES);
    chunks
        .map(|chunk| {
            hasher.update(chunk);
            hex(&hasher.clone().finalize()[..4])
        })
        .collect()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A random identity of 32 hex digits, from the kernel.
///
/// # Errors
/// The kernel's random device cannot be read.
pub fn random() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, container: &str) -> Pod {
        Pod {
            namespace: "shop".into(),
            name: "web".into(),
            uid: uid.into(),
            container: container.into(),
            restart: 0,
        }
    }

    #[test]
    fn an_identity_is_32_hex_digits_and_depends_on_every_part() {
        let one = kubernetes(&pod("a", "bc"), b"x");
        assert_eq!(one.len(), 32);
        assert_ne!(one, kubernetes(&pod("ab", "c"), b"x"));
        assert_ne!(one, kubernetes(&pod("a", "bc"), b"y"));
        assert_eq!(one, kubernetes(&Pod { name: "renamed".into(), ..pod("a", "bc") }, b"x"));
    }

    #[test]
    fn a_machine_without_a_machine_id_takes_the_fallback() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(machine(&dir.path().join("none"), "collector"), "collector");
        std::fs::write(dir.path().join("id"), "0123\n").unwrap();
        let known = machine(&dir.path().join("id"), "collector");
        assert_eq!(known.len(), 32);
    }
}
