//! The one writer: takes rows, judges instants, and commits what it decides in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use alerts::{Command, Escalations, IncidentId, Input, Policies};
use jiff::Timestamp;
use slo::counts::{CountsReply, CountsRequest, DEFAULT_EDGES_US, Held, MinuteId, Sli, StreamReport};
use tokio::sync::{Mutex, MutexGuard, Notify, watch};

use crate::cluster::Cluster;
use crate::counts::Counts;
use crate::discovery::Service;
use crate::evaluator::{AllEpisodes, absences, is_over, judge};
use crate::figures::Figures;
use crate::metrics::Metrics;
use crate::specs::Specs;
use crate::store::{
    self, Store, StoreError, Transaction, alerts as store_alerts, cluster as store_cluster,
    counts as store_counts, exports,
};
use crate::traces;

mod cluster;
pub mod export;
mod fill;
mod ingest;
mod ledger;
mod reconfigure;
#[cfg(test)]
mod tests;
mod views;

use fill::Filling;
pub use fill::{Fill, Filled, HeldRanges};

/// How many minutes of event time are judged before the state is committed even when nothing happened.
const CHECKPOINT_MINUTES: i64 = 1000;

/// No verdict looks further back: a week for silence, and a day to spare.
const LOOK_BACK_MINUTES: i64 = 8 * 24 * 60;

/// Which time the engine lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock: the open minute is judged with those before it, again and again.
    Wall,
    /// The time of the events: minutes are judged at their end, each once, when everything that there is was read.
    Event,
}

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its state.
    pub store: Store,
    /// SLOs that services have whatever the cluster says.
    pub specs: Specs,
    /// Services that are known by name from the start.
    pub services: BTreeSet<(String, String)>,
    /// Whom to tell.
    pub policies: Policies,
    /// Which time it lives in.
    pub clock: Clock,
    /// Its metrics.
    pub metrics: Metrics,
    /// Whether what changes is marked for Elasticsearch.
    pub exports: bool,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    exports: bool,
    state: Mutex<State>,
    filling: watch::Sender<Filling>,
    /// Notified after each commit that may have put something into the outbox.
    pub wake: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    counts: Counts,
    /// Which SLOs services have by documents alone.
    documents: Specs,
    /// Services that are known by name from the start.
    services: BTreeSet<(String, String)>,
    /// Which SLOs services have, by documents and by what the cluster says.
    specs: Arc<Specs>,
    /// What the cluster says.
    cluster: Arc<Cluster>,
    /// What keeps the cluster from saying more.
    warnings: Vec<String>,
    /// The counts in memory are behind the store and must be made anew before they are used.
    stale: bool,
    /// Up to which minute (exclusive) was judged.
    judged_to: Option<MinuteId>,
    /// The first minute that this process judged.
    listening_since: Option<MinuteId>,
    episodes: AllEpisodes,
    escalations: Escalations,
    /// When a state that was lost was full again.
    filled_at: Option<Timestamp>,
    /// Collectors that were given up because their node is gone, and when; not committed yet.
    given_up: BTreeMap<String, MinuteId>,
    /// What the escalation machine commanded and is not committed yet.
    commands: Vec<Command>,
    /// Since when is judged what will be committed, for traces.
    begun: Option<SystemTime>,
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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Starts from what the store holds.
    pub async fn open(parts: Parts) -> Result<Self, EngineError> {
        let Parts { store, specs, services, policies, clock, metrics, exports } = parts;
        let mut tx = store.begin().await?;
        let judged_to =
            store::meta(&mut tx, "judged_to").await?.and_then(|text| text.parse().ok()).map(MinuteId);
        let episodes = store_alerts::episodes(&mut tx).await?;
        let incidents = store_alerts::incidents(&mut tx).await?;
        let filled_at = fill::filled_at(&mut tx).await?;
        let cluster = store_cluster::cluster(&mut tx).await?;
        drop(tx);
        let state = State {
            counts: Counts::default(),
            specs: Arc::new(specs.annotated(&cluster)),
            documents: specs,
            services,
            cluster: Arc::new(cluster),
            warnings: Vec::new(),
            stale: true,
            judged_to,
            listening_since: None,
            episodes: episodes.into_iter().map(|(service, sli, state)| ((service, sli), state)).collect(),
            escalations: Escalations::restore(policies, incidents),
            filled_at,
            given_up: BTreeMap::new(),
            commands: Vec::new(),
            begun: None,
        };
        let (filling, _) = watch::channel(Filling::No);
        let wake = Arc::new(Notify::new());
        let state = Mutex::new(state);
        Ok(Self { store, clock, metrics, exports, state, filling, wake })
    }

    /// Takes rows; when it returns, they are committed.
    pub async fn ingest(&self, request: CountsRequest) -> Result<CountsReply, EngineError> {
        let begun = telemetry::traces::now();
        ingest::check(&request).map_err(EngineError::BadRows)?;
        let mut state = self.state.lock().await;
        let mut tx = self.store.begin().await?;
        ingest::check_follows(&mut tx, &request).await?;
        let read_before = store_counts::watermark(&mut tx, &request.collector).await?;
        let ingested = store_counts::ingest(&mut tx, &request).await?;
        let touched = ingest::touched(&request, &ingested, read_before);
        if self.exports {
            exports::mark(&mut tx, export::marks(&request, &ingested, &touched)).await?;
        }
        ledger::amend(&mut tx, touched).await?;
        if read_before.is_none() {
            ledger::amend_undecided(&mut tx, &request).await?;
        }
        let mut positions = BTreeMap::new();
        for StreamReport { stream, .. } in &request.streams {
            if let Some(position) = store_counts::position(&mut tx, stream).await? {
                positions.insert(stream.clone(), position);
            }
        }
        // A commit that fails, or whoever asked for it goes away meanwhile, may have reached the disk.
        let stale = std::mem::replace(&mut state.stale, true);
        store::commit(tx).await?;
        state.stale = stale;
        traces::ingested(&request, begun);
        self.metrics.rows_received(&request, ingested.added.len());
        state.take(&request, &ingested, &BTreeSet::new());
        Ok(CountsReply { positions, edges_us: DEFAULT_EDGES_US.to_vec(), version: 1 })
    }

    /// Which state this is, and for each stream the offset below which everything is counted.
    pub async fn positions(&self) -> Result<Held, EngineError> {
        if *self.filling.borrow() == Filling::Awaited {
            return Err(EngineError::Filling);
        }
        let mut tx = self.store.begin().await?;
        let store = store::identity(&mut tx).await?;
        Ok(Held { store, positions: store_counts::positions(&mut tx).await? })
    }

    /// Judges `now`, by the wall clock.
    pub async fn tick(&self, now: Timestamp) -> Result<(), EngineError> {
        let mut state = self.fresh_state().await?;
        let at = MinuteId::of_timestamp(now).plus(1);
        state.give_up_stranded(at);
        state.counts.settle(at);
        let mut changed = state.judge(at, now, true);
        changed.extend(state.let_go(now));
        state.watch_absences(at, now);
        state.escalations.handle_timeout(now);
        state.judged_to = Some(at);
        self.commit(&mut state, &changed).await?;
        self.observe(&state);
        Ok(())
    }

    /// Judges, in event time, every minute that has not been judged, to the newest event; returns the instant that the
    /// clock has come to. To be called when everything that the collector could find is counted. A line may claim any
    /// time, so the few that claim to be after `limit` are not the newest event; when many do, it is the clock that is
    /// wrong.
    pub async fn catch_up(&self, limit: Timestamp) -> Result<Option<Timestamp>, EngineError> {
        let mut state = self.fresh_state().await?;
        let mut tx = self.store.begin().await?;
        let counts = &state.counts;
        let limit = MinuteId::of_timestamp(limit);
        let limit =
            if counts.is_mostly_after(limit) { MinuteId::of_timestamp(Timestamp::MAX) } else { limit };
        let newest =
            store_counts::newest_ms(&mut tx, limit.start().as_millisecond()).await?.map(MinuteId::of_ms);
        drop(tx);
        let newest = newest.max(counts.last_busy(limit));
        let Some((first, newest)) = counts.first().zip(newest) else { return Ok(None) };
        let target = newest.plus(1);
        state.counts.settle(target);
        let mut at = state.judged_to.map_or(first, |judged| judged.max(first)).plus(1);
        let mut unsaved = 0;
        while at <= target {
            let changed = state.judge_minute_end(at);
            state.judged_to = Some(at);
            unsaved += 1;
            if state.has_news(&changed) || unsaved == CHECKPOINT_MINUTES {
                self.commit(&mut state, &changed).await?;
                unsaved = 0;
            }
            at = state.next_minute(at, target);
        }
        // What came late may have changed minutes that the ledger has spoken of, though no new one is to be judged.
        self.commit(&mut state, &BTreeSet::new()).await?;
        self.observe(&state);
        Ok(Some(target.start()))
    }

    /// Someone takes an incident: escalation stops.
    pub async fn acknowledge(&self, id: &str, by: &str, now: Timestamp) -> Result<(), EngineError> {
        self.decide(id, now, |incident| Input::Acknowledge { incident, by: by.to_owned() }).await
    }

    /// Someone closes an incident.
    pub async fn resolve(&self, id: &str, by: &str, now: Timestamp) -> Result<(), EngineError> {
        self.decide(id, now, |incident| Input::ResolveByHand { incident, by: by.to_owned() }).await
    }

    /// Its metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The store, for the dispatcher.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    async fn decide(
        &self,
        id: &str,
        now: Timestamp,
        input: impl FnOnce(IncidentId) -> Input,
    ) -> Result<(), EngineError> {
        let mut state = self.fresh_state().await?;
        let incident = IncidentId(id.to_owned());
        if state.escalations.incident(&incident).is_none() {
            return Err(EngineError::NoIncident(id.to_owned()));
        }
        let now = self.now_or(state.judged_to, now);
        state.escalations.handle(input(incident), now);
        self.commit(&mut state, &BTreeSet::new()).await
    }

    /// In event time "now" is where the clock has come to.
    fn now_or(&self, judged_to: Option<MinuteId>, wall: Timestamp) -> Timestamp {
        match (self.clock, judged_to) {
            (Clock::Event, Some(minute)) => minute.start(),
            _ => wall,
        }
    }

    /// The state with its counts in step with the store.
    async fn fresh_state(&self) -> Result<MutexGuard<'_, State>, EngineError> {
        let mut state = self.state.lock().await;
        state.begun = telemetry::traces::now();
        if state.stale {
            let mut tx = self.store.begin().await?;
            let (specs, cluster) = (state.specs.clone(), state.cluster.clone());
            let counts = ingest::load(&mut tx, &specs, &state.services, cluster, self.clock).await?;
            state.counts = counts;
            state.stale = false;
        }
        Ok(state)
    }

    /// One transaction for everything that an instant decided. A failure leaves memory ahead of the store, so memory is
    /// thrown away by ending the process: the callers treat it as fatal.
    async fn commit(&self, state: &mut State, changed: &BTreeSet<(Service, Sli)>) -> Result<(), EngineError> {
        let decided = telemetry::traces::now();
        let mut tx = self.store.begin().await?;
        for id in changed {
            if let Some(episodes) = state.episodes.get(id) {
                store_alerts::put_episodes(&mut tx, &id.0, id.1, episodes).await?;
            }
        }
        for (collector, at) in &state.given_up {
            store_counts::give_up(&mut tx, collector, *at).await?;
        }
        state.gather_commands();
        for command in &state.commands {
            put_command(&mut tx, command).await?;
        }
        state.write_ledger(&mut tx).await?;
        if let Some(minute) = state.judged_to {
            store::set_meta(&mut tx, "judged_to", &minute.0.to_string()).await?;
        }
        store::commit(tx).await?;
        state.given_up.clear();
        traces::decided(&state.commands, state.begun, decided);
        for command in state.commands.drain(..) {
            self.metrics.commanded(&command);
        }
        self.wake.notify_one();
        Ok(())
    }

    fn observe(&self, state: &State) {
        let now = state.judged_to.unwrap_or_default();
        let firing = state.firing();
        self.metrics.judged(&Figures { counts: &state.counts, specs: &state.specs, now, firing: &firing });
    }
}

async fn put_command(tx: &mut Transaction, command: &Command) -> Result<(), StoreError> {
    match command {
        Command::Save(incident) => store_alerts::put_incident(tx, incident).await,
        Command::Notify(intent) => store_alerts::put_intent(tx, intent).await,
    }
}

impl State {
    /// Judges an instant and tells the escalation machine.
    fn judge(&mut self, at: MinuteId, now: Timestamp, again: bool) -> BTreeSet<(Service, Sli)> {
        let judged = judge(&self.counts, &self.specs, &mut self.episodes, at, again);
        for input in judged.inputs {
            let input = match input {
                Input::Fire(alert) => Input::Fire(self.told(alert)),
                Input::Renotify(alert) => Input::Renotify(self.told(alert)),
                other => other,
            };
            self.escalations.handle(input, now);
        }
        judged.changed
    }

    /// The end of one minute in event time: first the escalation steps that fell due within it, then the verdicts.
    fn judge_minute_end(&mut self, at: MinuteId) -> BTreeSet<(Service, Sli)> {
        let now = at.start();
        while let Some(due) = self.escalations.poll_timeout().filter(|due| *due <= now) {
            self.escalations.handle_timeout(due);
        }
        let changed = self.judge(at, now, false);
        self.watch_absences(at, now);
        changed
    }

    /// Opens and closes alerts about what is not there.
    fn watch_absences(&mut self, at: MinuteId, now: Timestamp) {
        let since = *self.listening_since.get_or_insert(at);
        let absent = absences(&self.counts, at, since);
        let open = self.escalations.incidents();
        let over = open.filter(|incident| {
            !absent.contains_key(&incident.alert.key) && is_over(&self.counts, incident, at)
        });
        let over: Vec<String> = over.map(|incident| incident.alert.key.clone()).collect();
        for key in over {
            self.escalations.handle(Input::Resolve { key }, now);
        }
        for alert in absent.into_values() {
            let alert = self.told(alert);
            self.escalations.handle(Input::Fire(alert), now);
        }
    }

    fn gather_commands(&mut self) {
        while let Some(command) = self.escalations.next_command() {
            self.commands.push(command);
        }
    }

    fn has_news(&mut self, changed: &BTreeSet<(Service, Sli)>) -> bool {
        self.gather_commands();
        !changed.is_empty() || !self.commands.is_empty()
    }

    /// The next minute end to judge: the following one, or, over a gap in which all windows are empty and every verdict is
    /// held, the one behind the next request, or the last one.
    fn next_minute(&self, at: MinuteId, target: MinuteId) -> MinuteId {
        let next = at.plus(1);
        let busy = self.counts.next_busy(at.plus(-LOOK_BACK_MINUTES));
        busy.map_or(target, |busy| busy.plus(1).min(target)).max(next)
    }

    fn firing(&self) -> BTreeSet<(Service, Sli)> {
        let open = self.episodes.iter().filter(|(_, episodes)| episodes.is_firing());
        open.map(|(id, _)| id.clone()).collect()
    }
}
