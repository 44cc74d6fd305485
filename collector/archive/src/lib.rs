#![doc = include_str!("../README.md")]

mod key;
mod manifest;
mod ranges;
mod read;
mod record;
mod restore;
mod segment;
mod spool;
mod store;
#[cfg(test)]
mod tests;
mod verify;

pub use key::{InvalidName, SegmentId, sha256_hex};
pub use manifest::{Contents, Manifest, StreamPart};
pub use ranges::Ranges;
pub use read::{Corrupt, Part, ReadError, Reader};
pub use record::{Line, Record, Stdio, StreamMeta};
pub use restore::{RestoreError, Restored, restore};
pub use segment::{Segment, SegmentBuilder, SegmentError};
pub use spool::{Quarantined, Recovered, Spool, SpoolError, Staged, State};
pub use store::{DirectoryStore, Put, S3Config, S3Store, Store, StoreError};
pub use verify::{Gap, Report, StreamReport, verify};
