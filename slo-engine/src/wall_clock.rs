//! Whether the wall clock is to be believed: a clock that was set a day ahead for half a minute must judge no day that has
//! not been. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A jump forward by more than this is suspicious.
const JUMP: SignedDuration = SignedDuration::from_mins(5);

/// A clock that stays ahead for this long is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(900);

/// What was seen of the wall clock, beside a clock that nobody sets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WallClock {
    /// What was believed last, and when that was by the steady clock.
    last: Option<(Timestamp, Duration)>,
    /// Since when the wall clock is ahead, by the steady clock.
    ahead_since: Option<Duration>,
}

impl WallClock {
    /// The instant to judge: the wall clock's, or, while that is ahead and nobody confirms it, the one that has passed since.
    /// `confirmed` is how far some collector says that it has read, by the clock of its node.
    pub(crate) fn look(
        &mut self,
        wall: Timestamp,
        steady: Duration,
        confirmed: Option<Timestamp>,
    ) -> Timestamp {
        let expected = self.last.map_or(wall, |(last, at)| {
            let passed = SignedDuration::try_from(steady.saturating_sub(at)).unwrap_or_default();
            last.checked_add(passed).unwrap_or(wall)
        });
        let is_ahead = wall.duration_since(expected) > JUMP;
        let is_confirmed = confirmed.is_some_and(|confirmed| wall.duration_since(confirmed) < JUMP * 2);
        let since = is_ahead.then(|| self.ahead_since.unwrap_or(steady));
        let is_old = since.is_some_and(|since| steady.saturating_sub(since) >= BELIEVED_AFTER);
        if is_ahead && self.ahead_since.is_none() && !is_confirmed {
            tracing::warn!(%wall, %expected, "the wall clock jumped ahead; judging goes on by the time that has passed, \
                 until a collector's clock confirms it or 15 minutes are over");
        }
        let now = if is_ahead && !is_confirmed && !is_old { expected } else { wall };
        self.ahead_since = since.filter(|_| now != wall);
        self.last = Some((now, steady));
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    /// Looks at (wall, steady) in seconds, with what is believed.
    #[track_caller]
    fn check(looks: &[(i64, u64, i64)], confirmed: Option<i64>) {
        let mut clock = WallClock::default();
        for &(wall, steady, want) in looks {
            let now = clock.look(at(wall), Duration::from_secs(steady), confirmed.map(at));
            assert_eq!(now.duration_since(at(0)).as_secs(), want, "at {steady}");
        }
    }

    const DAY: i64 = 86_400;

    #[test]
    fn a_day_ahead_for_half_a_minute_is_not_believed() {
        check(&[(0, 0, 0), (10, 10, 10), (DAY, 20, 20), (DAY + 10, 30, 30), (40, 40, 40)], None);
    }

    #[test]
    fn what_stays_ahead_or_a_collector_confirms_is_believed() {
        check(&[(0, 0, 0), (DAY, 10, 10), (DAY + 890, 900, 900), (DAY + 900, 910, DAY + 900)], None);
        check(&[(0, 0, 0), (DAY, 10, DAY), (DAY + 10, 20, DAY + 10)], Some(DAY - 60));
    }

    #[test]
    fn a_clock_that_is_slewed_or_set_back_is_followed() {
        check(&[(0, 0, 0), (200, 10, 200), (100, 20, 100), (-3600, 30, -3600)], None);
    }
}
