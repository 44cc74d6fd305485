//! What a new byte range does to those that are there: the law of [`slo::counts::merge`], carried out. Pure.

use slo::counts::{ByteRange, Merge, merge};

use crate::store::counts::{StoredRow, StoredTally, add_ladder};

/// Something that is said of a byte range.
pub(crate) trait Ranged {
    /// The bytes.
    fn range(&self) -> ByteRange;

    /// Takes in what is said of the bytes that follow its own; false where the two cannot be added.
    fn add(&mut self, next: &Self) -> bool;

    /// It lacks bytes, or others do because of it.
    fn tear(&mut self);

    /// Whether it was torn.
    fn is_torn(&self) -> bool;
}

/// What became of one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was there.
    Repeat,
    /// It stands beside those that were there.
    Added,
    /// It took the place of others, or was cut, or they were.
    Replaced,
}

/// Puts `new` among `held`, whose ranges share no byte, before and after.
///
/// Of ranges that cut through each other the ones that hold more bytes stay and are torn for good: which requests are
/// lost cannot be told, so no later range mends it.
pub(crate) fn place<T: Ranged>(held: &mut Vec<T>, mut new: T) -> Put {
    let range = new.range();
    let ranges: Vec<ByteRange> = held.iter().map(Ranged::range).collect();
    let touched = |old: &T| old.range().overlaps(range);
    let put = match merge(&ranges, range) {
        Merge::Ignore => return Put::Repeat,
        Merge::Insert { replaces } if replaces.is_empty() => Put::Added,
        Merge::Insert { .. } => Put::Replaced,
        Merge::Partial { .. } => {
            let theirs: u64 = held.iter().filter(|old| touched(old)).map(|old| old.range().len()).sum();
            if range.len() <= theirs {
                held.iter_mut().filter(|old| touched(old)).for_each(Ranged::tear);
                return Put::Replaced;
            }
            new.tear();
            Put::Replaced
        }
    };
    if held.iter().filter(|old| touched(old)).any(Ranged::is_torn) {
        new.tear();
    }
    held.retain(|old| !touched(old));
    held.push(new);
    join_adjacent(held);
    put
}

/// Joins what touches.
fn join_adjacent<T: Ranged>(held: &mut Vec<T>) {
    held.sort_by_key(Ranged::range);
    let mut joined: Vec<T> = Vec::new();
    for next in held.drain(..) {
        let touching = joined.last_mut().filter(|last| last.range().end == next.range().start);
        if !touching.is_some_and(|last| last.add(&next)) {
            joined.push(next);
        }
    }
    *held = joined;
}

impl Ranged for StoredRow {
    fn range(&self) -> ByteRange {
        self.row.range
    }

    fn add(&mut self, next: &Self) -> bool {
        if self.edges_us != next.edges_us {
            return false;
        }
        self.row.range.end = next.row.range.end;
        self.row.counts += next.row.counts;
        add_ladder(&mut self.row.ladder, &next.row.ladder);
        self.row.sketch.merge(&next.row.sketch);
        self.partial |= next.partial;
        true
    }

    fn tear(&mut self) {
        self.partial = true;
    }

    fn is_torn(&self) -> bool {
        self.partial
    }
}

impl Ranged for StoredTally {
    fn range(&self) -> ByteRange {
        self.range
    }

    fn add(&mut self, next: &Self) -> bool {
        self.range.end = next.range.end;
        self.tally += next.tally;
        true
    }

    // The minutes of the rows are marked; a tally is of no minute.
    fn tear(&mut self) {}

    fn is_torn(&self) -> bool {
        false
    }
}
