//! Whether the program can do its work, named conditions that must all hold; and whether it still moves at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A handle; clones see the same conditions.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    waiting: Arc<Mutex<BTreeMap<String, String>>>,
    beats: Arc<Mutex<BTreeMap<String, Beat>>>,
}

/// When a loop came round the last time, and when it must have come round again.
#[derive(Clone, Copy, Debug)]
struct Beat {
    last: Instant,
    within: Duration,
}

impl Readiness {
    /// Not ready until [`ready`](Self::ready) was said of every one of `conditions`. Ready at once if there are none.
    pub fn new(conditions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let waiting = conditions.into_iter().map(|name| (name.into(), "not ready yet".to_owned())).collect();
        Self { waiting: Arc::new(Mutex::new(waiting)), ..Self::default() }
    }

    /// The condition holds.
    pub fn ready(&self, condition: &str) {
        self.waiting().remove(condition);
    }

    /// The condition does not hold, and why. A condition that was never named before is added.
    pub fn not_ready(&self, condition: &str, reason: impl Into<String>) {
        self.waiting().insert(condition.to_owned(), reason.into());
    }

    /// The conditions that do not hold, with the reason of each; empty when ready.
    pub fn reasons(&self) -> BTreeMap<String, String> {
        self.waiting().clone()
    }

    /// A loop came round, and must do so again `within` a time that it never takes unless it hangs: only a restart mends
    /// that. A loop that never said so is not watched.
    #[expect(clippy::disallowed_methods, reason = "a loop hangs by the process's own clock")]
    pub fn beat(&self, name: &str, within: Duration) {
        let beat = Beat { last: Instant::now(), within };
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), beat);
    }

    /// The loops that hang, each with how long it has not come round.
    pub fn hanging(&self) -> BTreeMap<String, Duration> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let since = beats.iter().map(|(name, beat)| (name, beat.last.elapsed(), beat.within));
        since
            .filter(|(_, since, within)| since > within)
            .map(|(name, since, _)| (name.clone(), since))
            .collect()
    }

    // Each change is one call on the map, so a panic elsewhere leaves it whole.
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
