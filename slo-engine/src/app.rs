//! The engine as a process: store, engine, API, dispatcher and clock, started and stopped together. The only place of
//! this crate that spawns.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use alerts::{Dispatcher, Notifiers};
use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use prometheus::Registry;
use search::Environment;
use telemetry::{Readiness, Stop, Stopper};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tower::ServiceExt;

use crate::api::{self, Access, Api, HttpMetrics};
use crate::cluster::watch;
use crate::config::{ArchiveConfig, Config, Elasticsearch, Limits, ReportsConfig, Sections};
use crate::engine::{Caps, Clock, Engine, EngineError, Parts};
use crate::export::exporter::{Exporter, Pace};
use crate::hold::Hold;
use crate::http::{self, tls::Tls};
use crate::kibana::{Target, Updater};
use crate::metrics::Metrics;
use crate::refill::Refill;
use crate::refused::RefusedWriters;
use crate::reports::keeper::Keeper;
use crate::store::{Store, StoreError};
use crate::traces;
use crate::wall_clock::WallClock;

/// How often burn rates are judged by the wall clock.
const TICK: Duration = Duration::from_secs(10);

/// A tick that takes longer hangs, and with it paging: Kubernetes restarts the engine then.
const TICK_HANGS_AFTER: Duration = Duration::from_secs(300);

/// How often old counts are folded and forgotten.
const LOOK_AFTER_STORE: Duration = Duration::from_secs(60);

/// When sealing is tried again that failed.
const SEAL_AGAIN: Duration = Duration::from_secs(600);

/// The longest wait for the schedule: the wall clock may be set meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How often services are looked for that have no dashboard, and a Kibana that failed is tried again.
const LOOK_FOR_SERVICES: Duration = Duration::from_secs(60);

/// How often is looked whether tokens and the certificate have changed.
const RELOAD: Duration = Duration::from_secs(30);

/// What stands between the network and the engine: who may do what, how much at once, and the certificate. Without a
/// configuration only this machine may write.
#[derive(Debug, Default)]
pub struct Front {
    access: Arc<Access>,
    limits: Limits,
    tls: Option<Arc<Tls>>,
}

impl Front {
    /// What a configuration says.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        Ok(Self { access: Arc::new(Access::new(&config.access)), limits: config.limits.clone(), tls })
    }
}

/// A running engine.
#[derive(Debug)]
pub struct App {
    /// The engine, for whoever runs it in process.
    pub engine: Arc<Engine>,
    /// Sends what the engine decides.
    pub dispatcher: Arc<Dispatcher<Store>>,
    /// Writers that showed no token, for whoever judges.
    pub refused: RefusedWriters,
    dashboards: Arc<Target>,
    environment: Environment,
    /// What it was started with.
    sections: Sections,
    served: Option<Arc<Served>>,
    updaters: Option<mpsc::UnboundedSender<Option<Updater>>>,
    readiness: Readiness,
    /// Of the data directory, while this engine may write to it at any time.
    hold: Option<Hold>,
    addr: Option<SocketAddr>,
    stopper: Stopper,
    stop: Stop,
    tasks: Vec<JoinHandle<()>>,
}

/// What is served: each request gets the routes that hold when it comes.
#[derive(Debug)]
struct Served {
    registry: Registry,
    routes: Arc<RwLock<Router>>,
    limits: Limits,
    metrics: HttpMetrics,
    access: RwLock<Arc<Access>>,
}

impl Served {
    /// Serves by these tokens and dashboards from now on.
    fn serve(&self, app: &App, access: Arc<Access>, dashboards: Arc<Target>) {
        let shown = (app.engine.clone(), dashboards);
        let api = Api::new(shown, (access.clone(), app.refused.clone()), &self.limits, self.metrics.clone());
        let routes = api::router(api).merge(telemetry::router(self.registry.clone(), app.readiness.clone()));
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = access;
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
    }

    fn access(&self) -> Arc<Access> {
        self.access.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl App {
    /// Starts the engine by the wall clock: listens, judges every 10 s, sends.
    pub async fn start(config: Config, registry: Registry) -> anyhow::Result<Self> {
        let listen = config.listen;
        let front = Front::of(&config)?;
        let (reports, archive) = (config.reports.clone(), config.archive.clone());
        let updater = Updater::new(&config)?;
        let (environment, elasticsearch) = (config.environment.clone(), config.elasticsearch.clone());
        let refill = Refill::new(&config);
        let cluster = match &config.kubernetes {
            Some(access) => Some(access.client().await?),
            None => None,
        };
        let hold = Hold::take(&config.data_dir).await?;
        let mut app = Self::open(config, Clock::Wall, &registry).await?;
        app.hold = Some(hold);
        if elasticsearch.is_none() {
            // What changes from now on is not marked.
            app.engine.forget_export().await?;
        }
        let is_empty = refill.begin(&app.engine, &app.readiness).await?;
        front.access.tell();
        app.listen(listen, front, registry).await?;
        if is_empty {
            app.run_refill(refill);
        }
        app.run_dispatcher();
        app.run_clock();
        app.run_upkeep();
        app.run_keeper(reports, archive);
        if let Some(client) = cluster {
            app.run_discovery(client);
        }
        app.run_updater(updater);
        if let Some(elasticsearch) = elasticsearch {
            app.run_exporter(environment, &elasticsearch)?;
        }
        Ok(app)
    }

    /// The same for a command that writes: refused while an engine runs on the same state.
    pub async fn open_alone(config: Config, registry: &Registry) -> anyhow::Result<Self> {
        let hold = Hold::take_free(&config.data_dir)?;
        let app = Self::open(config, Clock::Wall, registry).await?;
        Ok(Self { hold: Some(hold), ..app })
    }

    /// Opens the state, and starts nothing: for `up`, which owns the clock, and for reports.
    pub async fn open(config: Config, clock: Clock, registry: &Registry) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the data directory {}", dir.display()))?;
        prepare(&config.notifiers)?;
        let path = dir.join("engine.db");
        let store = Store::open(&path).await.with_context(|| format!("cannot open {}", path.display()))?;
        let dashboards = Arc::new(Target::of(&config));
        let (environment, sections) = (config.environment.clone(), config.sections.clone());
        let refused = RefusedWriters::default();
        let parts = Parts {
            store,
            specs: config.specs,
            services: config.services,
            policies: config.policies,
            clock,
            metrics: Metrics::new(registry)?,
            exports: config.elasticsearch.is_some(),
            caps: Caps { unknown_services: config.limits.unknown_services },
            refused: refused.clone(),
        };
        let engine = Arc::new(Engine::open(parts).await?);
        let notifiers: Arc<Notifiers> = Arc::new(config.notifiers);
        let mut dispatcher = Dispatcher::new(engine.store(), notifiers);
        if telemetry::traces::now().is_some() {
            dispatcher = dispatcher.watched(traces::attempted);
        }
        let dispatcher = Arc::new(dispatcher);
        let (stopper, stop) = telemetry::stopper();
        let readiness = Readiness::default();
        Ok(Self {
            engine,
            dispatcher,
            refused,
            dashboards,
            environment,
            sections,
            served: None,
            updaters: None,
            readiness,
            hold: None,
            addr: None,
            stopper,
            stop,
            tasks: Vec::new(),
        })
    }

    /// Serves the API and the page. Port 0 takes a free one.
    pub async fn listen(
        &mut self,
        address: SocketAddr,
        front: Front,
        registry: Registry,
    ) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: choose another address with `listen` (or --listen of `up`)")
        })?;
        self.addr = Some(listener.local_addr()?);
        let routes = Arc::new(RwLock::new(Router::new()));
        let Front { access, limits, tls } = front;
        let metrics = HttpMetrics::new(&registry)?;
        let server = http::Front { limits: limits.clone(), tls: tls.clone(), metrics: metrics.clone() };
        let served = Served { registry, routes: routes.clone(), limits, metrics, access: RwLock::default() };
        served.serve(self, access, self.dashboards.clone());
        self.served = Some(Arc::new(served));
        let router = Router::new().fallback(move |request: Request| {
            let routes = routes.read().unwrap_or_else(PoisonError::into_inner).clone();
            async move { routes.oneshot(request).await }
        });
        let stop = self.stop.clone();
        self.tasks.push(tokio::spawn(http::serve(listener, router, server, stop)));
        self.run_reloads(tls);
        Ok(())
    }

    /// Looks whether tokens and the certificate have changed.
    fn run_reloads(&mut self, tls: Option<Arc<Tls>>) {
        let served = self.served.clone();
        let stop = self.stop.clone();
        self.tasks.push(tokio::spawn(async move {
            let mut interval = tokio::time::interval(RELOAD);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.wait() => return,
                    _ = interval.tick() => {}
                }
                let (served, tls) = (served.clone(), tls.clone());
                // Files may lie on a disk that hangs.
                let looked = tokio::task::spawn_blocking(move || {
                    served.iter().for_each(|served| served.access().reload());
                    tls.iter().for_each(|tls| tls.reload());
                });
                if let Err(error) = looked.await {
                    tracing::error!(%error, "cannot look after tokens and the certificate");
                }
            }
        }));
    }

    /// Takes what it can of another configuration: tokens, dashboards, notifiers, objectives, names of services and
    /// policies. Gives the keys that differ from those that it was started with and wait for a restart. Nobody is told
    /// anything by that.
    ///
    /// # Errors
    /// A notifier or Kibana cannot be used; nothing was changed then.
    pub async fn reload(&self, config: Config) -> anyhow::Result<Vec<String>> {
        prepare(&config.notifiers)?;
        let need_restart = self.sections.need_restart(&config.sections);
        // Indices and dashboards go on being called as at the start.
        let config = Config { environment: self.environment.clone(), ..config };
        let updater = Updater::new(&config)?;
        if let Some(updaters) = &self.updaters {
            // The task ends with the engine alone.
            let _ = updaters.send(updater);
        }
        if let Some(served) = &self.served {
            served.serve(self, Arc::new(Access::new(&config.access)), Arc::new(Target::of(&config)));
        }
        self.dispatcher.set_notifiers(Arc::new(config.notifiers));
        self.engine.reconfigure(config.specs, config.services, config.policies).await?;
        Ok(need_restart)
    }

    /// Where the API listens.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Stops listening, judging and sending; what is in flight is settled first.
    pub async fn stop(self) {
        self.stopper.stop();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the engine ended badly");
            }
        }
        self.engine.store().close().await;
    }

    fn run_refill(&mut self, refill: Refill) {
        let (engine, readiness, stop) = (self.engine.clone(), self.readiness.clone(), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            tokio::select! {
                () = stop.wait() => {}
                () = refill.run(engine, readiness) => {}
            }
        }));
    }

    fn run_dispatcher(&mut self) {
        let (dispatcher, stop) = (self.dispatcher.clone(), self.stop.clone());
        let wake = self.engine.wake.clone();
        self.tasks.push(tokio::spawn(async move { dispatcher.run(&wake, stop.wait()).await }));
    }

    /// Looks after the months at start, since some may have ended meanwhile, and whenever the schedule comes.
    fn run_keeper(&mut self, reports: ReportsConfig, archive: Option<ArchiveConfig>) {
        let (stop, engine) = (self.stop.clone(), self.engine.clone());
        self.tasks.push(tokio::spawn(async move {
            // A seal is for ever.
            tokio::select! {
                () = stop.wait() => return,
                () = engine.full() => {}
            }
            loop {
                // Opened at each look: a place that cannot be had must not hold up pages at the start.
                let keeper = Keeper::open(reports.clone(), archive.as_ref(), engine.clone());
                let kept = async { keeper?.keep(now()).await };
                let wait = match kept.await {
                    Ok(kept) => {
                        engine.metrics().sealed(&kept.sealed);
                        let next = reports.schedule.next_after(now()).unwrap_or(jiff::Timestamp::MAX);
                        Duration::try_from(next.duration_since(now())).unwrap_or_default().min(LONGEST_WAIT)
                    }
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), retry_in = ?SEAL_AGAIN, "cannot seal what is due");
                        SEAL_AGAIN
                    }
                };
                tokio::select! {
                    () = stop.wait() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }));
    }

    /// Brings dashboards to Kibana beside everything else: no page waits for it.
    fn run_updater(&mut self, mut updater: Option<Updater>) {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        let (updaters, mut others) = mpsc::unbounded_channel::<Option<Updater>>();
        self.updaters = Some(updaters);
        self.tasks.push(tokio::spawn(async move {
            let mut interval = tokio::time::interval(LOOK_FOR_SERVICES);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let update = async {
                loop {
                    tokio::select! {
                        _ = interval.tick() => {}
                        Some(other) = others.recv() => match (&updater, other) {
                            // It knows what it brought.
                            (Some(updater), Some(other)) if updater.is_as(&other) => continue,
                            (_, other) => updater = other,
                        }
                    }
                    if let Some(updater) = &mut updater {
                        updater.update(&engine).await;
                    }
                }
            };
            tokio::select! {
                () = stop.wait() => {}
                () = update => {}
            }
        }));
    }

    /// Watches the cluster beside everything else.
    fn run_discovery(&mut self, client: kubernetes::Client) {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            tokio::select! {
                () = stop.wait() => {}
                () = watch::run(client, &engine, engine.metrics()) => {}
            }
        }));
    }

    fn run_exporter(&mut self, environment: Environment, config: &Elasticsearch) -> anyhow::Result<()> {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        let exporter = Exporter::new(engine.clone(), environment, config, Pace::default(), stop.clone())?;
        self.tasks.push(tokio::spawn(async move {
            // Results of a state that is half full would take the place of those that are right.
            tokio::select! {
                () = stop.wait() => {}
                () = engine.full() => exporter.run().await,
            }
        }));
        Ok(())
    }

    /// Folds and forgets, beside everything else and a slice at a time.
    fn run_upkeep(&mut self) {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            let mut interval = tokio::time::interval(LOOK_AFTER_STORE);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let look = async {
                engine.full().await;
                loop {
                    interval.tick().await;
                    loop {
                        match engine.look_after_store(now()).await {
                            Ok(true) => {}
                            Ok(false) => break,
                            Err(error) => {
                                tracing::warn!(%error, "cannot fold or forget old counts; it is tried again in a minute");
                                break;
                            }
                        }
                    }
                }
            };
            tokio::select! {
                () = stop.wait() => {}
                () = look => {}
            }
        }));
    }

    fn run_clock(&mut self) {
        let (engine, stop, health) = (self.engine.clone(), self.stop.clone(), self.readiness.clone());
        self.tasks.push(tokio::spawn(async move {
            // What is not there yet must neither page nor be said in the ledger.
            tokio::select! {
                () = stop.wait() => return,
                () = engine.filled() => {}
            }
            let (mut clock, begun) = (WallClock::default(), steady());
            let mut interval = tokio::time::interval(TICK);
            health.beat("clock", TICK_HANGS_AFTER);
            loop {
                tokio::select! {
                    () = stop.wait() => return,
                    _ = interval.tick() => {}
                }
                let confirmed = engine.snapshot().counts.read_to().map(slo::counts::MinuteId::start);
                let at = clock.look(now(), begun.elapsed(), confirmed);
                match engine.tick(at).await {
                    Ok(()) => health.beat("clock", TICK_HANGS_AFTER),
                    Err(error @ (EngineError::Stopped | EngineError::Store(StoreError::Fenced { .. }))) => {
                        tracing::error!(%error, "this engine must not go on; it ends");
                        std::process::exit(1);
                    }
                    // A full disk or a locked file: nothing of the tick is lost, and the next one decides the same.
                    Err(error) => tracing::error!(%error, "cannot commit a tick; it is tried again in 10 s"),
                }
            }
        }));
    }
}

/// A notifier that cannot be used must be known before there is a page for it.
fn prepare(notifiers: &Notifiers) -> anyhow::Result<()> {
    notifiers.prepare().map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("cannot use the notifiers: {}", errors.join("; "))
    })
}

#[expect(clippy::disallowed_methods, reason = "the driver of the wall clock")]
fn steady() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the driver of the wall clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
