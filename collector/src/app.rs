//! The running collector: it connects what the configuration names, and is the only place that spawns tasks.

mod backlog;
mod fan_out;
mod follow;
mod outlet;
mod page;
mod progress;
mod spools;
mod tasks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use telemetry::Readiness;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::archived::Archived;
use crate::books::{Books, Ledger};
use crate::checkpoint::Checkpoints;
use crate::cluster::{self, Cluster};
use crate::config::{Config, Name};
use crate::dead_letters::DeadLetters;
use crate::event::Stream;
use crate::identity;
use crate::metrics::Metrics;
use crate::sink::slo_engine::{CountsService, Endpoint, Http};
use crate::sink::{
    self, ArchiveConfig, ArchiveSink, Batching, BlackholeSink, ConsoleSink, ElasticsearchSink, FileSink,
    Message, Rewind, Sink, SinkConfig, SloEngineConfig, SloEngineSink,
};
use crate::source::chunk::Positions;
use crate::source::discovery::Discovery;
use crate::source::stdin::Input;
use crate::source::tails::Tails;
use crate::source::{Identity, SourceConfig};
use crate::transform::sli::FormatsSeen;
use fan_out::FanOut;
use follow::Command;
pub use progress::Progress;
use progress::ProgressSlot;
use spools::Spools;
use tasks::Tasks;

/// Chunks that wait for a sink.
const QUEUE: usize = 8;

/// How often the checkpoint file is written while something moves.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How long sinks get to deliver what they hold when the collector stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What the surroundings give to a collector.
#[derive(Clone)]
pub struct Options {
    /// The engine for `slo_engine` sinks with the endpoint `in_process`.
    pub counts: Option<Arc<dyn CountsService>>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// What the `sli` transforms find is noted here.
    pub formats: Arc<FormatsSeen>,
}

impl Default for Options {
    fn default() -> Self {
        let (registry, formats) = (Registry::new(), Arc::new(FormatsSeen::default()));
        Self { counts: None, registry, formats }
    }
}

/// A collector that runs. Dropping it is like a kill: nothing is delivered any more, nothing is lost.
pub struct App {
    checkpoints: Arc<Checkpoints>,
    dead_letters: DeadLetters,
    ledgers: BTreeMap<String, Ledger>,
    slots: Vec<ProgressSlot>,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    stop: watch::Sender<bool>,
    give_up: watch::Sender<bool>,
    sources: Tasks,
    sinks: Tasks,
    /// What writes and watches regularly.
    saver: Tasks,
    page: Tasks,
    cluster: Option<Cluster>,
    addr: Option<SocketAddr>,
}

/// What is the same for all components while they are built.
struct Builder<'a> {
    config: &'a Config,
    options: &'a Options,
    metrics: Metrics,
    checkpoints: Arc<Checkpoints>,
    dead_letters: DeadLetters,
    give_up: watch::Receiver<bool>,
    rewinds: BTreeMap<Name, mpsc::UnboundedSender<Rewind>>,
    ledgers: BTreeMap<String, Ledger>,
    positions: BTreeMap<Name, Positions>,
    queues: BTreeMap<Name, mpsc::Sender<Message>>,
    spools: Spools,
    sinks: Tasks,
    archived: Archived,
    readiness: Readiness,
    cluster: Option<Cluster>,
}

impl App {
    /// Starts a collector: locks its data directory, asks every sink how far it is, and reads on from there.
    ///
    /// # Errors
    /// The data directory is in use, damaged beyond its copies or of a newer version; a sink cannot be opened; a metric's
    /// name is taken.
    pub async fn start(config: Config, options: Options) -> anyhow::Result<Self> {
        let checkpoints = Arc::new(Checkpoints::open(&config.data_dir)?);
        let spools = Spools::open(&config, |held| checkpoints.forget(follow::now_ms(), held))?;
        let dead_letters = DeadLetters::open(&config.data_dir)
            .with_context(|| format!("cannot open the dead-letter store in {}", config.data_dir.display()))?;
        let (stop, stopped) = watch::channel(false);
        let (give_up, given_up) = watch::channel(false);
        let (rewinds, rewound): (BTreeMap<_, _>, Vec<_>) = config
            .sources
            .iter()
            .map(|(name, _)| (name.clone(), mpsc::unbounded_channel()))
            .map(|(n, (t, r))| ((n, t), r))
            .unzip();
        let mut builder = Builder {
            config: &config,
            options: &options,
            metrics: Metrics::new(&options.registry)?,
            checkpoints: checkpoints.clone(),
            dead_letters: dead_letters.clone(),
            give_up: given_up,
            rewinds,
            ledgers: BTreeMap::new(),
            positions: BTreeMap::new(),
            queues: BTreeMap::new(),
            spools,
            sinks: Tasks::default(),
            archived: Archived::default(),
            readiness: Readiness::default(),
            cluster: None,
        };
        let watches = builder.watch_cluster().await?;
        builder.start_sinks().await?;
        let mut app = Self {
            checkpoints,
            dead_letters,
            ledgers: BTreeMap::new(),
            slots: Vec::new(),
            commands: Vec::new(),
            stop,
            give_up,
            sources: Tasks::default(),
            sinks: Tasks::default(),
            saver: watches,
            page: Tasks::default(),
            cluster: builder.cluster.clone(),
            addr: None,
        };
        for (number, rewinds) in rewound.into_iter().enumerate() {
            let (commands, received) = mpsc::unbounded_channel();
            let slot = ProgressSlot::default();
            let context = builder.source_context(number, received, rewinds, stopped.clone(), slot.clone());
            app.sources.0.push(builder.start_source(number, context)?);
            app.commands.push(commands);
            app.slots.push(slot);
        }
        if let Some(address) = config.api {
            let registry = options.registry.clone();
            let (addr, server) = page::serve(address, registry, builder.readiness.clone()).await?;
            app.addr = Some(addr);
            app.page.0.push(server);
        }
        app.sinks = builder.sinks;
        app.ledgers = builder.ledgers;
        app.saver.0.push(tokio::spawn(save_regularly(app.checkpoints.clone())));
        Ok(app)
    }

    /// Waits until every file that is there was read to its end and every sink has delivered it. The collector goes on
    /// following the files.
    ///
    /// # Errors
    /// A source or sink has ended, or the checkpoint file cannot be written.
    pub async fn caught_up(&self) -> anyhow::Result<()> {
        self.ask(Command::CatchUp).await?;
        self.checkpoints.save()?;
        Ok(())
    }

    /// Like [`caught_up`](Self::caught_up), with last lines that lack a line end (of plain files: whatever is appended to
    /// such a line later is a line of its own), and then stops.
    ///
    /// # Errors
    /// A source or sink has ended, or the checkpoint file cannot be written.
    pub async fn drain(mut self) -> anyhow::Result<Books> {
        self.ask(Command::Drain).await?;
        self.end().await?;
        Ok(self.books())
    }

    /// Stops: the sources at once, the sinks when they have delivered what they hold, or after ten seconds.
    ///
    /// # Errors
    /// The checkpoint file cannot be written.
    pub async fn stop(mut self) -> anyhow::Result<Books> {
        self.end().await?;
        Ok(self.books())
    }

    /// How far the sources are.
    pub fn progress(&self) -> Progress {
        let mut sum = Progress::default();
        self.slots.iter().for_each(|slot| sum += slot.get());
        sum
    }

    /// What became of every line so far.
    pub fn books(&self) -> Books {
        Books { sinks: self.ledgers.iter().map(|(name, ledger)| (name.clone(), ledger.now())).collect() }
    }

    /// Who this collector is.
    pub fn collector_id(&self) -> String {
        self.checkpoints.collector()
    }

    /// Where its own page is served, if it is.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// What could not be delivered.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    async fn ask(&self, command: impl Fn(oneshot::Sender<()>) -> Command) -> anyhow::Result<()> {
        let mut answers = Vec::new();
        for source in &self.commands {
            let (answer, answered) = oneshot::channel();
            source.send(command(answer)).ok().context("a source has ended; the log says why")?;
            answers.push(answered);
        }
        for answered in answers {
            answered.await.context("a source or a sink has ended; the log says why")?;
        }
        Ok(())
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        let _ = self.stop.send(true);
        self.sources.join().await;
        if tokio::time::timeout(STOP_WITHIN, self.sinks.join()).await.is_err() {
            let _ = self.give_up.send(true);
            self.sinks.join().await;
        }
        self.saver.cancel().await;
        self.page.cancel().await;
        if let Some(cluster) = &self.cluster {
            cluster.save_or_tell();
        }
        self.checkpoints.save()?;
        Ok(())
    }
}

impl Builder<'_> {
    /// Begins to ask the API server, where a source wants that.
    async fn watch_cluster(&mut self) -> anyhow::Result<Tasks> {
        let Some(config) = self.config.cluster() else { return Ok(Tasks::default()) };
        let client = config.access.client().await?;
        let cluster = self.cluster.insert(Cluster::open(&config.node, &self.config.data_dir)).clone();
        Ok(Tasks(vec![tokio::spawn(cluster::follow(cluster, client, self.metrics.clone()))]))
    }

    async fn start_sinks(&mut self) -> anyhow::Result<()> {
        let config = self.config;
        for (name, _, sink) in &config.sinks {
            if let SinkConfig::Archive(_) = sink {
                self.archived.expect(name);
            }
        }
        for (name, _, sink) in &config.sinks {
            self.start_sink(name, sink).await.with_context(|| format!("cannot start sink {name}"))?;
        }
        Ok(())
    }

    async fn start_sink(&mut self, name: &Name, config: &SinkConfig) -> anyhow::Result<()> {
        match config {
            SinkConfig::Blackhole(batching) => self.run(name, "blackhole", BlackholeSink, *batching).await,
            SinkConfig::Console(console) => {
                let sink = ConsoleSink::new(console).context("cannot open standard output")?;
                self.run(name, "console", sink, console.batching).await;
            }
            SinkConfig::File(file) => {
                self.run(name, "file", FileSink::new(file.clone()), file.batching).await
            }
            SinkConfig::Archive(archive) => {
                let sink = self.archive(name, archive)?;
                self.run(name, config.kind(), sink, archive.batching).await;
            }
            SinkConfig::Elasticsearch(elasticsearch) => {
                let sink = ElasticsearchSink::new(elasticsearch)?;
                self.run(name, "elasticsearch", sink, elasticsearch.batching).await;
            }
            SinkConfig::SloEngine(engine) => {
                let sink = self.slo_engine(engine)?;
                self.run(name, "slo_engine", sink, engine.batching).await;
            }
        }
        Ok(())
    }

    fn archive(&self, name: &Name, config: &ArchiveConfig) -> anyhow::Result<ArchiveSink> {
        let spool = self.config.data_dir.join("archive").join(&**name);
        let fresh_epoch = identity::random().context("cannot read /dev/urandom")?;
        ArchiveSink::open(config, &spool, &self.checkpoints.collector(), &fresh_epoch)
    }

    fn slo_engine(&self, config: &SloEngineConfig) -> anyhow::Result<SloEngineSink> {
        let service: Arc<dyn CountsService> = match &config.endpoint {
            Endpoint::InProcess => self
                .options
                .counts
                .clone()
                .context("the endpoint in_process is only for a collector within an engine")?,
            Endpoint::Http { url, token } => Arc::new(Http::new(url.clone(), token.clone())?),
        };
        let identity = (self.checkpoints.collector(), self.checkpoints.epoch());
        let node = self.config.cluster().map(|cluster| cluster.node.clone());
        Ok(SloEngineSink::new(service, identity, node, self.archived.clone()))
    }

    async fn run<S: Sink>(&mut self, name: &Name, kind: &str, mut sink: S, batching: Batching) {
        let (positions, ask_again) = match sink.recover().await {
            Ok(Some(held)) => {
                self.checkpoints.correct(name, &held);
                (held, false)
            }
            Ok(None) => (self.checkpoints.positions(name), false),
            Err(error) => {
                tracing::warn!(sink = %name, %error,
                    "the sink does not say what it holds; reading on from the checkpoint file and asking again");
                (self.checkpoints.positions(name), true)
            }
        };
        let feeding = self.feeding(name);
        let senders = feeding.iter().filter_map(|source| self.rewinds.get(source).cloned()).collect();
        let ledger = Ledger::default();
        let (queue, inbox) = mpsc::channel(QUEUE);
        let context = sink::Context {
            name: name.to_string(),
            batching,
            checkpoints: self.checkpoints.clone(),
            dead_letters: self.dead_letters.clone(),
            ledger: ledger.clone(),
            metrics: self.metrics.component(name, "sink", kind),
            archived: self.archived.clone(),
            sources: feeding.len(),
            positions: positions.clone(),
            ask: ask_again,
            rewinds: senders,
            give_up: self.give_up.clone(),
        };
        self.ledgers.insert(name.to_string(), ledger);
        self.positions.insert(name.clone(), positions);
        self.queues.insert(name.clone(), queue);
        self.sinks.0.push(tokio::spawn(sink::drive(sink, inbox, context)));
    }

    /// The sources that a sink consumes.
    fn feeding(&self, sink: &Name) -> Vec<Name> {
        let sources = self.config.sources.iter().map(|(source, _)| source);
        sources.filter(|source| fan_out::reached(self.config, source).contains(sink)).cloned().collect()
    }

    fn source_context(
        &mut self,
        number: usize,
        commands: mpsc::UnboundedReceiver<Command>,
        rewinds: mpsc::UnboundedReceiver<Rewind>,
        stop: watch::Receiver<bool>,
        progress: ProgressSlot,
    ) -> follow::Context {
        let (name, source) = &self.config.sources[number];
        let looked = format!("source {name}");
        self.readiness.not_ready(&looked, "it has not looked at its files yet");
        let shared = (&self.metrics, &self.checkpoints);
        let component = self.metrics.component(name, "source", source.kind());
        if source.cluster().is_some() {
            self.metrics.of_cluster(&component);
        }
        let backlogs = self.spools.backlogs(name, self.config, &self.positions, &self.ledgers, shared);
        follow::Context {
            name: name.to_string(),
            fan_out: FanOut::new(
                self.config,
                number,
                (&self.queues, &self.positions),
                backlogs,
                &self.options.formats,
                (&self.metrics, &self.checkpoints),
            ),
            checkpoints: self.checkpoints.clone(),
            metrics: component,
            progress,
            readiness: self.readiness.clone(),
            looked,
            commands,
            rewinds,
            stop,
        }
    }

    fn start_source(&self, number: usize, context: follow::Context) -> anyhow::Result<JoinHandle<()>> {
        let (name, source) = &self.config.sources[number];
        let (discovery, interval) = match source {
            SourceConfig::File(config) => (Discovery::File(config.clone()), config.glob_minimum_cooldown),
            SourceConfig::KubernetesLogs(config) => {
                let cluster = self.cluster.clone().filter(|_| config.cluster.is_some());
                (Discovery::KubernetesLogs(config.clone(), cluster), config.glob_minimum_cooldown)
            }
            SourceConfig::Stdin(config) => {
                let run = identity::random().context("cannot read /dev/urandom")?;
                let stream =
                    Stream { id: identity::run(&run, name), path: "stdin".into(), pod: None, metadata: None };
                let letters = self.dead_letters.clone();
                let input = Input::new(tokio::io::stdin(), stream, name, config.max_line_bytes, letters);
                return Ok(tokio::spawn(follow::read_once(input, context)));
            }
        };
        let machine = identity::machine(Path::new("/etc/machine-id"), &self.checkpoints.collector());
        let identity = Identity { machine, rule: name.to_string() };
        let known = self.checkpoints.streams(name);
        let tails = Tails::new(discovery, identity, known, self.lowest(name), self.dead_letters.clone());
        Ok(tokio::spawn(follow::follow(tails, interval, context)))
    }

    /// Where a source begins: for each stream the lowest position of the sinks that consume it.
    fn lowest(&self, source: &Name) -> Positions {
        let reached = fan_out::reached(self.config, source);
        let sinks: Vec<&Positions> =
            self.positions.iter().filter(|(name, _)| reached.contains(*name)).map(|(_, held)| held).collect();
        let Some((first, others)) = sinks.split_first() else { return Positions::new() };
        let lowest = |(id, &at): (&_, &u64)| {
            let in_all = others.iter().map(|held| held.get(id).copied().unwrap_or(0)).min();
            (Arc::clone(id), in_all.map_or(at, |other| other.min(at)))
        };
        first.iter().map(lowest).collect()
    }
}

async fn save_regularly(checkpoints: Arc<Checkpoints>) {
    let mut ticks = tokio::time::interval(SAVE_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = checkpoints.save() {
            tracing::warn!(%error, "the checkpoint file cannot be written; after a restart more is read again");
        }
    }
}

#[cfg(test)]
mod tests;
