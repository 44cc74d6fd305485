//! A set of minutes as spans that neither touch nor overlap.

use serde::{Deserialize, Serialize};
use slo::counts::MinuteId;
use slo::window::Span;

/// Minutes, as (first, end) with the end excluded. Invariant: ascending, none empty, with a gap between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spans(Vec<(MinuteId, MinuteId)>);

impl Spans {
    /// Adds the minutes of `[from, to)`; none where it ends before it starts.
    pub fn add(&mut self, from: MinuteId, to: MinuteId) {
        if from >= to {
            return;
        }
        let (mut first, mut end) = (from, to);
        self.0.retain(|&(start, stop)| {
            let apart = stop < from || start > to;
            if !apart {
                (first, end) = (first.min(start), end.max(stop));
            }
            apart
        });
        let at = self.0.partition_point(|&(start, _)| start < first);
        self.0.insert(at, (first, end));
    }

    /// Takes away the minutes of `[from, to)`.
    pub fn remove(&mut self, from: MinuteId, to: MinuteId) {
        if from >= to {
            return;
        }
        let outside =
            |&(start, stop): &(MinuteId, MinuteId)| [(start, stop.min(from)), (start.max(to), stop)];
        self.0 = self.0.iter().flat_map(outside).filter(|(start, stop)| start < stop).collect();
    }

    /// The newest minutes, at most `limit` of them in one span.
    pub fn newest(&self, limit: i64) -> Option<Span> {
        let &(start, end) = self.0.last()?;
        Some(Span { from: start.max(end.plus(-limit)), to: end })
    }

    /// The first minute.
    pub fn first(&self) -> Option<MinuteId> {
        self.0.first().map(|&(start, _)| start)
    }

    /// How many minutes there are.
    pub fn minutes(&self) -> u64 {
        self.0.iter().map(|(start, end)| end.0.abs_diff(start.0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn minutes(spans: &Spans) -> BTreeSet<i64> {
        spans.0.iter().flat_map(|(start, end)| start.0..end.0).collect()
    }

    proptest! {
        #[test]
        fn spans_are_a_set_of_minutes(
            steps in proptest::collection::vec((any::<bool>(), 0_i64..60, -2_i64..20), 0..30)
        ) {
            let (mut spans, mut model) = (Spans::default(), BTreeSet::new());
            for (add, from, length) in steps {
                let to = from + length;
                if add {
                    spans.add(MinuteId(from), MinuteId(to));
                    model.extend(from..to);
                } else {
                    spans.remove(MinuteId(from), MinuteId(to));
                    model.retain(|minute| !(from..to).contains(minute));
                }
                prop_assert_eq!(&minutes(&spans), &model);
                prop_assert!(spans.0.iter().all(|(start, end)| start < end));
                prop_assert!(spans.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", spans);
                prop_assert_eq!(spans.minutes(), model.len() as u64);
                prop_assert_eq!(spans.first().map(|minute| minute.0), model.first().copied());
                let newest = spans.newest(5);
                prop_assert_eq!(newest.map(|span| span.to.0 - 1), model.last().copied());
                prop_assert!(newest.is_none_or(|span| span.minutes() <= 5));
            }
        }
    }
}
