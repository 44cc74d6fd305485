//! The outbox: intents that are committed but not yet settled, or to be told again, kept by whoever keeps the incidents.

use std::sync::Arc;

use jiff::Timestamp;

use crate::id::IntentId;
use crate::intent::Intent;

/// An intent that is due, or will be, and what the outbox knows about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What is to be sent.
    pub intent: Intent,
    /// How often sending was put off by `retry_at` since it was last delivered.
    pub attempts: u32,
    /// Not before this time.
    pub next_attempt_at: Timestamp,
    /// The receiver has it and must be told again, so that it does not take the incident for over.
    pub refresh: bool,
    /// Whether a trigger with this intent's (target, channel, dedup key) was delivered, or put off by `retry_at` at
    /// least once and so may have arrived. Only then is there something to acknowledge or to resolve at the receiver.
    pub opened: bool,
}

/// Where intents wait. The store of the incidents implements it, so that an intent is committed with its cause.
///
/// A *lane* is all intents with one (target, dedup key), in the order in which they were added.
///
/// Adding an intent (the store does it, in the transaction that saves the incident):
/// 1. An id that the outbox ever held is ignored.
/// 2. The intent goes to the end of its lane, `attempts` 0, `next_attempt_at` its `created_at`.
/// 3. A trigger supersedes the pending triggers of its lane that have `attempts > 0`: the receiver that was out of
///    reach is told the newest page once, not every page that it missed.
/// 4. A resolve ends every refresh of its lane: what is over is not told again.
///
/// Settling an id that is settled already changes nothing and is no error. Every method is durable on return.
pub trait Outbox: Send + Sync {
    /// At most `limit` intents with `next_attempt_at <= now`, at most one a lane: first the pending ones, each the first
    /// of its lane, then refreshes; among each the earliest `next_attempt_at` first, then as added.
    fn due(&self, now: Timestamp, limit: usize) -> impl Future<Output = anyhow::Result<Vec<Pending>>> + Send;

    /// The earliest `next_attempt_at` among the first pending intents of all lanes and all refreshes; `None` when there
    /// are none.
    fn next_attempt_at(&self) -> impl Future<Output = anyhow::Result<Option<Timestamp>>> + Send;

    /// The receiver has it. With `refresh_at` the settled intent is due again then, as a refresh, in place of the one
    /// that its (target, channel, dedup key) had, unless its lane holds a resolve. Of a refresh that has ended meanwhile
    /// nothing changes; without `refresh_at` it ends.
    fn delivered(
        &self,
        id: &IntentId,
        refresh_at: Option<Timestamp>,
        now: Timestamp,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Not now: stays at the head of its lane, `attempts` grows by one, `error` is kept for people to read. The same
    /// for a refresh, which stays delivered.
    fn retry_at(
        &self,
        id: &IntentId,
        at: Timestamp,
        error: &str,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Refused for good. In one transaction: `id` is settled as refused with its `error`, and `next`, when there is
    /// one, takes its place in the lane (not the end) with `attempts` 0 and due at `now`. `None`: it is dead.
    fn refused(
        &self,
        id: &IntentId,
        next: Option<&Intent>,
        error: &str,
        now: Timestamp,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Nothing to say any more: settled without being sent.
    fn superseded(&self, id: &IntentId, now: Timestamp) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl<O: Outbox> Outbox for Arc<O> {
    async fn due(&self, now: Timestamp, limit: usize) -> anyhow::Result<Vec<Pending>> {
        (**self).due(now, limit).await
    }

    async fn next_attempt_at(&self) -> anyhow::Result<Option<Timestamp>> {
        (**self).next_attempt_at().await
    }

    async fn delivered(
        &self,
        id: &IntentId,
        refresh_at: Option<Timestamp>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        (**self).delivered(id, refresh_at, now).await
    }

    async fn retry_at(&self, id: &IntentId, at: Timestamp, error: &str) -> anyhow::Result<()> {
        (**self).retry_at(id, at, error).await
    }

    async fn refused(
        &self,
        id: &IntentId,
        next: Option<&Intent>,
        error: &str,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        (**self).refused(id, next, error, now).await
    }

    async fn superseded(&self, id: &IntentId, now: Timestamp) -> anyhow::Result<()> {
        (**self).superseded(id, now).await
    }
}
