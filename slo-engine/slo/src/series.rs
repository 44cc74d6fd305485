//! The minutes of one SLI of one service, with sums over any range of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counts::{Counts, MinuteId};
use crate::window::DAY;

const HOUR: i64 = 60;

/// What is known of one minute. Idle is `Read` of 0; no data is never good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Minute {
    /// Every expected stream was read.
    Read(Counts),
    /// Some expected stream is missing; these are the counts of the others.
    Partial(Counts),
    /// Nothing was read.
    Unmeasured,
    /// Left out by a recorded exclusion.
    Excluded,
}

/// What a range of minutes adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSum {
    /// Counts of the read and partial minutes.
    pub counts: Counts,
    /// Minutes that were read, idle ones among them.
    pub read: u64,
    /// Minutes of which a part is missing.
    pub partial: u64,
    /// Minutes of which everything is missing.
    pub unmeasured: u64,
    /// Minutes left out by an exclusion.
    pub excluded: u64,
}

/// Minutes of one SLI of one service. Between the first minute and [`Series::end`], whatever was not set is idle; outside
/// there is nothing yet.
///
/// Days hold hours hold minutes, each with its sum, only where something was set: 30 days are summed in some 200 steps, a
/// minute is set in three, a gap of years costs nothing, and 30 days without an idle hour take 1.4 MB.
#[derive(Clone, Debug, Default)]
pub struct Series {
    days: BTreeMap<i64, Day>,
    /// First known minute and the one behind the last.
    measured: Option<(i64, i64)>,
}

#[derive(Clone, Debug, Default)]
struct Day {
    sum: Part,
    hours: BTreeMap<i64, Hour>,
}

#[derive(Clone, Debug)]
struct Hour {
    sum: Part,
    minutes: Box<[Minute; HOUR as usize]>,
}

/// A sum without the read minutes, which follow from the length of a range.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    counts: Counts,
    partial: u64,
    unmeasured: u64,
    excluded: u64,
}

impl Minute {
    /// A minute without requests.
    pub const IDLE: Self = Self::Read(Counts { total: 0, bad: 0, excluded: 0 });

    /// Its counts; 0 where nothing was read or nothing counts.
    pub fn counts(self) -> Counts {
        match self {
            Self::Read(counts) | Self::Partial(counts) => counts,
            Self::Unmeasured | Self::Excluded => Counts::default(),
        }
    }
}

impl WindowSum {
    /// Minutes of which at least a part was read.
    pub fn measured(&self) -> u64 {
        self.read + self.partial
    }

    /// Minutes of which at least a part is missing.
    pub fn missing(&self) -> u64 {
        self.partial + self.unmeasured
    }
}

impl Series {
    /// Without a minute.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what is known of a minute; the last word counts.
    pub fn set(&mut self, id: MinuteId, minute: Minute) {
        self.measure(id.0, id.0 + 1);
        let day = self.days.entry(id.0.div_euclid(DAY)).or_default();
        let hour = day.hours.entry(id.0.div_euclid(HOUR)).or_default();
        let slot = &mut hour.minutes[id.0.rem_euclid(HOUR) as usize];
        let old = std::mem::replace(slot, minute);
        for sum in [&mut hour.sum, &mut day.sum] {
            sum.subtract(Part::of(old));
            sum.add(Part::of(minute));
        }
    }

    /// Everything before `end` was read: what was not set between the first minute and `end` is idle. Without a first
    /// minute nothing changes.
    pub fn read_until(&mut self, end: MinuteId) {
        if let Some((first, _)) = self.measured {
            self.measure(first, end.0);
        }
    }

    /// Forgets what lies before `first`, which becomes the first minute.
    pub fn forget_before(&mut self, first: MinuteId) {
        let Some((from, to)) = self.measured.filter(|&(from, _)| from < first.0) else { return };
        self.days = self.days.split_off(&first.0.div_euclid(DAY));
        let start = from.max(first.0.div_euclid(DAY) * DAY);
        let set: Vec<MinuteId> = self.busy(MinuteId(start), first).map(|(id, _)| id).collect();
        set.into_iter().for_each(|id| self.set(id, Minute::IDLE));
        self.measured = (first.0 < to).then_some((first.0, to));
    }

    /// tmp
    pub fn pack_before(&mut self, _: MinuteId) {}

    /// The first known minute.
    pub fn first(&self) -> Option<MinuteId> {
        self.measured.map(|(first, _)| MinuteId(first))
    }

    /// The minute behind the last known one.
    pub fn end(&self) -> Option<MinuteId> {
        self.measured.map(|(_, end)| MinuteId(end))
    }

    /// What is known of a minute, or nothing outside the measured time.
    pub fn get(&self, id: MinuteId) -> Option<Minute> {
        let (first, end) = self.measured?;
        let hour = || self.days.get(&id.0.div_euclid(DAY))?.hours.get(&id.0.div_euclid(HOUR));
        let set = || hour().map_or(Minute::IDLE, |hour| hour.minutes[id.0.rem_euclid(HOUR) as usize]);
        (first <= id.0 && id.0 < end).then(set)
    }

    /// Adds up `[from, to)`; minutes outside the measured time are in no number of it.
    pub fn sum(&self, from: MinuteId, to: MinuteId) -> WindowSum {
        let Some((from, to)) = self.clip(from, to) else { return WindowSum::default() };
        let mut sum = Part::default();
        for (&day, held) in self.days.range(from.div_euclid(DAY)..=(to - 1).div_euclid(DAY)) {
            if from <= day * DAY && (day + 1) * DAY <= to {
                sum.add(held.sum);
            } else {
                held.add_to(&mut sum, from, to);
            }
        }
        let read = (to - from) as u64 - sum.partial - sum.unmeasured - sum.excluded;
        let Part { counts, partial, unmeasured, excluded } = sum;
        WindowSum { counts, read, partial, unmeasured, excluded }
    }

    /// The minutes of `[from, to)` that are not idle, in order.
    pub fn busy(
        &self,
        from: MinuteId,
        to: MinuteId,
    ) -> impl DoubleEndedIterator<Item = (MinuteId, Minute)> + '_ {
        let (from, to) = self.clip(from, to).unwrap_or((0, 0));
        let days = self.days.range(from.div_euclid(DAY)..to.div_euclid(DAY) + 1);
        let hours = days.flat_map(|(_, day)| day.hours.iter());
        let hours = hours.filter(move |&(&hour, _)| from < (hour + 1) * HOUR && hour * HOUR < to);
        let minutes = hours
            .flat_map(|(&hour, held)| (hour * HOUR..).zip(held.minutes.iter().copied()).collect::<Vec<_>>());
        let inside = minutes.filter(move |&(id, minute)| from <= id && id < to && minute != Minute::IDLE);
        inside.map(|(id, minute)| (MinuteId(id), minute))
    }

    fn measure(&mut self, from: i64, to: i64) {
        let (first, end) = self.measured.unwrap_or((from, to));
        self.measured = Some((first.min(from), end.max(to)));
    }

    fn clip(&self, from: MinuteId, to: MinuteId) -> Option<(i64, i64)> {
        let (first, end) = self.measured?;
        let (from, to) = (from.0.max(first), to.0.min(end));
        (from < to).then_some((from, to))
    }
}

impl Day {
    fn add_to(&self, sum: &mut Part, from: i64, to: i64) {
        for (&hour, held) in self.hours.range(from.div_euclid(HOUR)..=(to - 1).div_euclid(HOUR)) {
            let start = hour * HOUR;
            if from <= start && start + HOUR <= to {
                sum.add(held.sum);
                continue;
            }
            let (low, high) = (from.max(start) - start, to.min(start + HOUR) - start);
            held.minutes[low as usize..high as usize].iter().for_each(|&minute| sum.add(Part::of(minute)));
        }
    }
}

impl Default for Hour {
    fn default() -> Self {
        Self { sum: Part::default(), minutes: Box::new([Minute::IDLE; HOUR as usize]) }
    }
}

impl Part {
    fn of(minute: Minute) -> Self {
        let mut part = Self { counts: minute.counts(), ..Self::default() };
        match minute {
            Minute::Read(_) => {}
            Minute::Partial(_) => part.partial = 1,
            Minute::Unmeasured => part.unmeasured = 1,
            Minute::Excluded => part.excluded = 1,
        }
        part
    }

    /// Wraps, so that a sum is right again when an absurd minute that overflowed it is corrected.
    fn add(&mut self, other: Self) {
        self.combine(other, u64::wrapping_add);
    }

    fn subtract(&mut self, other: Self) {
        self.combine(other, u64::wrapping_sub);
    }

    fn combine(&mut self, other: Self, with: fn(u64, u64) -> u64) {
        self.counts.total = with(self.counts.total, other.counts.total);
        self.counts.bad = with(self.counts.bad, other.counts.bad);
        self.counts.excluded = with(self.counts.excluded, other.counts.excluded);
        self.partial = with(self.partial, other.partial);
        self.unmeasured = with(self.unmeasured, other.unmeasured);
        self.excluded = with(self.excluded, other.excluded);
    }
}
