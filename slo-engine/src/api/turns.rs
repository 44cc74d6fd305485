//! Turns: so many at once, a further one waits a little, then it is told to come again.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::Refusal;

/// So many turns; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    wait: Duration,
    busy: IntCounter,
}

impl Turns {
    pub(super) fn new(count: usize, wait: Duration, busy: IntCounter) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), wait, busy }
    }

    /// A turn, until it is dropped.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        match timeout(self.wait, self.free.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                self.busy.inc();
                Err(Refusal::busy("too many ask for this at once: ask again in a moment"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_turn_in_time_is_told_to_come_again() {
        let busy = IntCounter::new("busy", "Busy.").unwrap();
        let turns = Turns::new(2, Duration::from_secs(2), busy.clone());
        let (first, _second) = (turns.turn().await.unwrap(), turns.turn().await.unwrap());
        let refusal = turns.turn().await.unwrap_err();
        assert_eq!((refusal.status, busy.get()), (StatusCode::SERVICE_UNAVAILABLE, 1));
        let (third, ()) = tokio::join!(turns.turn(), async { drop(first) });
        assert!(third.is_ok());
        assert_eq!(busy.get(), 1);
    }
}
