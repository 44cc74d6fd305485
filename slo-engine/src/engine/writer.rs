//! The one task that owns the core and the store's right to write: takes what waits, commits once, answers all, and
//! publishes what readers see.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use alerts::Policies;
use jiff::Timestamp;
use slo::counts::{CountsReply, CountsRequest, DEFAULT_EDGES_US, MinuteId};
use tokio::sync::{Notify, mpsc};

use super::core::{Core, Held, HeldStream, Ingested, Terms};
use super::upkeep::{self, elapsed, instant};
use super::work::{Fill, Filled, Filler, HeldRanges, Reply, Work, held_beyond};
use super::{Clock, EngineError, load};
use crate::cluster::{Name, Objects};
use crate::metrics::Metrics;
use crate::refused::RefusedWriters;
use crate::snapshot::Snapshot;
use crate::specs::Specs;
use crate::store::{self, Change, Store, StoreError, Transaction, counts as rows};
use crate::traces;

/// Requests that are committed together at most.
const MOST_TOGETHER: usize = 64;

/// While more waits, readers get a new snapshot this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(200);

/// An answer that waits for the commit.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// The writer.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) core: Core,
    pub(super) store: Store,
    /// The right to write, taken with the first change: whoever only reads takes it from nobody.
    epoch: Option<u64>,
    metrics: Metrics,
    refused: RefusedWriters,
    snapshot: Arc<RwLock<Arc<Snapshot>>>,
    wake: Arc<Notify>,
    published: Option<Instant>,
    identity: Option<String>,
    /// Memory may be ahead of the store, and the store could not be read.
    lost: bool,
}

impl Writer {
    /// A writer that nobody has asked anything yet.
    pub(super) fn new(
        (core, store): (Core, Store),
        (metrics, refused): (Metrics, RefusedWriters),
        snapshot: Arc<RwLock<Arc<Snapshot>>>,
        wake: Arc<Notify>,
    ) -> Self {
        let (epoch, published, identity, lost) = (None, None, None, false);
        Self { core, store, epoch, metrics, refused, snapshot, wake, published, identity, lost }
    }

    /// Does what is asked, until nobody can ask any more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        while let Some(first) = queue.recv().await {
            if self.lost {
                self.start_anew().await;
            }
            let mut together = Vec::new();
            let mut next = Some(first);
            while let Some(work) = next {
                if !matches!(work, Work::Counts { .. }) {
                    self.commit_counts(std::mem::take(&mut together), false).await;
                    self.work(work).await;
                } else {
                    together.push(work);
                    if together.len() == MOST_TOGETHER {
                        break;
                    }
                }
                next = queue.try_recv().ok();
            }
            self.commit_counts(together, queue.is_empty()).await;
        }
    }

    /// What is not rows: each is a commit of its own.
    async fn work(&mut self, work: Work) {
        match work {
            Work::Counts { .. } => {}
            Work::Tick { now, reply } => {
                let done = self.tick(now).await;
                self.answer(reply, done).await;
            }
            Work::CatchUp { limit, reply } => {
                let done = self.catch_up(limit).await;
                self.answer(reply, done).await;
            }
            Work::LookAfterStore { now, reply } => {
                let done = self.look_after_store(now).await;
                self.answer(reply, done).await;
            }
            Work::Decide { id, decision, now, reply } => {
                let done = match self.core.decide(&id, now, decision) {
                    Some(changes) => self.commit(changes).await,
                    None => Err(EngineError::NoIncident(id)),
                };
                self.answer(reply, done).await;
            }
            Work::Discovered { objects, now, reply } => {
                let done = self.discovered(&objects, now).await;
                self.answer(reply, done).await;
            }
            Work::Warn { warnings, reply } => {
                self.core.warnings = warnings;
                self.answer(reply, Ok(())).await;
            }
            Work::Reconfigure { specs, services, policies, reply } => {
                let done = self.reconfigure(*specs, services, policies).await;
                self.answer(reply, done).await;
            }
            Work::Fill { streams, count, reply } => {
                let done = self.fill(&streams, count).await;
                self.answer(reply, done).await;
            }
            Work::Filled { at, reply } => {
                self.core.filled_at = Some(at);
                self.answer(reply, Ok(())).await;
            }
        }
    }

    /// Readers see what was done before whoever asked for it goes on. A failure may have left memory ahead of the store, so
    /// memory is made anew.
    async fn answer<T>(&mut self, reply: Reply<T>, done: Result<T, EngineError>) {
        if matches!(done, Err(EngineError::Store(_))) {
            self.start_anew().await;
        }
        self.publish();
        // Whoever asked may have gone away.
        let _ = reply.send(done);
    }

    /// Commits the rows of several requests at once; `idle` where nothing else waits.
    async fn commit_counts(&mut self, together: Vec<Work>, idle: bool) {
        if together.is_empty() {
            return;
        }
        let mut answers: Vec<Answer> = Vec::new();
        let committed = self.take_counts(together, &mut answers).await;
        if committed.is_err() {
            self.start_anew().await;
        }
        self.publish_unless_busy(idle);
        let outcome = committed.map_err(|error| error.to_string());
        answers.into_iter().for_each(|answer| answer(outcome.clone()));
    }

    async fn take_counts(
        &mut self,
        together: Vec<Work>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), EngineError> {
        let mut tx = self.begin().await.map_err(|error| error.to_string());
        let begun = telemetry::traces::now();
        let mut failed = tx.as_ref().err().cloned();
        for work in together {
            let Work::Counts { request, now, reply } = work else { continue };
            let done = match (&mut tx, &failed) {
                (Ok(tx), None) => {
                    let terms = Terms { now, ..Terms::default() };
                    self.ingest(tx, (*request).clone(), &terms).await
                }
                (_, failed) => Err(EngineError::NotCommitted(failed.clone().unwrap_or_default())),
            };
            match done {
                Ok(ingested) => answers.push(answer_of(reply, *request, ingested, begun)),
                Err(error @ EngineError::Store(_)) => {
                    failed = Some(error.to_string());
                    answers.push(Box::new(|_| drop(reply.send(Err(error)))));
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        match (tx, failed) {
            (Ok(tx), None) => Ok(store::commit(tx).await?),
            (_, failed) => Err(EngineError::NotCommitted(failed.unwrap_or_default())),
        }
    }

    /// Takes the rows of one request.
    async fn ingest(
        &mut self,
        tx: &mut Transaction,
        request: CountsRequest,
        terms: &Terms,
    ) -> Result<Ingested, EngineError> {
        let held = self.held(tx, &request).await?;
        let received = request.rows.len() as u64;
        let (changes, ingested) = self.core.ingest(request, held, terms)?;
        store::apply(tx, &changes).await?;
        self.make_anew_if_stale(tx).await?;
        let Ingested { added, unbelieved, folded_names, .. } = ingested;
        self.metrics.rows(received, added, unbelieved, folded_names);
        Ok(ingested)
    }

    /// What the store holds of what a request touches.
    async fn held(&mut self, tx: &mut Transaction, request: &CountsRequest) -> Result<Held, StoreError> {
        if self.identity.is_none() {
            self.identity = Some(store::identity(tx).await?);
        }
        let identity = self.identity.clone().unwrap_or_default();
        let collector = rows::collector(tx, &request.collector).await?;
        let mut held = Held { identity, collector, ..Held::default() };
        for report in &request.streams {
            let tallies = rows::tallies(tx, &report.stream).await?;
            let folded_end =
                if tallies.is_empty() { 0 } else { rows::folded_end(tx, &report.stream).await? };
            held.streams.insert(report.stream.clone(), HeldStream { tallies, folded_end });
        }
        let places: BTreeSet<(MinuteId, &String)> =
            request.rows.iter().map(|row| (row.key.minute, &row.key.stream)).collect();
        for (minute, stream) in places {
            let of = rows::rows_of(tx, minute, stream).await?;
            held.rows.insert((minute, stream.clone()), of);
        }
        Ok(held)
    }

    /// Judges an instant by the wall clock, and says some of what is due in the ledger.
    async fn tick(&mut self, now: Timestamp) -> Result<(), EngineError> {
        let begun = telemetry::traces::now();
        let alarm = self.refused.alarm(now);
        let changes = self.core.tick(now, alarm.map(|alarm| alarm.summary));
        let decided = telemetry::traces::now();
        let mut tx = self.begin().await?;
        store::apply(&mut tx, &changes).await?;
        upkeep::say_some(&mut self.core, &mut tx).await?;
        store::commit(tx).await?;
        self.tell(&changes, begun, decided);
        Ok(())
    }

    /// See [`Engine::catch_up`](super::Engine::catch_up).
    async fn catch_up(&mut self, limit: Timestamp) -> Result<Option<Timestamp>, EngineError> {
        let limit = self.core.limit(MinuteId::of_timestamp(limit));
        let mut tx = self.begin().await?;
        let newest = rows::newest_ms(&mut tx, limit.start().as_millisecond()).await?.map(MinuteId::of_ms);
        let newest = newest.max(self.core.counts.last_busy(limit));
        let Some(mut looks) = newest.and_then(|newest| self.core.begin_judging(newest)) else {
            return Ok(None);
        };
        let target = newest.map(|newest| newest.plus(1).start());
        loop {
            let begun = telemetry::traces::now();
            let Some(changes) = self.core.judge_next(&mut looks) else { break };
            let decided = telemetry::traces::now();
            store::apply(&mut tx, &changes).await?;
            // Whatever tells people is committed as it is decided, so that a kill repeats it under the same key.
            if changes.iter().any(|change| matches!(change, Change::Incident(_) | Change::Intent(_))) {
                upkeep::say_all(&mut self.core, &mut tx).await?;
                store::commit(tx).await?;
                self.tell(&changes, begun, decided);
                tx = self.begin().await?;
            }
        }
        // What came late may have changed minutes that the ledger has spoken of, though no new one is to be judged.
        upkeep::say_all(&mut self.core, &mut tx).await?;
        store::commit(tx).await?;
        Ok(target)
    }

    /// Folds and forgets some of what is due; whether there is more.
    async fn look_after_store(&mut self, now: Timestamp) -> Result<bool, EngineError> {
        if self.core.clock == Clock::Event {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        let more = upkeep::look(&mut self.core, &mut tx, now).await?;
        store::commit(tx).await?;
        if !more {
            self.store.shrink().await?;
        }
        Ok(more)
    }

    async fn discovered(&mut self, objects: &Objects, now: Timestamp) -> Result<(), EngineError> {
        let mut tx = self.begin().await?;
        let namespaces = rows::namespaces(&mut tx).await?;
        let changes = self.core.discovered(objects, namespaces, now);
        store::apply(&mut tx, &changes).await?;
        self.make_anew_if_stale(&mut tx).await?;
        Ok(store::commit(tx).await?)
    }

    async fn reconfigure(
        &mut self,
        specs: Specs,
        services: BTreeSet<Name>,
        policies: Policies,
    ) -> Result<(), EngineError> {
        let mut tx = self.begin().await?;
        let namespaces = rows::namespaces(&mut tx).await?;
        self.core.reconfigure(specs, services, namespaces);
        self.core.set_policies(policies);
        Ok(self.make_anew_if_stale(&mut tx).await?)
    }

    /// See [`Engine::fill`](super::Engine::fill).
    async fn fill(&mut self, streams: &[String], count: Filler) -> Result<Filled, EngineError> {
        let mut tx = self.begin().await?;
        let mut held = HeldRanges::new();
        for stream in streams {
            held.insert(stream.clone(), rows::ranges(&mut tx, stream).await?);
        }
        let mut filled = Filled::default();
        let Fill { requests, torn } = count(&held);
        for request in requests {
            let kept = held_beyond(&held, &request);
            filled.lines += request.streams.iter().map(|report| report.tally.lines).sum::<u64>();
            let terms = Terms { kept, fills: true, now: None };
            filled.rows += self.ingest(&mut tx, request, &terms).await?.added;
        }
        let mut of_torn = BTreeMap::new();
        for key in &torn {
            let place = (key.minute, key.stream.clone());
            if let Entry::Vacant(vacant) = of_torn.entry(place) {
                vacant.insert(rows::rows_of(&mut tx, key.minute, &key.stream).await?);
            }
        }
        let changes = self.core.tear(&torn, &mut of_torn);
        store::apply(&mut tx, &changes).await?;
        store::commit(tx).await?;
        Ok(filled)
    }

    /// Starts a transaction, if this engine still has the right to write.
    pub(super) async fn begin(&mut self) -> Result<Transaction, StoreError> {
        if self.lost {
            return Err(StoreError::Lost);
        }
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.store.take_epoch().await?,
        };
        self.epoch = Some(epoch);
        self.store.begin_as(epoch).await
    }

    /// One transaction for everything that was decided.
    pub(super) async fn commit(&mut self, changes: Vec<Change>) -> Result<(), EngineError> {
        let begun = telemetry::traces::now();
        let mut tx = self.begin().await?;
        store::apply(&mut tx, &changes).await?;
        store::commit(tx).await?;
        self.tell(&changes, begun, begun);
        Ok(())
    }

    /// Tells whoever waits for it what was committed.
    fn tell(
        &self,
        changes: &[Change],
        begun: Option<std::time::SystemTime>,
        decided: Option<std::time::SystemTime>,
    ) {
        traces::decided(changes, begun, decided);
        changes.iter().for_each(|change| self.metrics.committed(change));
        self.wake.notify_one();
    }

    /// Counts that are behind the store are made anew from it, with what this transaction wrote.
    async fn make_anew_if_stale(&mut self, tx: &mut Transaction) -> Result<(), StoreError> {
        if self.core.stale {
            let core = &self.core;
            let counts = load::counts(tx, &core.specs, &core.services, &core.cluster, core.clock).await?;
            self.core.counts = counts;
            self.core.stale = false;
        }
        Ok(())
    }

    /// Memory that may be ahead of the store is thrown away. Until that works, every commit fails too.
    async fn start_anew(&mut self) {
        let core = &self.core;
        let anew = async {
            let mut tx = self.store.read().await?;
            let known = load::Known {
                specs: core.documents.clone(),
                services: core.services.clone(),
                clock: core.clock,
                exports: core.exports,
                caps: core.caps,
            };
            load::core(&mut tx, known, core.policies.clone()).await
        };
        match anew.await {
            Ok(core) => {
                let listening_since = self.core.listening_since;
                let warnings = std::mem::take(&mut self.core.warnings);
                self.core = Core { listening_since, warnings, ..core };
                self.lost = false;
            }
            Err(error) => {
                self.lost = true;
                tracing::error!(%error, "cannot read the state again after a failed commit; it is tried with the next one");
            }
        }
    }

    fn publish_unless_busy(&mut self, idle: bool) {
        if idle || self.published.is_none_or(|last| elapsed(last) >= PUBLISH_EVERY) {
            self.publish();
        }
    }

    /// Shows readers the state as it is now.
    pub(super) fn publish(&mut self) {
        let now = self.core.shown_at();
        self.core.counts.settle(now);
        let snapshot = Snapshot {
            counts: self.core.counts.clone(),
            specs: self.core.specs.clone(),
            now,
            firing: self.core.firing(),
            tally: self.core.tally,
            warnings: self.core.all_warnings(),
            cluster: self.core.cluster.clone(),
            judged_to: self.core.judged_to,
            filled_at: self.core.filled_at,
        };
        let snapshot = Arc::new(snapshot);
        self.metrics.shown(&snapshot);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        self.published = Some(instant());
    }
}

fn answer_of(
    reply: Reply<CountsReply>,
    request: CountsRequest,
    ingested: Ingested,
    begun: Option<std::time::SystemTime>,
) -> Answer {
    Box::new(move |committed| {
        let answer = committed.map_err(EngineError::NotCommitted).map(|()| {
            traces::ingested(&request, begun);
            CountsReply { positions: ingested.positions, edges_us: DEFAULT_EDGES_US.to_vec(), version: 1 }
        });
        drop(reply.send(answer));
    })
}
