//! What is kept, and for how long.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use slo::counts::MinuteId;
use slo::window::{DAY, Span, month_of};

use super::Core;
use crate::counts::KEEP_UNMEASURED_MINUTES;
use crate::store::Change;

/// Key of the minute before which everything was forgotten.
pub(in super::super) const KEPT_FROM: &str = "kept_from";

/// Minutes beyond the longest window that are kept.
const SPARE: i64 = 2 * DAY;

/// How long incidents that have ended are kept: reports of two months name them.
const INCIDENTS_KEPT: SignedDuration = SignedDuration::from_hours(100 * 24);

/// Most incidents that have ended that are kept.
const MOST_INCIDENTS: i64 = 20_000;

/// From when on things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Keep {
    /// Minutes, rows, cells, streams and collectors.
    pub(in super::super) minutes: MinuteId,
    /// Incidents that have ended.
    pub(in super::super) incidents: Timestamp,
    /// Most of these.
    pub(in super::super) most_incidents: i64,
}

/// A month that is over and may still be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Sealable {
    /// `YYYY-MM`.
    pub(in super::super) month: String,
    /// Its minutes.
    pub(in super::super) span: Span,
}

/// Months that are over and may still be sealed, the newest first: longer nothing waits for it.
pub(in super::super) fn sealable(now: Timestamp) -> [Sealable; 2] {
    let of = |minute: MinuteId| month_of(minute, &TimeZone::UTC);
    let last = of(of(MinuteId::of_timestamp(now)).from.plus(-1));
    [last, of(last.from.plus(-1))]
        .map(|span| Sealable { month: span.from.start().strftime("%Y-%m").to_string(), span })
}

impl Core {
    /// Minutes that a window may reach back.
    pub(super) fn kept_minutes(&self) -> i64 {
        let longest = i64::from(self.specs.longest_window_days()) * DAY + SPARE;
        longest.max(KEEP_UNMEASURED_MINUTES)
    }

    /// From when on things are kept at an instant: as far as a window reaches, and from the beginning of a month on that is to
    /// be sealed.
    pub(in super::super) fn keep(&self, now: Timestamp, unsealed: Option<MinuteId>) -> Keep {
        let windows = MinuteId::of_timestamp(now).plus(-self.kept_minutes());
        // A zone may be ahead of UTC by most of a day.
        let last = unsealed.map(|month| month.plus(-DAY));
        let incidents = now.checked_sub(INCIDENTS_KEPT).unwrap_or(Timestamp::MIN);
        Keep {
            // Whole days leave, so that this costs something once a day.
            minutes: MinuteId(last.map_or(windows, |last| last.min(windows)).0.div_euclid(DAY) * DAY),
            incidents,
            most_incidents: MOST_INCIDENTS,
        }
    }

    /// Forgets what was forgotten in the store, and episodes of services that left.
    pub(in super::super) fn forget(
        &mut self,
        before: MinuteId,
        streams: &[String],
        collectors: &[String],
    ) -> Vec<Change> {
        self.counts.forget(before, streams, collectors);
        let counts = &self.counts;
        let over: Vec<_> = self
            .episodes
            .iter()
            .filter(|((service, _), episodes)| !counts.has(service) && episodes.open.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        over.iter().for_each(|id| drop(self.episodes.remove(id)));
        let over = over.into_iter().map(|(service, sli)| Change::Episodes(service, sli, None));
        let kept = self.counts.kept_from().map(|kept| Change::Meta(KEPT_FROM, kept.0.to_string()));
        over.chain(kept).collect()
    }
}
