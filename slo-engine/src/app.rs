//! The engine as a process: store, engine, API, dispatcher and clock, started and stopped together. The only place of
//! this crate that spawns.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alerts::{Dispatcher, Notifiers};
use anyhow::Context;
use prometheus::Registry;
use search::Environment;
use telemetry::{Readiness, Stop, Stopper};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::api::{self, Access, Api, HttpMetrics};
use crate::cluster::watch;
use crate::config::{ArchiveConfig, Config, Elasticsearch, Limits, ReportsConfig};
use crate::engine::{Clock, Engine, Parts};
use crate::export::exporter::{Exporter, Pace};
use crate::failure::Failure;
use crate::hold::Hold;
use crate::http::{self, tls::Tls};
use crate::kibana::{Target, Updater};
use crate::metrics::Metrics;
use crate::refill::Refill;
use crate::refused::RefusedWriters;
use crate::reports::keeper::Keeper;
use crate::store::Store;
use crate::traces;

/// How often burn rates are judged by the wall clock.
const TICK: Duration = Duration::from_secs(10);

/// A tick that takes longer hangs, and with it paging: Kubernetes restarts the engine then.
const TICK_HANGS_AFTER: Duration = Duration::from_secs(300);

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
    fn of(config: &Config) -> anyhow::Result<Self> {
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
    readiness: Readiness,
    /// Of the data directory, while this engine may write to it at any time.
    hold: Option<Hold>,
    addr: Option<SocketAddr>,
    stopper: Stopper,
    stop: Stop,
    tasks: Vec<JoinHandle<()>>,
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
        app.run_keeper(reports, archive);
        if let Some(client) = cluster {
            app.run_discovery(client);
        }
        if let Some(updater) = updater {
            app.run_updater(updater);
        }
        if let Some(elasticsearch) = elasticsearch {
            app.run_exporter(environment, &elasticsearch)?;
        }
        Ok(app)
    }

    /// Opens the state, and starts nothing: for `up`, which owns the clock, and for reports.
    pub async fn open(config: Config, clock: Clock, registry: &Registry) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the data directory {}", dir.display()))?;
        let path = dir.join("engine.db");
        let store = Store::open(&path).await.with_context(|| format!("cannot open {}", path.display()))?;
        let dashboards = Arc::new(Target::of(&config));
        let parts = Parts {
            store,
            specs: config.specs,
            services: config.services,
            policies: config.policies,
            clock,
            metrics: Metrics::new(registry)?,
            exports: config.elasticsearch.is_some(),
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
            refused: RefusedWriters::default(),
            dashboards,
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
        let Front { access, limits, tls } = front;
        let metrics = HttpMetrics::new(&registry)?;
        let shown = (self.engine.clone(), self.dashboards.clone());
        let api = Api::new(shown, (access.clone(), self.refused.clone()), &limits, metrics.clone());
        let router = api::router(api).merge(telemetry::router(registry, self.readiness.clone()));
        let server = http::Front { limits, tls: tls.clone(), metrics };
        let stop = self.stop.clone();
        self.tasks.push(tokio::spawn(http::serve(listener, router, server, stop)));
        self.run_reloads(access, tls);
        Ok(())
    }

    /// Looks whether tokens and the certificate have changed.
    fn run_reloads(&mut self, access: Arc<Access>, tls: Option<Arc<Tls>>) {
        let stop = self.stop.clone();
        self.tasks.push(tokio::spawn(async move {
            let mut interval = tokio::time::interval(RELOAD);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.wait() => return,
                    _ = interval.tick() => {}
                }
                let (access, tls) = (access.clone(), tls.clone());
                // Files may lie on a disk that hangs.
                let looked = tokio::task::spawn_blocking(move || {
                    access.reload();
                    tls.iter().for_each(|tls| tls.reload());
                });
                if let Err(error) = looked.await {
                    tracing::error!(%error, "cannot look after tokens and the certificate");
                }
            }
        }));
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
                        engine.metrics().sealed(&kept);
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
    fn run_updater(&mut self, mut updater: Updater) {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            let mut interval = tokio::time::interval(LOOK_FOR_SERVICES);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let update = async {
                loop {
                    interval.tick().await;
                    updater.update(&engine).await;
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

    fn run_clock(&mut self) {
        let (engine, stop, health) = (self.engine.clone(), self.stop.clone(), self.readiness.clone());
        self.tasks.push(tokio::spawn(async move {
            // What is not there yet must neither page nor be said in the ledger.
            tokio::select! {
                () = stop.wait() => return,
                () = engine.filled() => {}
            }
            let mut interval = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    () = stop.wait() => return,
                    _ = interval.tick() => health.beat("clock", TICK_HANGS_AFTER),
                }
                if let Err(error) = engine.tick(now()).await {
                    // Memory may be ahead of the store now; Kubernetes starts the process anew from what is committed.
                    tracing::error!(%error, "cannot commit a tick; the engine ends and must be started again");
                    std::process::exit(1);
                }
            }
        }));
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver of the wall clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// `slo-engine serve`: runs until SIGTERM or SIGINT.
pub(crate) async fn main(path: &Path) -> Result<(), Failure> {
    telemetry::init(telemetry::Format::Json)?;
    let _traces = telemetry::traces::start("slo-engine")?;
    let env = |name: &str| std::env::var(name).ok();
    let config = Config::load(path, &env).map_err(|problems| Failure::Config(problems.to_string()))?;
    let signals = telemetry::signals()?;
    let app = App::start(config, Registry::new()).await?;
    if let Some(addr) = app.addr() {
        tracing::info!(%addr, "serving");
    }
    let signal = signals.await;
    tracing::info!(signal, "stopping");
    app.stop().await;
    Ok(())
}
