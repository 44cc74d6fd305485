//! What waits between a source and a sink, under Vector's keys `buffer.type`, `.max_size`, `.when_full`.

use settings::Table;

/// Smallest spool that can be configured: 1 MiB.
const SMALLEST_BYTES: u64 = 1 << 20;

/// What keeps lines for a sink that lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// A queue of a few chunks; behind it the log files as long as they are there.
    Memory,
    /// The same, and a spool for what the files will not keep.
    Disk {
        /// Most bytes of the spool.
        max_bytes: u64,
        /// What is done when they are used.
        when_full: WhenFull,
    },
}

/// What is done with lines that have no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Their files are held open until there is room; the sink waits, the others do not.
    Block,
    /// They are dropped for this sink, and counted.
    DropNewest,
}

impl Buffer {
    /// Unless configured: 1 GiB on disk, and nothing is dropped.
    pub const DEFAULT: Self = Self::Disk { max_bytes: 1 << 30, when_full: WhenFull::Block };

    /// Reads the table `buffer` of a sink.
    pub(crate) fn prove(table: &mut Table<'_>) -> Self {
        let Some(mut buffer) = table.table("buffer") else { return Self::DEFAULT };
        let kind = buffer.one_of("type", &["disk", "memory"], Some("disk"));
        let max_bytes = buffer.u64("max_size");
        let when_full = match buffer.one_of("when_full", &["block", "drop_newest"], Some("block")) {
            Some("drop_newest") => WhenFull::DropNewest,
            _ => WhenFull::Block,
        };
        let proven = match kind {
            Some("memory") => {
                if max_bytes.is_some() {
                    buffer.problem("max_size", "is for the type disk; in memory wait at most 8 chunks");
                }
                if when_full == WhenFull::DropNewest {
                    let message = "drop_newest is for the type disk; behind a full queue in memory the files are the buffer";
                    buffer.problem("when_full", message);
                }
                Self::Memory
            }
            _ => {
                let max_bytes = max_bytes.unwrap_or(1 << 30);
                if max_bytes < SMALLEST_BYTES {
                    buffer.problem("max_size", format!("must be at least {SMALLEST_BYTES} bytes (1 MiB)"));
                }
                Self::Disk { max_bytes, when_full }
            }
        };
        buffer.finish();
        proven
    }
}
