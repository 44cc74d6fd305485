//! The minutes of one SLI of one service, with sums over any range of them.

mod day;
mod packed;
mod part;

use serde::{Deserialize, Serialize};

use crate::counts::{Counts, MinuteId};
use crate::window::DAY;
use day::Day;
use part::Part;

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
/// Days hold hours hold minutes, each with its sum, only where something was set: 30 days are summed in some 70 steps and a
/// gap of years costs nothing. [`Series::pack_before`] packs what is hardly set any more: 32 days without an idle hour take
/// some 60 KB. A clone shares the days, and whoever sets a minute then copies its hour and its day's table of hours.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Sorted by day.
    days: Vec<Day>,
    /// First known minute and the one behind the last.
    measured: Option<(i64, i64)>,
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
        let day = id.0.div_euclid(DAY);
        let place = match self.find(day) {
            Ok(place) => place,
            Err(_) if minute == Minute::IDLE => return,
            Err(place) => {
                self.days.insert(place, Day::new(day));
                place
            }
        };
        self.days[place].set(id.0.rem_euclid(DAY) as usize, minute);
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
        let Some((_, to)) = self.measured.filter(|&(from, _)| from < first.0) else { return };
        let (Ok(place) | Err(place)) = self.find(first.0.div_euclid(DAY));
        self.days.drain(..place);
        if let Some(day) = self.days.first_mut().filter(|day| day.day == first.0.div_euclid(DAY)) {
            day.clear_before(first.0.rem_euclid(DAY) as usize);
        }
        self.measured = (first.0 < to).then_some((first.0, to));
    }

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
        let day = || self.find(id.0.div_euclid(DAY)).ok().map(|place| &self.days[place]);
        let set = || day().map_or(Minute::IDLE, |day| day.minute(id.0.rem_euclid(DAY) as usize));
        (first <= id.0 && id.0 < end).then(set)
    }

    /// Adds up `[from, to)`; minutes outside the measured time are in no number of it.
    pub fn sum(&self, from: MinuteId, to: MinuteId) -> WindowSum {
        let Some((from, to)) = self.clip(from, to) else { return WindowSum::default() };
        let (first, last) = (from.div_euclid(DAY), (to - 1).div_euclid(DAY));
        let mut sum = Part::default();
        for day in self.days(first, last) {
            let low = if day.day == first { from.rem_euclid(DAY) } else { 0 };
            let high = if day.day == last { (to - 1).rem_euclid(DAY) + 1 } else { DAY };
            sum.add(day.part(low as usize, high as usize));
        }
        sum.window((to - from) as u64)
    }

    /// The minutes of `[from, to)` that are not idle, in order.
    pub fn busy(
        &self,
        from: MinuteId,
        to: MinuteId,
    ) -> impl DoubleEndedIterator<Item = (MinuteId, Minute)> + '_ {
        let (from, to) = self.clip(from, to).unwrap_or((0, 0));
        let days = self.days(from.div_euclid(DAY), to.div_euclid(DAY)).iter();
        let hours = days.flat_map(move |day| {
            let start = |hour: usize| day.day.wrapping_mul(DAY).wrapping_add(hour as i64 * HOUR);
            let touched = move |hour: &usize| start(*hour) < to && from < start(*hour).saturating_add(HOUR);
            day.hours(touched).map(move |(hour, minutes)| (start(hour), minutes))
        });
        let minutes = hours.flat_map(|(start, minutes)| {
            minutes.into_iter().enumerate().map(move |(at, minute)| (start.wrapping_add(at as i64), minute))
        });
        let inside = minutes.filter(move |&(id, minute)| from <= id && id < to && minute != Minute::IDLE);
        inside.map(|(id, minute)| (MinuteId(id), minute))
    }

    /// The first minute from `from` on that is not idle.
    pub fn next_busy(&self, from: MinuteId) -> Option<MinuteId> {
        self.next(from, Day::next_busy)
    }

    /// The first minute from `from` on with a bad request.
    pub fn next_bad(&self, from: MinuteId) -> Option<MinuteId> {
        self.next(from, Day::next_bad)
    }

    /// Packs the hours that ended before `minute`, to a twentieth of their size; a minute of them can be set all the same,
    /// which unpacks its hour. Changes nothing of what is known.
    pub fn pack_before(&mut self, minute: MinuteId) {
        let (last, hours) = (minute.0.div_euclid(DAY), minute.0.rem_euclid(DAY) / HOUR);
        let (Ok(end) | Err(end)) = self.find(last);
        self.days[..end].iter_mut().for_each(|day| day.pack(usize::MAX));
        if let Some(day) = self.days.get_mut(end).filter(|day| day.day == last) {
            day.pack(hours as usize);
        }
    }

    /// Bytes of the heap that hold it, those that it shares with its clones among them; roughly, as an allocator has its own.
    pub fn memory(&self) -> usize {
        self.days.capacity() * size_of::<Day>() + self.days.iter().map(Day::memory).sum::<usize>()
    }

    fn next(&self, from: MinuteId, in_day: fn(&Day, usize) -> Option<usize>) -> Option<MinuteId> {
        let (from, _) = self.clip(from, MinuteId(i64::MAX))?;
        let first = from.div_euclid(DAY);
        let (Ok(start) | Err(start)) = self.find(first);
        self.days[start..].iter().find_map(|day| {
            let low = if day.day == first { from.rem_euclid(DAY) } else { 0 };
            let at = in_day(day, low as usize)?;
            Some(MinuteId(day.day.wrapping_mul(DAY).wrapping_add(at as i64)))
        })
    }

    /// Where a day stands, or would.
    fn find(&self, day: i64) -> Result<usize, usize> {
        // Mostly there is no gap between a day and the last one.
        let back = self.days.last().map(|last| last.day.wrapping_sub(day));
        let place = back.and_then(|back| (self.days.len() - 1).checked_sub(usize::try_from(back).ok()?));
        match place.filter(|&place| self.days[place].day == day) {
            Some(place) => Ok(place),
            None => self.days.binary_search_by_key(&day, |held| held.day),
        }
    }

    /// The days from `first` to `last`, both of them inside.
    fn days(&self, first: i64, last: i64) -> &[Day] {
        let (Ok(start) | Err(start)) = self.find(first);
        let rest = &self.days[start..];
        let inside = rest.iter().take_while(|day| day.day <= last).count();
        &rest[..inside]
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
