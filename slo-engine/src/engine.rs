//! The engine as others see it: what is asked of it goes to the one task that writes, what is read comes from a snapshot or
//! from connections that only read.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use alerts::Policies;
use jiff::Timestamp;
use slo::counts::{CountsReply, CountsRequest, Held};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::cluster::{Name, Objects};
use crate::figures::Figures;
use crate::metrics::Metrics;
use crate::refused::RefusedWriters;
use crate::snapshot::Snapshot;
use crate::specs::Specs;
use crate::store::{self, Store, StoreError, counts as store_counts};

mod core;
pub mod export;
mod fill;
mod load;
#[cfg(test)]
mod tests;
mod upkeep;
mod views;
mod work;
mod writer;

use fill::Filling;
use work::Work;
pub use work::{Fill, Filled, HeldRanges};
use writer::Writer;

/// Key of how far filling has come: absent in a store that was never filled.
const REFILL: &str = "refill";

/// Requests that wait for the writer before whoever comes next waits too.
const QUEUE: usize = 1024;

/// Which time the engine lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock: the open minute is judged with those before it, again and again.
    Wall,
    /// The time of the events: minutes are judged at their end, each once, when everything that there is was read.
    Event,
}

/// What an engine takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Services that discovery does not know.
    pub unknown_services: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { unknown_services: 2000 }
    }
}

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its state.
    pub store: Store,
    /// SLOs that services have whatever the cluster says.
    pub specs: Specs,
    /// Services that are known by name from the start.
    pub services: BTreeSet<Name>,
    /// Whom to tell.
    pub policies: Policies,
    /// Which time it lives in.
    pub clock: Clock,
    /// Its metrics.
    pub metrics: Metrics,
    /// Whether what changes is marked for Elasticsearch.
    pub exports: bool,
    /// What it takes at most.
    pub caps: Caps,
    /// Writers that showed no token.
    pub refused: RefusedWriters,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    writer: mpsc::Sender<Work>,
    snapshot: Arc<RwLock<Arc<Snapshot>>>,
    filling: watch::Sender<Filling>,
    /// Notified after each commit that may have put something into the outbox.
    pub wake: Arc<Notify>,
}

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The rows break the contract.
    #[error("count rows refused, nothing was counted: {0}")]
    BadRows(String),
    /// There is no such open incident.
    #[error("there is no open incident {0:?}: GET /v1/incidents lists them")]
    NoIncident(String),
    /// The sender thinks that the engine holds something else than it does.
    #[error("nothing was counted: {0}; GET /v1/counts/positions says what is held")]
    HeldOtherwise(String),
    /// What is held is not known yet.
    #[error(
        "this engine's state was lost and is being filled again; what it holds is known when that has ended"
    )]
    Filling,
    /// The task that writes has ended.
    #[error("the engine has stopped writing; it must be started again")]
    Stopped,
    /// Others asked for the same commit, which failed.
    #[error("nothing was committed: {0}; ask again")]
    NotCommitted(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Starts from what the store holds.
    pub async fn open(parts: Parts) -> Result<Self, EngineError> {
        let Parts { store, specs, services, policies, clock, metrics, exports, caps, refused } = parts;
        let mut tx = store.read().await?;
        let known = load::Known { specs, services, clock, exports, caps };
        let core = load::core(&mut tx, known, policies).await?;
        drop(tx);
        let (filling, _) = watch::channel(Filling::No);
        let wake = Arc::new(Notify::new());
        let snapshot = Arc::new(RwLock::new(Arc::new(Snapshot::default())));
        let (sender, queue) = mpsc::channel(QUEUE);
        let mut writer =
            Writer::new((core, store.clone()), (metrics.clone(), refused), snapshot.clone(), wake.clone());
        writer.publish();
        // The one task that is no part of `App`: without it there is no engine. It ends with the last handle.
        tokio::spawn(writer.run(queue));
        Ok(Self { store, clock, metrics, writer: sender, snapshot, filling, wake })
    }

    /// Takes rows, whenever they say that they are; when it returns, they are committed.
    pub async fn ingest(&self, request: CountsRequest) -> Result<CountsReply, EngineError> {
        self.take(request, None).await
    }

    /// The same; by the wall clock, what lies far from `now` is not believed.
    pub async fn ingest_at(
        &self,
        request: CountsRequest,
        now: Timestamp,
    ) -> Result<CountsReply, EngineError> {
        self.take(request, (self.clock == Clock::Wall).then_some(now)).await
    }

    async fn take(&self, request: CountsRequest, now: Option<Timestamp>) -> Result<CountsReply, EngineError> {
        self.ask(|reply| Work::Counts { request: Box::new(request), now, reply }).await
    }

    /// Which state this is, and for each stream the offset below which everything is counted.
    pub async fn positions(&self) -> Result<Held, EngineError> {
        if *self.filling.borrow() == Filling::Awaited {
            return Err(EngineError::Filling);
        }
        let mut tx = self.store.read().await?;
        let store = store::identity(&mut tx).await?;
        Ok(Held { store, positions: store_counts::positions(&mut tx).await? })
    }

    /// Judges `now`, by the wall clock.
    pub async fn tick(&self, now: Timestamp) -> Result<(), EngineError> {
        self.ask(|reply| Work::Tick { now, reply }).await
    }

    /// Judges, in event time, every minute that has not been judged, to the newest event; returns the instant that the
    /// clock has come to. To be called when everything that the collector could find is counted. A line may claim any
    /// time, so the few that claim to be after `limit` are not the newest event; when many do, it is the clock that is
    /// wrong.
    pub async fn catch_up(&self, limit: Timestamp) -> Result<Option<Timestamp>, EngineError> {
        self.ask(|reply| Work::CatchUp { limit, reply }).await
    }

    /// Folds and forgets what is due, a part of it; whether there is more to do.
    pub async fn look_after_store(&self, now: Timestamp) -> Result<bool, EngineError> {
        self.ask(|reply| Work::LookAfterStore { now, reply }).await
    }

    /// Someone takes an incident: escalation stops.
    pub async fn acknowledge(&self, id: &str, by: &str, now: Timestamp) -> Result<(), EngineError> {
        let decision = core::Decision::Acknowledge { by: by.to_owned() };
        self.ask(|reply| Work::Decide { id: id.to_owned(), decision, now, reply }).await
    }

    /// Someone closes an incident.
    pub async fn resolve(&self, id: &str, by: &str, now: Timestamp) -> Result<(), EngineError> {
        let decision = core::Decision::Resolve { by: by.to_owned() };
        self.ask(|reply| Work::Decide { id: id.to_owned(), decision, now, reply }).await
    }

    /// Takes what the API server lists. What of it is needed to judge is committed when this returns.
    pub async fn discovered(&self, objects: &Objects, now: Timestamp) -> Result<(), EngineError> {
        let objects = Box::new(objects.clone());
        self.ask(|reply| Work::Discovered { objects, now, reply }).await
    }

    /// Says what keeps the cluster from saying more; nothing when nothing does.
    pub async fn warn(&self, warnings: Vec<String>) {
        // Where the writer is gone there is nobody to warn.
        let _ = self.ask(|reply| Work::Warn { warnings, reply }).await;
    }

    /// Other SLOs, services and policies, as the configuration says from now on. Nothing is sent.
    pub async fn reconfigure(
        &self,
        specs: Specs,
        services: BTreeSet<Name>,
        policies: Policies,
    ) -> Result<(), EngineError> {
        self.ask(|reply| Work::Reconfigure { specs: Box::new(specs), services, policies, reply }).await
    }

    /// The state as of the last commit.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `show` over the figures as of the last commit.
    pub fn with_figures<T>(&self, show: impl FnOnce(&Figures<'_>) -> T) -> T {
        show(&self.snapshot().figures())
    }

    /// Its metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The store, for the dispatcher.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, EngineError>>) -> Work,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(work(reply)).await.map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }
}
