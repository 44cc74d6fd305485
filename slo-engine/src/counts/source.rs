//! What one kind of log says of a service: minutes by SLI, latencies for display, and whose streams it was read from.

use std::collections::{BTreeMap, BTreeSet};

use slo::counts::{Counts as Sum, MinuteId, Sli};
use slo::series::{Minute, Series};
use slo::sketch::Sketch;

use super::reach::{Id, Reach};

/// Hours whose latencies are kept by the hour; older ones are kept by the day.
const SKETCH_HOURS: i64 = 48;

/// Minutes whose hours stay unpacked: late rows mostly come within them.
const OPEN_MINUTES: i64 = 150;

/// What one kind of log says of a service.
#[derive(Clone, Debug, Default)]
pub struct Source {
    slis: BTreeMap<Sli, Series>,
    sketches: BTreeMap<i64, Sketch>,
    sketches_of_days: BTreeMap<i64, Sketch>,
    /// Streams that it was read from, each with the newest minute that it holds.
    streams: BTreeMap<Id, MinuteId>,
    /// Minutes in which byte ranges cut through each other.
    torn: BTreeSet<MinuteId>,
    /// Before this minute every state is final until a row or a collector changes it.
    settled: Option<MinuteId>,
    /// Hours before this one are packed.
    packed: i64,
}

/// A change of one SLI's minute, from one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Delta {
    /// Counts that are taken away, and those that take their place.
    pub(super) before: Sum,
    pub(super) after: Sum,
    pub(super) sketch_before: Sketch,
    pub(super) sketch_after: Sketch,
    pub(super) torn: bool,
}

impl Source {
    /// Without a request since a minute.
    pub(super) fn since(minute: MinuteId) -> Self {
        let mut source = Self::default();
        for sli in Sli::ALL {
            source.slis.entry(sli).or_default().set(minute, Minute::IDLE);
        }
        source
    }

    /// Minutes of an SLI; nothing where the log has none (a format without durations).
    pub fn series(&self, sli: Sli) -> Option<&Series> {
        self.slis.get(&sli)
    }

    /// Minutes of every SLI that the log has.
    pub(super) fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.slis.values()
    }

    /// Latencies of `[from, to)` for display: by whole hours, those of over two days ago by whole days.
    pub fn sketch(&self, from: MinuteId, to: MinuteId) -> Sketch {
        let mut sum = Sketch::default();
        let days = self.sketches_of_days.range(from.0.div_euclid(1440)..=(to.0 - 1).div_euclid(1440));
        let hours = self.sketches.range(from.0.div_euclid(60)..=(to.0 - 1).div_euclid(60));
        days.chain(hours).for_each(|(_, sketch)| sum.merge(sketch));
        sum
    }

    /// Changes a minute of an SLI.
    pub(super) fn change(&mut self, sli: Sli, minute: MinuteId, delta: &Delta) {
        let hour = minute.0.div_euclid(60);
        if !delta.sketch_after.is_empty() || !delta.sketch_before.is_empty() {
            let sketch = if hour < self.packed - SKETCH_HOURS {
                self.sketches_of_days.entry(minute.0.div_euclid(1440)).or_default()
            } else {
                self.sketches.entry(hour).or_default()
            };
            sketch.merge(&delta.sketch_after);
            sketch.subtract(&delta.sketch_before);
        }
        let series = self.slis.entry(sli).or_default();
        let known = series.get(minute).map_or(Sum::default(), Minute::counts);
        let sum = |known: u64, before: u64, after: u64| (known + after).saturating_sub(before);
        let (before, after) = (delta.before, delta.after);
        let counts = Sum {
            total: sum(known.total, before.total, after.total),
            bad: sum(known.bad, before.bad, after.bad),
            excluded: sum(known.excluded, before.excluded, after.excluded),
        };
        series.set(minute, Minute::Read(counts));
        if delta.torn {
            self.torn.insert(minute);
        }
    }

    /// A stream holds a minute. What a stream that is new here may lack begins anywhere, unless others of its collector are
    /// known here already.
    pub(super) fn reach_to(&mut self, stream: Id, minute: MinuteId, reach: &Reach) {
        let concerns = match self.streams.get_mut(&stream) {
            Some(newest) => std::mem::replace(newest, minute.max(*newest)).min(minute),
            None => {
                let owner = reach.owner(stream);
                let has_read = owner.is_some_and(|owner| reach.get(owner).read_to.is_some());
                let is_known = has_read && self.streams.keys().any(|&stream| reach.owner(stream) == owner);
                self.streams.insert(stream, minute);
                if is_known { minute } else { MinuteId(i64::MIN) }
            }
        };
        self.settled = self.settled.map(|settled| settled.min(concerns));
    }

    /// The newest minute that streams of `ours` hold, where they hold one.
    pub(super) fn newest_of(&self, ours: &BTreeSet<Id>) -> Option<MinuteId> {
        self.streams.iter().filter(|(stream, _)| ours.contains(stream)).map(|(_, newest)| *newest).max()
    }

    /// States must be looked at anew from the beginning.
    pub(super) fn unsettle(&mut self) {
        self.settled = None;
    }

    /// Gives every minute before `now` its state.
    pub(super) fn settle(&mut self, reach: &Reach, collectors: &[(Id, MinuteId)], now: MinuteId) {
        let concerns = reach.moved(collectors);
        self.settled = self.settled.map(|settled| concerns.map_or(settled, |minute| minute.min(settled)));
        let gaps = if reach.everything { Vec::new() } else { reach.gaps(collectors, now) };
        let furthest = gaps.first().map_or(now, |(furthest, _)| *furthest);
        for series in self.slis.values_mut() {
            let Some(first) = series.first() else { continue };
            let from = self.settled.unwrap_or(first).max(first);
            mark_read(series, from, now, &self.torn);
            for &(start, end) in &gaps {
                for minute in (start.max(from).0..end.min(now).0).map(MinuteId) {
                    series.set(minute, missing(series.get(minute), minute < furthest));
                }
            }
        }
        self.settled = Some(now);
    }

    /// Whether there is nothing to settle at `now`.
    pub(super) fn is_settled(&self, reach: &Reach, collectors: &[(Id, MinuteId)], now: MinuteId) -> bool {
        self.settled.is_some_and(|settled| settled >= now) && reach.moved(collectors).is_none()
    }

    /// Whom minutes are expected from, each with how far it has read. One that has never caught up is taken to have read
    /// what came before the newest minute that it sent.
    pub(super) fn collectors(&self, reach: &Reach) -> Vec<(Id, MinuteId)> {
        let mut collectors: Vec<(Id, MinuteId)> = Vec::new();
        for (&stream, &newest) in &self.streams {
            let Some(owner) = reach.owner(stream) else { continue };
            match collectors.iter_mut().find(|(known, _)| *known == owner) {
                Some((_, sent_to)) => *sent_to = newest.max(*sent_to),
                None => collectors.push((owner, newest)),
            }
        }
        for (collector, to) in &mut collectors {
            *to = reach.get(*collector).read_to.unwrap_or(*to);
        }
        collectors
    }

    /// Whether [`pack`](Self::pack) would change anything.
    pub(super) fn is_packed(&self, now: MinuteId) -> bool {
        now.plus(-OPEN_MINUTES).0.div_euclid(60) <= self.packed
    }

    /// Packs what lies some hours back.
    pub(super) fn pack(&mut self, now: MinuteId) {
        self.pack_to(now.plus(-OPEN_MINUTES).0.div_euclid(60));
    }

    /// Packs hours before one.
    pub(super) fn pack_to(&mut self, hour: i64) {
        self.packed = hour;
        self.slis.values_mut().for_each(|series| series.pack_before(MinuteId(self.packed * 60)));
        let recent = self.sketches.split_off(&(self.packed - SKETCH_HOURS));
        for (hour, sketch) in std::mem::replace(&mut self.sketches, recent) {
            self.sketches_of_days.entry(hour.div_euclid(24)).or_default().merge(&sketch);
        }
    }

    /// Forgets what lies before a minute; whether anything is left.
    pub(super) fn forget_before(&mut self, minute: MinuteId) -> bool {
        self.slis.values_mut().for_each(|series| series.forget_before(minute));
        self.sketches = self.sketches.split_off(&minute.0.div_euclid(60));
        self.sketches_of_days = self.sketches_of_days.split_off(&minute.0.div_euclid(1440));
        self.torn = self.torn.split_off(&minute);
        self.streams.retain(|_, newest| *newest >= minute);
        !self.streams.is_empty()
    }
}

/// Minutes of `[from, to)` were read, but for those in which byte ranges cut through each other.
fn mark_read(series: &mut Series, from: MinuteId, to: MinuteId, torn: &BTreeSet<MinuteId>) {
    series.read_until(to);
    let state = |id: &MinuteId, minute: Minute| {
        let counts = minute.counts();
        if torn.contains(id) { Minute::Partial(counts) } else { Minute::Read(counts) }
    };
    let wrong = |(id, minute): (MinuteId, Minute)| {
        let state = state(&id, minute);
        (state != minute).then_some((id, state))
    };
    let states: Vec<(MinuteId, Minute)> = series.busy(from, to).filter_map(wrong).collect();
    states.into_iter().for_each(|(id, state)| series.set(id, state));
}

/// A minute that some expected collector has not passed: what was read of it counts, the rest is missing.
fn missing(known: Option<Minute>, some_passed: bool) -> Minute {
    let counts = known.map_or(Sum::default(), Minute::counts);
    if some_passed || counts != Sum::default() { Minute::Partial(counts) } else { Minute::Unmeasured }
}
