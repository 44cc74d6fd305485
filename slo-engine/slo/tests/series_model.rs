//! A series against a plain one that packs and shares nothing: whatever is done to the two, they say the same.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use slo::counts::{Counts, MinuteId};
use slo::series::{Minute, Series, WindowSum};
use slo::window::DAY;

const HOUR: i64 = 60;

/// What can be done to a series.
#[derive(Clone, Copy, Debug)]
enum Act {
    Set(i64, Minute),
    /// So many minutes from one on, one request more each.
    Stretch(i64, i64),
    ReadUntil(i64),
    ForgetBefore(i64),
    PackBefore(i64),
    Clone,
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..70, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn minute() -> impl Strategy<Value = Minute> {
    let counts = || {
        let counts = (count(), count(), prop_oneof![3 => Just(0), 1 => count()]);
        counts.prop_map(|(total, bad, excluded)| Counts { total, bad, excluded })
    };
    prop_oneof![
        6 => counts().prop_map(Minute::Read),
        1 => counts().prop_map(Minute::Partial),
        1 => Just(Minute::Unmeasured),
        1 => Just(Minute::Excluded),
        1 => Just(Minute::IDLE),
    ]
}

/// Minutes around a few places: neighbours, days apart, years apart, and before 1970.
fn at() -> impl Strategy<Value = i64> {
    let place = prop_oneof![4 => Just(29_000_000), 1 => Just(-700_000), 1 => Just(0)];
    let offset = prop_oneof![3 => -200_i64..200, 2 => -5000_i64..5000];
    (place, offset).prop_map(|(place, offset)| place + offset)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => (at(), minute()).prop_map(|(at, minute)| Act::Set(at, minute)),
        3 => (at(), 1_i64..400).prop_map(|(at, length)| Act::Stretch(at, length)),
        1 => at().prop_map(Act::ReadUntil),
        1 => at().prop_map(Act::ForgetBefore),
        3 => at().prop_map(Act::PackBefore),
        2 => Just(Act::Clone),
    ]
}

fn read(total: u64, bad: u64) -> Minute {
    Minute::Read(Counts { total, bad, excluded: 0 })
}

fn act_on(series: &mut Series, model: &mut Model, act: Act) {
    match act {
        Act::Set(at, minute) => {
            series.set(MinuteId(at), minute);
            model.set(MinuteId(at), minute);
        }
        Act::Stretch(at, length) => (at..at + length).for_each(|at| {
            series.set(MinuteId(at), read(at as u64 % 50, 0));
            model.set(MinuteId(at), read(at as u64 % 50, 0));
        }),
        Act::ReadUntil(at) => {
            series.read_until(MinuteId(at));
            model.read_until(MinuteId(at));
        }
        Act::ForgetBefore(at) => {
            series.forget_before(MinuteId(at));
            model.forget_before(MinuteId(at));
        }
        Act::PackBefore(at) => series.pack_before(MinuteId(at)),
        Act::Clone => {}
    }
}

#[track_caller]
fn same(series: &Series, model: &Model, ranges: &[(i64, i64)]) {
    assert_eq!((series.first(), series.end()), (model.first(), model.end()));
    for &(from, length) in ranges {
        let (from, to) = (MinuteId(from), MinuteId(from + length));
        assert_eq!(series.sum(from, to), model.sum(from, to));
        assert!(series.busy(from, to).eq(model.busy(from, to)));
        assert!(series.busy(from, to).rev().eq(model.busy(from, to).rev()));
        (from.0..from.0 + length.min(100))
            .for_each(|at| assert_eq!(series.get(MinuteId(at)), model.get(MinuteId(at))));
    }
    let (from, to) = (MinuteId(-2_000_000), MinuteId(40_000_000));
    assert_eq!(series.sum(from, to), model.sum(from, to));
    assert!(series.busy(from, to).eq(model.busy(from, to)));
}

proptest! {
    #[test]
    fn a_series_says_what_a_plain_one_says(
        acts in prop::collection::vec(act(), 1..40),
        ranges in prop::collection::vec((at(), prop_oneof![1_i64..100, 1_i64..6000]), 6),
    ) {
        let (mut series, mut model) = (Series::new(), Model::default());
        let mut clones = vec![];
        for act in acts {
            if matches!(act, Act::Clone) {
                clones.push((series.clone(), model.clone()));
            }
            act_on(&mut series, &mut model, act);
        }
        clones.push((series, model));
        clones.iter().for_each(|(series, model)| same(series, model, &ranges));
    }
}

/// `days` days of 20 to 60 requests a minute, of which a few are bad.
fn busy_days(days: i64) -> Series {
    let mut series = Series::new();
    for at in 0..days * DAY {
        let bad = if at % 97 == 0 { 1 + at as u64 % 3 } else { 0 };
        series.set(MinuteId(at), read(20 + (at as u64).wrapping_mul(2_654_435_761) % 41, bad));
    }
    series
}

#[test]
fn a_month_of_busy_minutes_fits_into_64_kb() {
    let mut series = busy_days(32);
    let before = series.sum(MinuteId(0), MinuteId(32 * DAY));
    series.pack_before(MinuteId(32 * DAY));
    assert_eq!(series.sum(MinuteId(0), MinuteId(32 * DAY)), before);
    assert!(series.memory() <= 64 << 10, "{} bytes", series.memory());
    // The day that is being written: its last hour is open.
    series.set(MinuteId(32 * DAY), read(40, 0));
    assert!(series.memory() <= 67 << 10, "{} bytes", series.memory());
}

#[test]
fn a_minute_that_is_set_in_a_packed_day_unpacks_its_hour_only() {
    let mut series = busy_days(2);
    series.pack_before(MinuteId(2 * DAY));
    let (packed, reader) = (series.memory(), series.clone());
    series.set(MinuteId(100), read(7, 7));
    assert!(series.memory() < packed + 4096, "{} bytes of {packed}", series.memory());
    assert_eq!(series.get(MinuteId(100)), Some(read(7, 7)));
    assert_ne!(reader.get(MinuteId(100)), Some(read(7, 7)));
    series.pack_before(MinuteId(2 * DAY));
    assert!(series.memory() < packed + 64, "{} bytes of {packed}", series.memory());
}

#[test]
fn what_is_said_again_of_a_packed_minute_unpacks_nothing() {
    let mut series = busy_days(2);
    series.pack_before(MinuteId(2 * DAY));
    let packed = series.memory();
    for at in 0..2 * DAY {
        let known = series.get(MinuteId(at)).unwrap();
        series.set(MinuteId(at), known);
    }
    assert_eq!(series.memory(), packed);
}

/// As a series was before it packed anything.
#[derive(Clone, Debug, Default)]
struct Model {
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

impl Model {
    /// Says what is known of a minute; the last word counts.
    fn set(&mut self, id: MinuteId, minute: Minute) {
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
    fn read_until(&mut self, end: MinuteId) {
        if let Some((first, _)) = self.measured {
            self.measure(first, end.0);
        }
    }

    /// Forgets what lies before `first`, which becomes the first minute.
    fn forget_before(&mut self, first: MinuteId) {
        let Some((from, to)) = self.measured.filter(|&(from, _)| from < first.0) else { return };
        self.days = self.days.split_off(&first.0.div_euclid(DAY));
        let start = from.max(first.0.div_euclid(DAY) * DAY);
        let set: Vec<MinuteId> = self.busy(MinuteId(start), first).map(|(id, _)| id).collect();
        set.into_iter().for_each(|id| self.set(id, Minute::IDLE));
        self.measured = (first.0 < to).then_some((first.0, to));
    }

    /// The first known minute.
    fn first(&self) -> Option<MinuteId> {
        self.measured.map(|(first, _)| MinuteId(first))
    }

    /// The minute behind the last known one.
    fn end(&self) -> Option<MinuteId> {
        self.measured.map(|(_, end)| MinuteId(end))
    }

    /// What is known of a minute, or nothing outside the measured time.
    fn get(&self, id: MinuteId) -> Option<Minute> {
        let (first, end) = self.measured?;
        let hour = || self.days.get(&id.0.div_euclid(DAY))?.hours.get(&id.0.div_euclid(HOUR));
        let set = || hour().map_or(Minute::IDLE, |hour| hour.minutes[id.0.rem_euclid(HOUR) as usize]);
        (first <= id.0 && id.0 < end).then(set)
    }

    /// Adds up `[from, to)`; minutes outside the measured time are in no number of it.
    fn sum(&self, from: MinuteId, to: MinuteId) -> WindowSum {
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
    fn busy(&self, from: MinuteId, to: MinuteId) -> impl DoubleEndedIterator<Item = (MinuteId, Minute)> + '_ {
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
