//! A chunk: a batch on its way to a sink, with a mark for every record that was read, so that it can be cut anywhere
//! and still say exactly what it settles.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::event::{Batch, Event, Span, StreamId};

/// For each stream: everything below this offset is settled.
pub type Positions = BTreeMap<StreamId, u64>;

/// One record that was read, whatever became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Offset of its first byte.
    pub offset: u64,
    /// The source sent it to the dead-letter store.
    pub dead_lettered: bool,
    /// Its CRI time.
    pub time: Option<Timestamp>,
}

/// A batch with its marks.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The events and spans.
    pub batch: Batch,
    /// The records of `batch.spans`, index by index, in stream order.
    pub marks: Vec<Vec<Mark>>,
    /// Records (span's index, offset) that a transform dropped because of an error.
    pub dropped: BTreeSet<(StreamId, u64)>,
}

/// What became of the records of a chunk before its sink saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// All records.
    pub read: u64,
    /// At least one event of theirs reached the sink.
    pub arrived: u64,
    /// A transform left them out as configured.
    pub filtered: u64,
    /// A transform failed on them.
    pub dropped: u64,
    /// The source could not make a record of them.
    pub dead_lettered: u64,
}

impl Chunk {
    /// Whether it settles nothing and carries no news of a stream.
    pub fn is_empty(&self) -> bool {
        self.batch.spans.is_empty()
    }

    /// Records that were read.
    pub fn lines(&self) -> u64 {
        self.marks.iter().map(|marks| marks.len() as u64).sum()
    }

    /// Whether a part of it lies below `positions`.
    pub fn reaches_below(&self, positions: &Positions) -> bool {
        self.batch.spans.iter().any(|span| {
            let position = positions.get(&span.stream.id).copied().unwrap_or(0);
            span.start < position
        })
    }

    /// The part at and above `positions`.
    #[must_use]
    pub fn above(self, positions: &Positions) -> Self {
        let cut = |id: &StreamId| positions.get(id).copied().unwrap_or(0);
        self.select(|span| (cut(&span.stream.id).max(span.start), u64::MAX))
    }

    /// Two halves, cut between two records; nothing if there are not two.
    pub fn halves(self) -> Result<(Self, Self), Self> {
        let place = |event: &Event| (event.place.stream.id.clone(), event.place.offset);
        let events = &self.batch.events;
        let cuts = (1..events.len()).filter(|&at| place(&events[at - 1]) != place(&events[at]));
        let Some(cut) = cuts.min_by_key(|at| at.abs_diff(events.len() / 2)) else { return Err(self) };
        let mut starts = Positions::new();
        for event in &events[cut..] {
            let start = starts.entry(event.place.stream.id.clone()).or_insert(u64::MAX);
            *start = (*start).min(event.place.offset);
        }
        let start = |span: &Span| starts.get(&span.stream.id).copied().unwrap_or(u64::MAX);
        let first = self.clone().select(|span| (0, start(span)));
        Ok((first, self.select(|span| (start(span), u64::MAX))))
    }

    /// The same range with what arrived of it in the dead-letter store.
    #[must_use]
    pub fn dead_lettered(self) -> Self {
        let all = (0..self.batch.events.len()).collect();
        self.partly_dead_lettered(&all)
    }

    /// The same range with the events at these places in the dead-letter store. A record of which one event is there is
    /// dead-lettered as a whole; its other events stay.
    #[must_use]
    pub fn partly_dead_lettered(mut self, places: &BTreeSet<usize>) -> Self {
        let mut gone = BTreeSet::new();
        let mut place = 0;
        self.batch.events.retain(|event| {
            let stays = !places.contains(&place);
            place += 1;
            if !stays {
                gone.insert((event.place.stream.id.clone(), event.place.offset));
            }
            stays
        });
        for (span, marks) in self.batch.spans.iter_mut().zip(&mut self.marks) {
            for mark in marks.iter_mut() {
                mark.dead_lettered |= gone.contains(&(span.stream.id.clone(), mark.offset));
            }
            describe(span, marks);
        }
        self
    }

    /// Whether `next` can be joined: each of its spans begins where ours of the same stream ends.
    pub fn joins(&self, next: &Self) -> bool {
        next.batch.spans.iter().all(|new| match self.span_of(&new.stream.id) {
            Some(at) => self.batch.spans[at].end == new.start,
            None => true,
        })
    }

    /// Adds `next`, which [`joins`](Self::joins).
    pub fn join(&mut self, next: Self) {
        self.batch.events.extend(next.batch.events);
        self.dropped.extend(next.dropped);
        for (span, marks) in next.batch.spans.into_iter().zip(next.marks) {
            match self.span_of(&span.stream.id) {
                Some(at) => {
                    merge(&mut self.batch.spans[at], span);
                    self.marks[at].extend(marks);
                }
                None => {
                    self.batch.spans.push(span);
                    self.marks.push(marks);
                }
            }
        }
    }

    /// What became of its records so far.
    pub fn fates(&self) -> Fates {
        let arrived: BTreeSet<_> =
            self.batch.events.iter().map(|event| (&event.place.stream.id, event.place.offset)).collect();
        let mut fates = Fates::default();
        for (span, marks) in self.batch.spans.iter().zip(&self.marks) {
            for mark in marks {
                fates.read += 1;
                let slot = match () {
                    () if mark.dead_lettered => &mut fates.dead_lettered,
                    () if arrived.contains(&(&span.stream.id, mark.offset)) => &mut fates.arrived,
                    () if self.dropped.contains(&(span.stream.id.clone(), mark.offset)) => &mut fates.dropped,
                    () => &mut fates.filtered,
                };
                *slot += 1;
            }
        }
        fates
    }

    fn span_of(&self, id: &StreamId) -> Option<usize> {
        self.batch.spans.iter().position(|span| span.stream.id == *id)
    }

    /// Keeps of each span the records in the half-open range that `keep` gives for it.
    fn select(self, keep: impl Fn(&Span) -> (u64, u64)) -> Self {
        let mut kept = Chunk { dropped: self.dropped, ..Chunk::default() };
        let mut ranges = BTreeMap::new();
        for (mut span, mut marks) in self.batch.spans.into_iter().zip(self.marks) {
            let (from, to) = keep(&span);
            ranges.insert(span.stream.id.clone(), (from, to));
            if from > span.end
                || to < span.start
                || (span.start < span.end && (from >= span.end || to <= span.start))
            {
                continue;
            }
            span.start = span.start.max(from);
            span.ended &= span.end <= to;
            span.broken = span.broken.filter(|_| span.end <= to);
            span.end = span.end.min(to);
            marks.retain(|mark| (from..to).contains(&mark.offset));
            describe(&mut span, &marks);
            kept.batch.spans.push(span);
            kept.marks.push(marks);
        }
        let inside = |event: &Event| {
            ranges
                .get(&event.place.stream.id)
                .is_some_and(|(from, to)| (*from..*to).contains(&event.place.offset))
        };
        kept.batch.events = self.batch.events.into_iter().filter(inside).collect();
        kept
    }
}

/// Sets what a span says of its records.
pub fn describe(span: &mut Span, marks: &[Mark]) {
    span.lines = marks.len() as u64;
    span.dead_lettered = marks.iter().filter(|mark| mark.dead_lettered).count() as u64;
    let times = || marks.iter().filter_map(|mark| mark.time);
    span.times = times().min().zip(times().max());
}

fn merge(old: &mut Span, new: Span) {
    old.end = new.end;
    old.lines += new.lines;
    old.dead_lettered += new.dead_lettered;
    old.ended |= new.ended;
    old.broken = new.broken.or(old.broken.take());
    old.times = match (old.times, new.times) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{Body, Place, Stream};

    /// A chunk of one stream: records of ten bytes from `start`, each kept as an event, filtered or dead-lettered.
    fn chunk(id: &str, start: u64, records: &[u8]) -> Chunk {
        let stream = Arc::new(Stream { id: id.into(), path: id.into(), pod: None, metadata: None });
        let mut chunk = Chunk::default();
        let mut marks = Vec::new();
        for (offset, what) in (start..).step_by(10).zip(records) {
            marks.push(Mark { offset, dead_lettered: *what == 0, time: None });
            if *what > 1 {
                let place = Place { stream: stream.clone(), offset, index: 0 };
                chunk.batch.events.push(Event {
                    place,
                    time: None,
                    stdio: None,
                    body: Body::Line("x".into()),
                });
            }
        }
        let end = start + 10 * records.len() as u64;
        let mut span =
            Span { stream, start, end, lines: 0, dead_lettered: 0, times: None, ended: true, broken: None };
        describe(&mut span, &marks);
        chunk.batch.spans.push(span);
        chunk.marks.push(marks);
        chunk
    }

    fn add(a: Fates, b: Fates) -> Fates {
        Fates {
            read: a.read + b.read,
            arrived: a.arrived + b.arrived,
            filtered: a.filtered + b.filtered,
            dropped: a.dropped + b.dropped,
            dead_lettered: a.dead_lettered + b.dead_lettered,
        }
    }

    proptest! {
        #[test]
        fn however_a_chunk_is_cut_its_parts_are_the_whole(
            a in proptest::collection::vec(0..4u8, 1..20),
            b in proptest::collection::vec(0..4u8, 1..20),
            cut in 0..25u64,
        ) {
            let mut whole = chunk("a", 0, &a);
            whole.join(chunk("b", 70, &b));
            let positions = Positions::from([("a".into(), 10 * cut), ("b".into(), 70 + 5 * cut / 10 * 10)]);
            let above = whole.clone().above(&positions);
            prop_assert!(!above.reaches_below(&positions));
            prop_assert_eq!(above.clone().above(&positions).fates(), above.fates());
            if let Ok((first, second)) = whole.clone().halves() {
                prop_assert!(!first.batch.events.is_empty() && !second.batch.events.is_empty());
                prop_assert_eq!(add(first.fates(), second.fates()), whole.fates());
                let mut joined = first;
                prop_assert!(joined.joins(&second));
                joined.join(second);
                prop_assert_eq!(joined.fates(), whole.fates());
                prop_assert_eq!(joined.batch.spans.iter().map(|span| span.lines).sum::<u64>(), whole.lines());
                prop_assert!(joined.batch.spans.iter().all(|span| span.ended));
            }
        }
    }

    #[test]
    fn a_single_record_cannot_be_halved_and_can_be_dead_lettered() {
        let record = chunk("a", 0, &[1, 3, 0]).halves().unwrap_err();
        assert_eq!(record.fates(), Fates { read: 3, arrived: 1, filtered: 1, dropped: 0, dead_lettered: 1 });
        assert_eq!(
            record.dead_lettered().fates(),
            Fates { read: 3, arrived: 0, filtered: 1, dropped: 0, dead_lettered: 2 }
        );
    }

    #[test]
    fn of_many_records_some_can_be_dead_lettered() {
        let mut whole = chunk("a", 0, &[2, 1, 2, 2]);
        whole.batch.events[1].place.index = 1;
        whole.batch.events[1].place.offset = 0;
        let part = whole.partly_dead_lettered(&BTreeSet::from([1]));
        assert_eq!(part.batch.events.len(), 2);
        assert_eq!(part.batch.spans[0].dead_lettered, 1);
        assert_eq!(part.fates(), Fates { read: 4, arrived: 1, filtered: 2, dropped: 0, dead_lettered: 1 });
    }
}
