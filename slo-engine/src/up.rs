//! `up`: collector and engine in one process, on embedded defaults. The same collector and the same engine as in
//! production, with counts handed over in process and the clock of the events.

mod logs;
mod progress;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use collector::app::{App as Collector, Options};
use collector::sink::SendError;
use collector::sink::slo_engine::{BoxFuture, CountsService};
use collector::transform::sli::FormatsSeen;
use prometheus::Registry;
use settings::{Problems, Syntax};
use slo::counts::{CountsReply, CountsRequest, Held};

use crate::app::{App, Front};
use crate::config::Config;
use crate::engine::{Clock, Engine, EngineError};
use crate::failure::Failure;
use crate::table;

/// Arguments of `up`.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Logs to read: a /var/log/pods tree, a folder, a plain file or a rotated .gz; may be given several times. By
    /// default the recorded logs that come with the sources.
    #[arg(long = "logs", value_name = "PATH")]
    pub logs: Vec<PathBuf>,
    /// Where state, archive and dead letters lie; those of the recorded logs lie in its folder `recorded`.
    #[arg(long, default_value = "./.headroom")]
    pub data_dir: PathBuf,
    /// Address of the page and the API.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// End when the input is read, instead of serving the page.
    #[arg(long)]
    pub once: bool,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Format of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables for people.
    Text,
    /// One JSON document.
    Json,
}

/// Any free port.
pub const ANY_PORT: &str = "127.0.0.1:0";

/// How often new lines are looked for once everything was read.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// The engine's configuration in `up`: embedded defaults, through the same parser as a file.
pub fn engine_config(data_dir: &Path, listen: &str) -> Result<Config, Problems> {
    let text = serde_json::json!({
        "listen": listen,
        "data_dir": data_dir.display().to_string(),
        "notifiers": { "log": { "type": "log", "file": data_dir.join("pages.jsonl").display().to_string() } },
    });
    Config::parse("the defaults of up", &text.to_string(), Syntax::Yaml, &|_| None)
}

/// `slo-engine up`.
pub(crate) async fn main(args: UpArgs) -> Result<(), Failure> {
    telemetry::init(telemetry::Format::Human)?;
    let _traces = telemetry::traces::start("slo-engine")?;
    let signals = telemetry::signals()?;
    let run = Run::start(&args).await?;
    tokio::select! {
        done = run.go(&args) => done,
        signal = signals => {
            tracing::debug!(signal, "stopping");
            Ok(())
        }
    }
}

/// The recorded logs have a state of their own, so that they never stand beside the services of your logs.
fn data_dir(args: &UpArgs) -> PathBuf {
    if args.logs.is_empty() { args.data_dir.join("recorded") } else { args.data_dir.clone() }
}

/// Everything that runs in `up`.
struct Run {
    engine: App,
    collector: Collector,
    formats: Arc<FormatsSeen>,
}

impl Run {
    async fn start(args: &UpArgs) -> Result<Self, Failure> {
        let sources = logs::sources(&args.logs)?;
        let data_dir = data_dir(args);
        std::fs::create_dir_all(&data_dir)
            .with_context(|| format!("cannot make the data directory {}", data_dir.display()))?;
        let refused = |problems: Problems| Failure::Config(problems.to_string());
        let config = engine_config(&data_dir, &args.listen.to_string()).map_err(refused)?;
        let registry = Registry::new();
        let mut engine = App::open(config, Clock::Event, &registry).await?;
        if !args.once {
            engine.listen(args.listen, Front::default(), registry.clone()).await?;
        }
        let formats = Arc::new(FormatsSeen::default());
        let options = Options {
            counts: Some(Arc::new(InProcess(engine.engine.clone()))),
            registry,
            formats: formats.clone(),
        };
        let config = logs::collector_config(&data_dir, &sources).map_err(refused)?;
        let collector = Collector::start(config, options).await?;
        Ok(Self { engine, collector, formats })
    }

    /// Reads, judges, shows; then ends, or serves the page and follows the files.
    async fn go(self, args: &UpArgs) -> Result<(), Failure> {
        progress::until_caught_up(&self.collector).await?;
        if args.once {
            let books = self.collector.drain().await?;
            books.check()?;
            settle(&self.engine).await?;
            show(&self.engine.engine, args.output, &self.formats).await?;
            self.engine.stop().await;
            return Ok(());
        }
        settle(&self.engine).await?;
        show(&self.engine.engine, args.output, &self.formats).await?;
        eprintln!("\nThe page is at http://{} until Ctrl-C.", self.engine.addr().unwrap_or(args.listen));
        loop {
            tokio::time::sleep(FOLLOW_EVERY).await;
            self.collector.caught_up().await?;
            settle(&self.engine).await?;
        }
    }
}

/// Judges everything that was read, and sends what that decided.
async fn settle(app: &App) -> Result<(), Failure> {
    if let Some(now) = app.engine.catch_up(now()).await? {
        app.dispatcher.drain_once(now).await?;
    }
    Ok(())
}

async fn show(engine: &Engine, output: Output, formats: &FormatsSeen) -> Result<(), Failure> {
    let model = engine.page_model().await?;
    for (path, lines, broken) in engine.curious_streams().await? {
        match broken {
            Some(why) => eprintln!("{path}: {why}; {lines} lines were read"),
            None => eprintln!("{path}: no request in {lines} lines"),
        }
    }
    match output {
        Output::Json => {
            eprintln!("{}", logs::formats(formats));
            println!("{}", serde_json::to_string(&model.overview)?);
        }
        Output::Text => {
            println!("{}\n", logs::formats(formats));
            println!("{}", table::render(&model.overview, &model.details, &model.incidents));
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a line that claims to be of the future is not the newest event"
)]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Hands count rows to the engine of this process.
struct InProcess(Arc<Engine>);

impl CountsService for InProcess {
    fn post(&self, request: CountsRequest) -> BoxFuture<'_, Result<CountsReply, SendError>> {
        Box::pin(async move { self.0.ingest(request).await.map_err(|error| classify(&error)) })
    }

    fn positions(&self) -> BoxFuture<'_, Result<Held, SendError>> {
        Box::pin(async move { self.0.positions().await.map_err(|error| classify(&error)) })
    }
}

fn classify(error: &EngineError) -> SendError {
    let reason = error.to_string();
    match error {
        EngineError::BadRows(_) | EngineError::NoIncident(_) => SendError::Reject { reason },
        EngineError::HeldOtherwise(_) => SendError::AskAgain { reason },
        EngineError::Filling | EngineError::Store(_) => SendError::Retry { after: None, reason },
    }
}
