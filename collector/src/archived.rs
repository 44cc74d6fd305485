//! How far the archive is: what the sinks that archive say, for the sinks that tell the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Archived(Arc<Mutex<BTreeMap<String, i64>>>);

impl Archived {
    /// A sink archives, and has delivered nothing yet.
    pub(crate) fn expect(&self, sink: &str) {
        self.sinks().insert(sink.to_owned(), 0);
    }

    /// Everything that was written before the instant (ms since 1970) and could be read is delivered to this sink; of one
    /// that does not archive, nothing is kept.
    pub(crate) fn delivered_to(&self, sink: &str, at_ms: i64) {
        if let Some(at) = self.sinks().get_mut(sink) {
            *at = at_ms;
        }
    }

    /// Up to when all of them have delivered (ms since 1970); 0 while one has delivered nothing, nothing where none archives.
    pub(crate) fn lowest_ms(&self) -> Option<i64> {
        self.sinks().values().min().copied()
    }

    // Each change is one call on the map, so a panic elsewhere leaves it whole.
    fn sinks(&self) -> MutexGuard<'_, BTreeMap<String, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_archive_counts_and_without_one_nothing_is_said() {
        let archived = Archived::default();
        assert_eq!(archived.lowest_ms(), None);
        archived.delivered_to("shown", 3);
        assert_eq!(archived.lowest_ms(), None);
        archived.expect("near");
        archived.expect("far");
        archived.delivered_to("near", 7);
        assert_eq!(archived.lowest_ms(), Some(0));
        archived.delivered_to("far", 5);
        assert_eq!(archived.lowest_ms(), Some(5));
    }
}
