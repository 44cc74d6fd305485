//! Filling a state that was lost: counts that somebody else kept, added where nothing is counted.

use jiff::Timestamp;

use super::work::{Fill, Filled, HeldRanges, Work};
use super::{Engine, EngineError, REFILL};
use crate::store::{self, counts as store_counts};

/// Whether the state is being filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Filling {
    /// It is as full as it gets.
    #[default]
    No,
    /// Whoever asks how far it is waits.
    Awaited,
    /// Nobody waits any more.
    Late,
}

impl Engine {
    /// Whether the state is new, or filling it was begun and not ended.
    pub async fn is_to_be_filled(&self) -> Result<bool, EngineError> {
        let mut tx = self.store.read().await?;
        let known = store::meta(&mut tx, REFILL).await?;
        Ok(match known.as_deref() {
            Some(known) => known == "begun",
            None => store_counts::positions(&mut tx).await?.is_empty(),
        })
    }

    /// From here to [`end_filling`](Self::end_filling) nobody is told positions, so that collectors wait.
    pub async fn begin_filling(&self) -> Result<(), EngineError> {
        self.note_filling("begun", None).await?;
        self.filling.send_replace(Filling::Awaited);
        Ok(())
    }

    /// Collectors are waited for no longer, and figures are judged; filling may go on.
    pub fn stop_waiting(&self) {
        self.filling.send_replace(Filling::Late);
    }

    /// The state is as full as it gets.
    pub async fn end_filling(&self, now: Timestamp) -> Result<(), EngineError> {
        self.note_filling("done", Some(now)).await?;
        self.ask(|reply| Work::Filled { at: now, reply }).await?;
        self.filling.send_replace(Filling::No);
        Ok(())
    }

    /// Waits until the state may be judged.
    pub async fn filled(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.filling.subscribe().wait_for(|filling| *filling != Filling::Awaited).await;
    }

    /// Waits until nothing is to come of what was counted before: for what is said once and for ever.
    pub async fn full(&self) {
        let _ = self.filling.subscribe().wait_for(|filling| *filling == Filling::No).await;
    }

    /// When a state that was lost was full again; nothing where none was lost.
    pub fn filled_at(&self) -> Option<Timestamp> {
        self.snapshot().filled_at
    }

    /// Counts what `count` makes of the bytes of `streams`; it is given those that are counted, and must keep between them.
    pub async fn fill(
        &self,
        streams: &[String],
        count: impl FnOnce(&HeldRanges) -> Fill + Send + 'static,
    ) -> Result<Filled, EngineError> {
        let (streams, count) = (streams.to_vec(), Box::new(count));
        self.ask(|reply| Work::Fill { streams, count, reply }).await
    }

    /// The bytes of every stream that are counted.
    pub async fn held_ranges(&self) -> Result<HeldRanges, EngineError> {
        let mut tx = self.store.read().await?;
        let mut held = HeldRanges::new();
        for stream in store_counts::positions(&mut tx).await?.into_keys() {
            let ranges = store_counts::ranges(&mut tx, &stream).await?;
            held.insert(stream, ranges);
        }
        Ok(held)
    }

    async fn note_filling(&self, word: &str, at: Option<Timestamp>) -> Result<(), EngineError> {
        let mut tx = self.store.begin().await?;
        store::set_meta(&mut tx, REFILL, word).await?;
        if let Some(at) = at {
            store::set_meta(&mut tx, store::FILLED_MS, &at.as_millisecond().to_string()).await?;
        }
        Ok(store::commit(tx).await?)
    }
}
