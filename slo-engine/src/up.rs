//! `up`: collector and engine in one process, on embedded defaults. The same collector and the same engine as in
//! production, with counts handed over in process and the clock of the events.

mod logs;
mod progress;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
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

/// What `up` is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Logs to read; the recorded ones that come with the sources where none are named.
    pub(crate) logs: Vec<PathBuf>,
    /// Where state, archive and dead letters lie; those of the recorded logs lie in its folder `recorded`.
    pub(crate) data_dir: PathBuf,
    /// Address of the page and the API; nothing is served without one.
    pub(crate) listen: Option<SocketAddr>,
}

impl Wanted {
    /// The recorded logs have a state of their own, so that they never stand beside the services of your logs.
    fn state_dir(&self) -> PathBuf {
        if self.logs.is_empty() { self.data_dir.join("recorded") } else { self.data_dir.clone() }
    }
}

/// Everything that runs in `up`.
pub(crate) struct Run {
    collector: Collector,
    /// What the collector reads into.
    pub(crate) read: Read,
}

/// What was read, and the engine that judges it.
pub(crate) struct Read {
    app: App,
    formats: Arc<FormatsSeen>,
}

impl Run {
    /// Starts the engine in event time, and the collector over the logs.
    pub(crate) async fn start(wanted: &Wanted) -> Result<Self, Failure> {
        let sources = logs::sources(&wanted.logs)?;
        let data_dir = wanted.state_dir();
        std::fs::create_dir_all(&data_dir)
            .with_context(|| format!("cannot make the data directory {}", data_dir.display()))?;
        let listen = wanted.listen.map_or_else(|| ANY_PORT.to_owned(), |listen| listen.to_string());
        let config = engine_config(&data_dir, &listen).map_err(Failure::refused)?;
        let registry = Registry::new();
        let mut app = App::open(config, Clock::Event, &registry).await?;
        if let Some(listen) = wanted.listen {
            app.listen(listen, Front::default(), registry.clone()).await?;
        }
        let formats = Arc::new(FormatsSeen::default());
        let options = Options {
            counts: Some(Arc::new(InProcess(app.engine.clone()))),
            registry,
            formats: formats.clone(),
        };
        let config = logs::collector_config(&data_dir, &sources).map_err(Failure::refused)?;
        let collector = Collector::start(config, options).await?;
        Ok(Self { collector, read: Read { app, formats } })
    }

    /// Waits until the collector has read everything, with a progress bar on a terminal.
    pub(crate) async fn caught_up(&self) -> anyhow::Result<()> {
        progress::until_caught_up(&self.collector).await
    }

    /// Ends the collector, and proves that no line went astray.
    pub(crate) async fn drain(self) -> anyhow::Result<Read> {
        self.collector.drain().await?.check()?;
        Ok(self.read)
    }

    /// Follows the files for ever, and judges what they say.
    pub(crate) async fn follow(&self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(FOLLOW_EVERY).await;
            self.collector.caught_up().await?;
            self.read.settle().await?;
        }
    }
}

impl Read {
    /// Judges everything that was read, and sends what that decided.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        if let Some(now) = self.app.engine.catch_up(now()).await? {
            self.app.dispatcher.drain_once(now).await?;
        }
        Ok(())
    }

    /// The engine that judges.
    pub(crate) fn engine(&self) -> &Engine {
        &self.app.engine
    }

    /// Where the page is, if it is served.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.app.addr()
    }

    /// Which formats were found, in one line.
    pub(crate) fn formats(&self) -> String {
        logs::formats(&self.formats)
    }

    /// Stops the engine.
    pub(crate) async fn stop(self) {
        self.app.stop().await;
    }
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
        EngineError::Filling
        | EngineError::Stopped
        | EngineError::NotCommitted(_)
        | EngineError::Store(_) => SendError::Retry { after: None, reason },
    }
}
