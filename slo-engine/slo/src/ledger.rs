//! The ledger: a chain of blocks, one a minute for all SLOs; nothing is edited, later news is an amendment.

mod codec;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::counts::{Counts, MinuteId, Sli};
use crate::series::Minute;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What the first block of a chain follows.
pub const GENESIS: Hash = [0; 32];

/// How a minute was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryState {
    /// Every expected stream was read.
    Read,
    /// Some expected stream is missing.
    Partial,
    /// Nothing was read.
    Unmeasured,
    /// Left out; the counts stay, so that a report can show the figure with and without.
    Excluded,
}

/// One SLI of one service in the minute of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose, `namespace/name`.
    pub service: String,
    /// Of what.
    pub sli: Sli,
    /// How it was read.
    pub state: EntryState,
    /// The counts.
    pub counts: Counts,
    /// Requests by bucket of latency, or empty.
    pub ladder: Vec<u64>,
}

/// One minute of all SLOs, or what changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    number: u64,
    minute: MinuteId,
    amendment: u32,
    previous: Hash,
    entries: Vec<Entry>,
}

/// What is wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Two entries for one SLI.
    #[error("ledger block of minute {minute}: {service} has two entries for {sli:?}")]
    Duplicate {
        /// Minutes since 1970.
        minute: i64,
        /// Whose entries.
        service: String,
        /// For what.
        sli: Sli,
    },
    /// The bytes are not what a block encodes to.
    #[error("ledger block cannot be decoded at byte {at}: {what}; restore the block from the archive")]
    Corrupt {
        /// Offset in the block's bytes.
        at: usize,
        /// What was expected or found.
        what: &'static str,
    },
    /// The block does not follow the one before it.
    #[error(
        "ledger block {number} does not fit in as block {expected}: {what}; compare the chain with the archive's copy"
    )]
    Chain {
        /// Number of the block.
        number: u64,
        /// Number that was expected.
        expected: u64,
        /// What differs.
        what: &'static str,
    },
}

/// The end of a verified chain: what the next block must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Number of the next block.
    pub next: u64,
    /// Hash of the last one.
    pub hash: Hash,
}

/// The newest word on each minute, by minute, service and SLI.
pub type Table = BTreeMap<(MinuteId, String, Sli), Entry>;

impl Block {
    /// The block behind `tip`, entries sorted. `amendment` is 0 for the first word on a minute and counts up from there;
    /// an amendment holds only what changed.
    pub fn new(
        tip: Tip,
        minute: MinuteId,
        amendment: u32,
        mut entries: Vec<Entry>,
    ) -> Result<Self, LedgerError> {
        entries.sort_by(|a, b| (&a.service, a.sli).cmp(&(&b.service, b.sli)));
        let twice = entries
            .windows(2)
            .find(|pair| (&pair[0].service, pair[0].sli) == (&pair[1].service, pair[1].sli));
        if let Some([Entry { service, sli, .. }, _]) = twice {
            return Err(LedgerError::Duplicate { minute: minute.0, service: service.clone(), sli: *sli });
        }
        Ok(Self { number: tip.next, minute, amendment, previous: tip.hash, entries })
    }

    /// Its place in the chain, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The minute that it is about.
    pub fn minute(&self) -> MinuteId {
        self.minute
    }

    /// 0 for the first word on the minute, else the how-manieth amendment.
    pub fn amendment(&self) -> u32 {
        self.amendment
    }

    /// Hash of the block before it.
    pub fn previous(&self) -> Hash {
        self.previous
    }

    /// Sorted by service and SLI.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Its bytes: columns, one after the other, so that they compress well; not compressed themselves.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads the bytes of one block; anything but exactly what [`Block::encode`] writes is refused, and so is a block whose
    /// entries do not add up to its Merkle root.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        codec::decode(bytes)
    }

    /// Merkle root of the entries: leaves are SHA-256 of 0 and the entry, nodes of 1 and their two children; an odd one out
    /// moves up as it is.
    pub fn root(&self) -> Hash {
        let mut level: Vec<Hash> =
            self.entries.iter().map(|entry| digest(&[&[0], &codec::leaf(entry)])).collect();
        while level.len() > 1 {
            level = level.chunks(2).map(parent).collect();
        }
        level.first().copied().unwrap_or(GENESIS)
    }

    /// Hash of the block: its number, minute and amendment, the hash before it and its root.
    pub fn hash(&self) -> Hash {
        let head = codec::head(self);
        digest(&[b"headroom ledger block", &head, &self.root()])
    }

    /// Checks that it follows `tip`; the tip behind it.
    pub fn verify(&self, tip: Tip) -> Result<Tip, LedgerError> {
        let broken = |what| LedgerError::Chain { number: self.number, expected: tip.next, what };
        if self.number != tip.next {
            return Err(broken("a block is missing or was put in"));
        }
        if self.previous != tip.hash {
            return Err(broken("the hash of the block before it differs"));
        }
        Ok(Tip { next: self.number + 1, hash: self.hash() })
    }
}

impl Tip {
    /// Of a chain without a block.
    pub const START: Self = Self { next: 0, hash: GENESIS };
}

impl Entry {
    /// As a minute of a series.
    pub fn minute(&self) -> Minute {
        match self.state {
            EntryState::Read => Minute::Read(self.counts),
            EntryState::Partial => Minute::Partial(self.counts),
            EntryState::Unmeasured => Minute::Unmeasured,
            EntryState::Excluded => Minute::Excluded,
        }
    }
}

/// Checks that the blocks follow each other and `tip`, without computing any figure anew; the tip behind them.
pub fn verify_chain<'a>(tip: Tip, blocks: impl IntoIterator<Item = &'a Block>) -> Result<Tip, LedgerError> {
    blocks.into_iter().try_fold(tip, |tip, block| block.verify(tip))
}

/// The minute table of a chain: of several words on the same minute, service and SLI the last one counts.
pub fn table<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Table {
    let words = blocks.into_iter().flat_map(|block| block.entries.iter().map(|entry| (block.minute, entry)));
    words.map(|(minute, entry)| ((minute, entry.service.clone(), entry.sli), entry.clone())).collect()
}

fn parent(children: &[Hash]) -> Hash {
    match children {
        [left, right] => digest(&[&[1], left, right]),
        _ => children[0],
    }
}

fn digest(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}
