//! Writers whose counts are refused for want of a token: what the page says of them, and the alert that tells someone.
//!
//! A collector with a wrong token keeps its lines and tries again, so nothing is lost; but no figure moves until someone
//! mends the token. [`RefusedWriters`] is what the API keeps of it in memory, and clones share it. Whoever judges asks
//! [`RefusedWriters::alarm`] at each instant: an alert with the key [`KEY`] is to be open as long as there is one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Key of the alert.
pub const KEY: &str = "pipeline/unauthorized";

/// How often an address must have been refused before someone is told: a collector that tries again comes to this within
/// seconds, someone's slip of the finger does not.
const TIMES: u64 = 3;

/// A writer that was not seen for so long tries no more. Collectors try again after a minute at most.
const ALARMED_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How long the page goes on showing it.
const SHOWN_FOR: SignedDuration = SignedDuration::from_mins(15);

/// Most addresses that are kept; the one that was silent longest gives way.
const MOST: usize = 256;

/// Most addresses that a text names.
const NAMED: usize = 5;

/// What is kept of writers that were refused; clones share it.
#[derive(Clone, Debug, Default)]
pub struct RefusedWriters(Arc<Mutex<BTreeMap<IpAddr, Refusals>>>);

/// Refusals of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusals {
    first: Timestamp,
    last: Timestamp,
    times: u64,
    status: u16,
}

/// That writers are refused, again and again: what the alert says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Since when the first of them is refused.
    pub since: Timestamp,
    /// How many addresses are refused.
    pub addresses: usize,
    /// In words, with what to do.
    pub summary: String,
}

impl RefusedWriters {
    /// The counts of `address` were refused with this status.
    pub fn refuse(&self, address: IpAddr, status: u16, now: Timestamp) {
        let mut kept = self.kept();
        if kept.len() >= MOST && !kept.contains_key(&address) {
            let oldest = kept.iter().min_by_key(|(_, refusals)| refusals.last).map(|(address, _)| *address);
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        let new = Refusals { first: now, last: now, times: 0, status };
        let refusals = kept.entry(address).or_insert(new);
        if now.duration_since(refusals.last) > SHOWN_FOR {
            *refusals = new;
        }
        *refusals = Refusals { last: now, times: refusals.times + 1, status, ..*refusals };
    }

    /// The counts of `address` were let in: its token was mended.
    pub fn accept(&self, address: IpAddr) {
        self.kept().remove(&address);
    }

    /// What the page says: one line for each address that was refused of late.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let kept = self.kept();
        let late = kept.iter().filter(|(_, refusals)| now.duration_since(refusals.last) <= SHOWN_FOR);
        late.map(|(address, refusals)| {
            let Refusals { first, last, times, status } = refusals;
            format!(
                "counts of {address} were refused {times} times from {first:.0} to {last:.0} ({status}): give its collector a token \
                 of the scope counts"
            )
        })
        .collect()
    }

    /// What someone must be told at `now`; nothing where all is well.
    pub fn alarm(&self, now: Timestamp) -> Option<Alarm> {
        let kept = self.kept();
        let wrong: Vec<(&IpAddr, &Refusals)> = kept
            .iter()
            .filter(|(_, refusals)| {
                refusals.times >= TIMES && now.duration_since(refusals.last) <= ALARMED_FOR
            })
            .collect();
        let since = wrong.iter().map(|(_, refusals)| refusals.first).min()?;
        let mut named: Vec<String> =
            wrong.iter().take(NAMED).map(|(address, _)| address.to_string()).collect();
        if wrong.len() > NAMED {
            named.push(format!("{} more", wrong.len() - NAMED));
        }
        let summary = format!(
            "counts are refused for want of a token since {since:.0}, from {}: nothing of these collectors is counted until their \
             token is one of the engine's with the scope counts; their lines wait",
            named.join(", ")
        );
        Some(Alarm { since, addresses: wrong.len(), summary })
    }

    // Each change is whole when the lock is let go.
    fn kept(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Refusals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_collector_that_tries_again_is_told_within_a_minute_and_forgotten_when_it_is_mended() {
        let refused = RefusedWriters::default();
        for second in [0, 1, 3] {
            assert_eq!(refused.alarm(at(second)), None);
            refused.refuse(address(1), 401, at(second));
        }
        let alarm = refused.alarm(at(10)).unwrap();
        assert_eq!((alarm.since, alarm.addresses), (at(0), 1));
        assert!(alarm.summary.contains("from 0.0.0.1: "), "{}", alarm.summary);
        assert!(refused.warnings(at(10))[0].contains("refused 3 times"), "{:?}", refused.warnings(at(10)));
        refused.accept(address(1));
        assert_eq!((refused.alarm(at(11)), refused.warnings(at(11))), (None, Vec::new()));
    }

    #[test]
    fn a_slip_of_the_finger_is_shown_for_a_while_and_alarms_nobody() {
        let refused = RefusedWriters::default();
        refused.refuse(address(1), 401, at(0));
        assert_eq!(refused.alarm(at(1)), None);
        assert_eq!((refused.warnings(at(900)).len(), refused.warnings(at(901)).len()), (1, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest_stay() {
        let refused = RefusedWriters::default();
        for number in 0..1000 {
            refused.refuse(address(number), 403, at(number.into()));
        }
        let kept = refused.kept();
        assert_eq!(
            (kept.len(), kept.first_key_value().map(|(address, _)| *address)),
            (256, Some(address(744)))
        );
    }
}
