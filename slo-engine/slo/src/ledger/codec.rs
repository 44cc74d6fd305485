//! Bytes of a ledger block: a head, then one column after the other; numbers are LEB128, signed ones zigzag.

use super::{Block, Entry, EntryState, Hash, LedgerError};
use crate::counts::{Counts, MinuteId, Sli};
use crate::leb128::{Broken, Input, put, put_name, put_signed};

const MAGIC: &[u8; 8] = b"HRLEDGR1";

/// The most buckets of an entry that are read: a guard against broken lengths.
const MAX_BUCKETS: u64 = 4096;

pub(super) fn encode(block: &Block) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(head(block));
    out.extend(block.root());
    let entries = &block.entries;
    put(&mut out, entries.len() as u64);
    let mut before = "";
    for entry in entries {
        put_name(&mut out, before, &entry.service);
        before = &entry.service;
    }
    out.extend(entries.iter().map(|entry| sli_byte(entry.sli)));
    out.extend(entries.iter().map(|entry| state_byte(entry.state)));
    let columns: [fn(&Entry) -> u64; 4] =
        [|e| e.counts.total, |e| e.counts.bad, |e| e.counts.excluded, |e| e.ladder.len() as u64];
    columns.iter().for_each(|column| entries.iter().for_each(|entry| put(&mut out, column(entry))));
    entries.iter().flat_map(|entry| &entry.ladder).for_each(|&count| put(&mut out, count));
    out
}

/// Number, minute, amendment and the hash before: what the chain is about.
pub(super) fn head(block: &Block) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, block.number);
    put_signed(&mut out, block.minute.0);
    put(&mut out, block.amendment.into());
    out.extend(block.previous);
    out
}

/// One entry by itself, for its leaf.
pub(super) fn leaf(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    put_name(&mut out, "", &entry.service);
    out.extend([sli_byte(entry.sli), state_byte(entry.state)]);
    let Counts { total, bad, excluded } = entry.counts;
    [total, bad, excluded, entry.ladder.len() as u64]
        .iter()
        .chain(&entry.ladder)
        .for_each(|&n| put(&mut out, n));
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Block, LedgerError> {
    let mut input = Input::new(bytes);
    if input.take(MAGIC.len())? != MAGIC {
        return Err(LedgerError::Corrupt { at: 0, what: "it does not begin like a block of this version" });
    }
    let number = input.number()?;
    let minute = MinuteId(input.signed()?);
    let amendment = u32::try_from(input.number()?).map_err(|_| input.broken("amendment beyond 32 bits"))?;
    let (previous, root) = (hash(&mut input)?, hash(&mut input)?);
    let entries = entries(&mut input)?;
    let block = Block { number, minute, amendment, previous, entries };
    if block.root() != root {
        return Err(input.broken("the entries do not add up to the Merkle root").into());
    }
    // Also refuses bytes that follow, numbers written longer than needed, and entries out of order.
    let sorted = block
        .entries
        .windows(2)
        .all(|pair| (&pair[0].service, pair[0].sli) < (&pair[1].service, pair[1].sli));
    if !sorted || block.encode() != bytes {
        return Err(input.broken("it is not written the one way a block is written").into());
    }
    Ok(block)
}

fn entries(input: &mut Input<'_>) -> Result<Vec<Entry>, Broken> {
    let count = input.number()?;
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let service = input.name(entries.last().map_or("", |entry| &entry.service))?;
        let (sli, state) = (Sli::Availability, EntryState::Read);
        entries.push(Entry { service, sli, state, counts: Counts::default(), ladder: Vec::new() });
    }
    for entry in &mut entries {
        entry.sli = sli(input)?;
    }
    for entry in &mut entries {
        entry.state = state(input)?;
    }
    let columns: [fn(&mut Counts) -> &mut u64; 3] = [|c| &mut c.total, |c| &mut c.bad, |c| &mut c.excluded];
    for column in columns {
        for entry in &mut entries {
            *column(&mut entry.counts) = input.number()?;
        }
    }
    ladders(input, &mut entries)?;
    Ok(entries)
}

fn ladders(input: &mut Input<'_>, entries: &mut [Entry]) -> Result<(), Broken> {
    for entry in entries.iter_mut() {
        let buckets = input.number()?;
        if buckets > MAX_BUCKETS {
            return Err(input.broken("a ladder has too many buckets"));
        }
        entry.ladder = vec![0; buckets as usize];
    }
    for count in entries.iter_mut().flat_map(|entry| &mut entry.ladder) {
        *count = input.number()?;
    }
    Ok(())
}

fn sli_byte(sli: Sli) -> u8 {
    match sli {
        Sli::Availability => 0,
        Sli::Latency => 1,
    }
}

fn state_byte(state: EntryState) -> u8 {
    match state {
        EntryState::Read => 0,
        EntryState::Partial => 1,
        EntryState::Unmeasured => 2,
        EntryState::Excluded => 3,
    }
}

impl From<Broken> for LedgerError {
    fn from(Broken { at, what }: Broken) -> Self {
        Self::Corrupt { at, what }
    }
}

fn hash(input: &mut Input<'_>) -> Result<Hash, Broken> {
    let mut hash = [0; 32];
    hash.copy_from_slice(input.take(32)?);
    Ok(hash)
}

fn sli(input: &mut Input<'_>) -> Result<Sli, Broken> {
    match input.byte()? {
        0 => Ok(Sli::Availability),
        1 => Ok(Sli::Latency),
        _ => Err(input.broken("an unknown SLI")),
    }
}

fn state(input: &mut Input<'_>) -> Result<EntryState, Broken> {
    match input.byte()? {
        0 => Ok(EntryState::Read),
        1 => Ok(EntryState::Partial),
        2 => Ok(EntryState::Unmeasured),
        3 => Ok(EntryState::Excluded),
        _ => Err(input.broken("an unknown state of a minute")),
    }
}
