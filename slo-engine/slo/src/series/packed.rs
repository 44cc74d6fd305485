//! An hour in some 60 bytes: its sums in front, then the states of its minutes, then three columns of counts as what they
//! are over their least one, in as few bits as the largest of them needs.
//!
//! ```text
//! states  one byte where all 60 are alike, else 4; then for total, bad and excluded each:
//! width   bits of a count, 0 where all are the same
//! base    the least count, LEB128
//! sum     of the 60 counts, LEB128; only where the width is not 0
//! and behind these heads the bodies: 2 planes of states where they differ, and as many planes of each column as it is wide
//! ```
//!
//! A plane holds one bit of each of the 60 minutes, so that any stretch of minutes is added up by counting bits.

use super::part::Part;
use super::{HOUR, Minute};
use crate::counts::Counts;
use crate::leb128;

const MINUTES: usize = HOUR as usize;

/// Says that the minutes' states differ.
const MIXED: u8 = 4;

/// One bit of each minute.
const ALL: u64 = (1 << MINUTES) - 1;

/// A packed hour with its heads read.
pub(super) struct PackedHour<'a> {
    /// In the order of [`state`].
    states: Column<'a>,
    /// Total, bad, excluded.
    columns: [Column<'a>; 3],
}

/// One number of each minute.
#[derive(Clone, Copy)]
struct Column<'a> {
    base: u64,
    sum: u64,
    width: usize,
    planes: &'a [u8],
}

pub(super) fn pack(minutes: &[Minute; MINUTES]) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    let states = minutes.map(|minute| state(minute).into());
    let alike = states.iter().all(|&state| state == states[0]);
    out.push(if alike { states[0] as u8 } else { MIXED });
    let of: [fn(Counts) -> u64; 3] = [|c| c.total, |c| c.bad, |c| c.excluded];
    let columns = of.map(|of| minutes.map(|minute| of(minute.counts())));
    let frames = columns.each_ref().map(frame);
    for (column, (base, width)) in columns.iter().zip(frames) {
        out.push(width as u8);
        leb128::put(&mut out, base);
        if width > 0 {
            leb128::put(&mut out, column.iter().fold(0, |sum: u64, &count| sum.wrapping_add(count)));
        }
    }
    if !alike {
        put_planes(&mut out, &states, 0, 2);
    }
    for (column, (base, width)) in columns.iter().zip(frames) {
        put_planes(&mut out, column, base, width);
    }
    out
}

impl<'a> PackedHour<'a> {
    /// Reads the heads of what [`pack`] has written.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let mut rest = bytes;
        let tag = take(&mut rest, 1)[0];
        let mut columns = [(); 3].map(|()| Column::head(&mut rest));
        let (base, width) = if tag == MIXED { (0, 2) } else { (tag.into(), 0) };
        let mut states = Column { base, sum: 0, width, planes: &[] };
        states.planes = take(&mut rest, states.len());
        columns.iter_mut().for_each(|column| column.planes = take(&mut rest, column.len()));
        Self { states, columns }
    }

    /// The sum of all minutes of what [`pack`] has written; no minute is unpacked for it.
    pub(super) fn whole(bytes: &'a [u8]) -> Part {
        let mut rest = bytes;
        let tag = take(&mut rest, 1)[0];
        if tag == MIXED {
            return Self::read(bytes).range(0, MINUTES);
        }
        let [total, bad, excluded] = [(); 3].map(|()| Column::head(&mut rest).sum);
        Part { counts: Counts { total, bad, excluded }, ..alike(tag, MINUTES) }
    }

    /// The sum of the minutes from `low` to before `high`.
    pub(super) fn range(&self, low: usize, high: usize) -> Part {
        let [total, bad, excluded] = self.columns.map(|column| column.range(low, high));
        Part { counts: Counts { total, bad, excluded }, ..self.states(low, high) }
    }

    pub(super) fn minute(&self, at: usize) -> Minute {
        let [total, bad, excluded] = self.columns.map(|column| column.get(at));
        minute(self.states.get(at), Counts { total, bad, excluded })
    }

    pub(super) fn minutes(&self) -> [Minute; MINUTES] {
        std::array::from_fn(|at| self.minute(at))
    }

    /// How many of the minutes are what.
    fn states(&self, low: usize, high: usize) -> Part {
        if self.states.width == 0 {
            return alike(self.states.base as u8, high - low);
        }
        let (ones, twos) =
            (self.states.plane(0) & between(low, high), self.states.plane(1) & between(low, high));
        Part {
            counts: Counts::default(),
            partial: (ones & !twos).count_ones(),
            unmeasured: (twos & !ones).count_ones(),
            excluded: (ones & twos).count_ones(),
        }
    }
}

impl Column<'_> {
    fn head(rest: &mut &[u8]) -> Self {
        let width = usize::from(take(rest, 1)[0]);
        let base = number(rest);
        let sum = if width > 0 { number(rest) } else { base.wrapping_mul(MINUTES as u64) };
        Self { base, sum, width, planes: &[] }
    }

    /// Bytes of its planes.
    fn len(&self) -> usize {
        (MINUTES * self.width).div_ceil(8)
    }

    fn get(&self, at: usize) -> u64 {
        (0..self.width).fold(self.base, |count, bit| count.wrapping_add((self.plane(bit) >> at & 1) << bit))
    }

    fn range(&self, low: usize, high: usize) -> u64 {
        let bases = self.base.wrapping_mul((high - low) as u64);
        (0..self.width).fold(bases, |sum, bit| {
            let ones = (self.plane(bit) & between(low, high)).count_ones();
            sum.wrapping_add(u64::from(ones) << bit)
        })
    }

    /// 60 bits are seven bytes and a half: the odd planes begin in the middle of a byte, and each ends within eight.
    fn plane(&self, bit: usize) -> u64 {
        let (byte, shift) = (bit / 2 * 15 + bit % 2 * 7, bit % 2 * 4);
        let word = self.planes[byte..byte + 8].try_into().map_or(0, u64::from_le_bytes);
        word >> shift & ALL
    }
}

/// So many minutes of one state, without their counts.
fn alike(state: u8, minutes: usize) -> Part {
    let mut part = Part::default();
    match state {
        0 => {}
        1 => part.partial = minutes as u32,
        2 => part.unmeasured = minutes as u32,
        _ => part.excluded = minutes as u32,
    }
    part
}

/// The bits of the minutes from `low` to before `high`.
fn between(low: usize, high: usize) -> u64 {
    ((1 << high) - 1) & !((1 << low) - 1)
}

/// The least count, and the bits that the largest is over it.
fn frame(column: &[u64; MINUTES]) -> (u64, usize) {
    let (least, most) = column.iter().fold((u64::MAX, 0), |(a, b), &count| (a.min(count), b.max(count)));
    (least, 64 - (most - least).leading_zeros() as usize)
}

fn put_planes(out: &mut Vec<u8>, column: &[u64; MINUTES], base: u64, width: usize) {
    let plane =
        |bit: usize| column.iter().rev().fold(0, |plane, count| plane << 1 | (count - base) >> bit & 1);
    for bit in (0..width).step_by(2) {
        let second = if bit + 1 < width { u128::from(plane(bit + 1)) } else { 0 };
        let two = u128::from(plane(bit)) | second << MINUTES;
        let len = if bit + 1 < width { 15 } else { 8 };
        out.extend_from_slice(&two.to_le_bytes()[..len]);
    }
}

fn state(minute: Minute) -> u8 {
    match minute {
        Minute::Read(_) => 0,
        Minute::Partial(_) => 1,
        Minute::Unmeasured => 2,
        Minute::Excluded => 3,
    }
}

fn minute(state: u64, counts: Counts) -> Minute {
    match state {
        0 => Minute::Read(counts),
        1 => Minute::Partial(counts),
        2 => Minute::Unmeasured,
        _ => Minute::Excluded,
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(len);
    *rest = left;
    taken
}

/// LEB128 of bytes that [`pack`] wrote.
fn number(rest: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = take(rest, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(minutes: [Minute; MINUTES], most: usize) {
        let bytes = pack(&minutes);
        assert!(bytes.len() <= most, "{} bytes", bytes.len());
        let hour = PackedHour::read(&bytes);
        assert_eq!(hour.minutes(), minutes);
        assert_eq!(PackedHour::whole(&bytes), Part::of_all(&minutes));
        for low in 0..=MINUTES {
            for high in low..=MINUTES {
                assert_eq!(hour.range(low, high), Part::of_all(&minutes[low..high]), "{low}..{high}");
            }
        }
    }

    fn read(total: u64, bad: u64) -> Minute {
        Minute::Read(Counts { total, bad, excluded: 0 })
    }

    #[test]
    fn an_hour_comes_back_as_it_was() {
        check([Minute::IDLE; MINUTES], 7);
        check([Minute::Unmeasured; MINUTES], 7);
        check([read(u64::MAX, u64::MAX); MINUTES], 32);
        check(std::array::from_fn(|at| read(20 + at as u64 * 7 % 41, u64::from(at == 9))), 64);
        check(std::array::from_fn(|at| read([0, u64::MAX][at % 2], at as u64)), 560);
        check(std::array::from_fn(|at| read((1 << 57) - at as u64 % 3 * 5, u64::MAX >> at)), 560);
    }

    #[test]
    fn states_are_counted_without_unpacking_a_minute() {
        let counts = Counts { total: 5, bad: 1, excluded: 2 };
        let of = [Minute::Read(counts), Minute::Partial(counts), Minute::Unmeasured, Minute::Excluded];
        check(std::array::from_fn(|at| of[at * at % 7 % 4]), 80);
        check(std::array::from_fn(|at| of[at / 59]), 80);
    }

    proptest::proptest! {
        #[test]
        fn any_hour_comes_back(counts in proptest::collection::vec((0_u64..4, 0_u32..65, 0_u32..65, proptest::num::u64::ANY), MINUTES)) {
            let each = |at: usize| {
                let (kind, a, b, bits) = counts[at];
                let cut = |width: u32| bits.checked_shr(64 - width).unwrap_or(0);
                minute(kind, Counts { total: cut(a), bad: cut(b), excluded: cut(a / 2) })
            };
            check(std::array::from_fn(each), 1600);
        }
    }
}
