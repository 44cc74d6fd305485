//! Whether the program can do its work: named conditions that must all hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle; clones see the same conditions.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, String>>>);

impl Readiness {
    /// Not ready until [`ready`](Self::ready) was said of every one of `conditions`. Ready at once if there are none.
    pub fn new(conditions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let waiting = conditions.into_iter().map(|name| (name.into(), "not ready yet".to_owned())).collect();
        Self(Arc::new(Mutex::new(waiting)))
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

    // Each change is one call on the map, so a panic elsewhere leaves it whole.
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
