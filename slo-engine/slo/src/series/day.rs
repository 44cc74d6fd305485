//! One day of a series: open where minutes are still being set, packed into one allocation once it is over; copied only
//! when it is written while somebody else reads it.

use std::sync::Arc;

use super::packed::{PackedHour, pack};
use super::part::Part;
use super::{HOUR, Minute};
use crate::window::DAY;

const HOURS: usize = (DAY / HOUR) as usize;
const MINUTES: usize = HOUR as usize;
const ALL: usize = DAY as usize;

/// Bytes in front of the hours of a packed day: where each of them ends.
const ENDS: usize = 2 * HOURS;

/// Reference counts in front of what is shared.
const SHARED: usize = 2 * size_of::<usize>();

/// A day with its sum.
#[derive(Clone, Debug)]
pub(super) struct Day {
    /// Days since 1970.
    pub(super) day: i64,
    sum: Part,
    hours: Hours,
}

#[derive(Clone, Debug)]
enum Hours {
    Open(Arc<[Slot; HOURS]>),
    Packed(Arc<[u8]>),
}

/// One hour of a day that is open.
#[derive(Clone, Debug, Default)]
enum Slot {
    #[default]
    Idle,
    Open(Arc<Hour>),
    Packed(Arc<[u8]>),
}

#[derive(Clone, Debug)]
struct Hour {
    sum: Part,
    minutes: [Minute; MINUTES],
}

/// One hour, wherever it is kept.
enum View<'a> {
    Idle,
    Open(&'a Hour),
    Packed(&'a [u8]),
}

impl Day {
    pub(super) fn new(day: i64) -> Self {
        Self { day, sum: Part::default(), hours: Hours::Open(Arc::default()) }
    }

    /// Sets a minute of the day.
    pub(super) fn set(&mut self, at: usize, minute: Minute) {
        let (hour, at) = (at / MINUTES, at % MINUTES);
        // Nothing is unpacked or copied for what is known already.
        let old = self.hour(hour).minute(at);
        if old == minute {
            return;
        }
        replace(&mut self.sum, old, minute);
        let slot = &mut self.open()[hour];
        let open = slot.open();
        replace(&mut open.sum, old, minute);
        open.minutes[at] = minute;
    }

    /// Makes everything before a minute of the day idle.
    pub(super) fn clear_before(&mut self, at: usize) {
        for hour in 0..at / MINUTES {
            if matches!(self.hour(hour), View::Idle) {
                continue;
            }
            let sum = self.hour(hour).part(0, MINUTES);
            self.sum.subtract(sum);
            self.open()[hour] = Slot::Idle;
        }
        (at - at % MINUTES..at).for_each(|at| self.set(at, Minute::IDLE));
    }

    pub(super) fn minute(&self, at: usize) -> Minute {
        self.hour(at / MINUTES).minute(at % MINUTES)
    }

    /// The sum of the minutes from `low` to before `high`: of what is inside or of what is outside, whichever is less.
    pub(super) fn part(&self, low: usize, high: usize) -> Part {
        match high - low {
            ALL => self.sum,
            few if few <= ALL / 2 => self.inside(low, high),
            _ => self.sum.without(self.inside(0, low)).without(self.inside(high, ALL)),
        }
    }

    /// The first minute from `from` on that is not idle.
    pub(super) fn next_busy(&self, from: usize) -> Option<usize> {
        self.next(from, |_| true, |minute| minute != Minute::IDLE)
    }

    /// The first minute from `from` on with a bad request; days and hours without one are passed over.
    pub(super) fn next_bad(&self, from: usize) -> Option<usize> {
        self.next(from, |sum| sum.counts.bad > 0, |minute| minute.counts().bad > 0)
    }

    /// The first minute from `from` on that is wanted, in a day and an hour whose sums can hold one.
    fn next(&self, from: usize, holds: fn(Part) -> bool, wanted: fn(Minute) -> bool) -> Option<usize> {
        let hours = (from / MINUTES..HOURS).filter(|_| holds(self.sum));
        hours.map(|hour| (hour * MINUTES, self.hour(hour))).find_map(|(start, hour)| {
            let inside = !matches!(hour, View::Idle) && holds(hour.part(0, MINUTES));
            let at = inside.then(|| hour.next(from.saturating_sub(start), wanted))??;
            Some(start + at)
        })
    }

    /// The wanted hours that hold something, with their minutes.
    pub(super) fn hours<'a>(
        &'a self,
        wanted: impl Fn(&usize) -> bool + 'a,
    ) -> impl DoubleEndedIterator<Item = (usize, [Minute; MINUTES])> + 'a {
        (0..HOURS).filter(wanted).filter_map(|hour| Some((hour, self.hour(hour).minutes()?)))
    }

    /// Packs the first `hours` hours; all of them into one piece.
    pub(super) fn pack(&mut self, hours: usize) {
        let Hours::Open(slots) = &self.hours else { return };
        let packs = |slot: &Slot| matches!(slot, Slot::Open(_));
        if hours >= HOURS {
            self.hours = Hours::Packed(whole(slots));
        } else if slots[..hours].iter().any(packs) {
            self.open()[..hours].iter_mut().for_each(Slot::pack);
        }
    }

    /// Bytes of the heap that hold it, shared ones too.
    pub(super) fn memory(&self) -> usize {
        match &self.hours {
            Hours::Open(slots) => {
                SHARED + size_of::<[Slot; HOURS]>() + slots.iter().map(Slot::memory).sum::<usize>()
            }
            Hours::Packed(bytes) => SHARED + bytes.len(),
        }
    }

    fn inside(&self, low: usize, high: usize) -> Part {
        let mut sum = Part::default();
        let mut at = low;
        while at < high {
            let (hour, start) = (at / MINUTES, at % MINUTES);
            let end = (start + high - at).min(MINUTES);
            sum.add(self.hour(hour).part(start, end));
            at += end - start;
        }
        sum
    }

    fn hour(&self, hour: usize) -> View<'_> {
        match &self.hours {
            Hours::Open(slots) => slots[hour].view(),
            Hours::Packed(bytes) => View::of(packed_hour(bytes, hour)),
        }
    }

    /// Its hours to write to: a packed day becomes an open one of packed hours.
    fn open(&mut self) -> &mut [Slot; HOURS] {
        if let Hours::Packed(bytes) = &self.hours {
            let slots = std::array::from_fn(|hour| Slot::of(packed_hour(bytes, hour)));
            self.hours = Hours::Open(Arc::new(slots));
        }
        match &mut self.hours {
            Hours::Open(slots) => Arc::make_mut(slots),
            Hours::Packed(_) => unreachable!("a packed day was opened"),
        }
    }
}

impl Slot {
    fn of(packed: &[u8]) -> Self {
        if packed.is_empty() { Self::Idle } else { Self::Packed(packed.into()) }
    }

    fn view(&self) -> View<'_> {
        match self {
            Self::Idle => View::Idle,
            Self::Open(hour) => View::Open(hour),
            Self::Packed(bytes) => View::of(bytes),
        }
    }

    /// Its minutes to write to.
    fn open(&mut self) -> &mut Hour {
        if !matches!(self, Self::Open(_)) {
            *self = Self::Open(Arc::new(Hour::of(&self.view())));
        }
        match self {
            Self::Open(hour) => Arc::make_mut(hour),
            Self::Idle | Self::Packed(_) => unreachable!("an hour was opened"),
        }
    }

    fn pack(&mut self) {
        if let Self::Open(hour) = self {
            *self = Self::of(&hour.packed());
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Idle => 0,
            Self::Open(_) => SHARED + size_of::<Hour>(),
            Self::Packed(bytes) => SHARED + bytes.len(),
        }
    }
}

impl Hour {
    fn of(view: &View<'_>) -> Self {
        let minutes = view.minutes().unwrap_or([Minute::IDLE; MINUTES]);
        Self { sum: view.part(0, MINUTES), minutes }
    }

    fn part(&self, low: usize, high: usize) -> Part {
        let inside = |low: usize, high: usize| Part::of_all(&self.minutes[low..high]);
        match high - low {
            MINUTES => self.sum,
            few if few <= MINUTES / 2 => inside(low, high),
            _ => self.sum.without(inside(0, low)).without(inside(high, MINUTES)),
        }
    }

    /// Its bytes; none where it is idle.
    fn packed(&self) -> Vec<u8> {
        let is_idle = self.minutes.iter().all(|&minute| minute == Minute::IDLE);
        if is_idle { Vec::new() } else { pack(&self.minutes) }
    }
}

impl<'a> View<'a> {
    fn of(packed: &'a [u8]) -> Self {
        if packed.is_empty() { Self::Idle } else { Self::Packed(packed) }
    }

    fn minute(&self, at: usize) -> Minute {
        match self {
            Self::Idle => Minute::IDLE,
            Self::Open(hour) => hour.minutes[at],
            Self::Packed(bytes) => PackedHour::read(bytes).minute(at),
        }
    }

    fn minutes(&self) -> Option<[Minute; MINUTES]> {
        match self {
            Self::Idle => None,
            Self::Open(hour) => Some(hour.minutes),
            Self::Packed(bytes) => Some(PackedHour::read(bytes).minutes()),
        }
    }

    fn next(&self, from: usize, wanted: fn(Minute) -> bool) -> Option<usize> {
        match self {
            Self::Idle => None,
            Self::Open(hour) => (from..MINUTES).find(|&at| wanted(hour.minutes[at])),
            Self::Packed(bytes) => {
                let hour = PackedHour::read(bytes);
                (from..MINUTES).find(|&at| wanted(hour.minute(at)))
            }
        }
    }

    fn part(&self, low: usize, high: usize) -> Part {
        match self {
            Self::Idle => Part::default(),
            Self::Open(hour) => hour.part(low, high),
            Self::Packed(bytes) if high - low == MINUTES => PackedHour::whole(bytes),
            Self::Packed(bytes) => PackedHour::read(bytes).range(low, high),
        }
    }
}

fn replace(sum: &mut Part, old: Minute, new: Minute) {
    sum.subtract(Part::of(old));
    sum.add(Part::of(new));
}

/// All hours of a day in one piece, behind where each of them ends.
fn whole(slots: &[Slot; HOURS]) -> Arc<[u8]> {
    let mut out = vec![0; ENDS];
    for (hour, slot) in slots.iter().enumerate() {
        match slot {
            Slot::Idle => {}
            Slot::Open(hour) => out.extend(hour.packed()),
            Slot::Packed(bytes) => out.extend_from_slice(bytes),
        }
        // At most 24 × 1519 bytes: 64 bits for each count of each minute, and the heads.
        let end = (out.len() - ENDS) as u16;
        out[2 * hour..2 * hour + 2].copy_from_slice(&end.to_le_bytes());
    }
    out.into()
}

fn packed_hour(bytes: &[u8], hour: usize) -> &[u8] {
    let end = |hour: usize| ENDS + usize::from(u16::from_le_bytes([bytes[2 * hour], bytes[2 * hour + 1]]));
    let start = hour.checked_sub(1).map_or(ENDS, end);
    &bytes[start..end(hour)]
}
