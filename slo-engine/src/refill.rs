//! An engine on an empty disk is filled again: from what an engine wrote to Elasticsearch, and from the archive, whose
//! lines are judged as the collector judged them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use collector::transform::sli::SliConfig;
use jiff::Timestamp;
use search::{Client, ClientConfig, Environment};
use telemetry::Readiness;

use crate::config::{ArchiveConfig, Config, RefillConfig};
use crate::engine::{Engine, Filled};

mod archive;
mod elasticsearch;
#[cfg(test)]
mod tests;

/// How far back minutes count: the longest window of 31 days, and a day to spare.
const COUNTS_HOURS: i64 = 32 * 24;

/// How often Elasticsearch is tried where there is an archive: half a minute.
const TRIES: u32 = 5;

/// Name of the condition under which the engine is ready.
const REFILLED: &str = "refilled";

/// Where counts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// What an engine wrote to Elasticsearch.
    Elasticsearch,
    /// The collectors' archive.
    Archive,
}

/// What is needed to fill a state.
#[derive(Clone, Debug)]
pub struct Refill {
    config: RefillConfig,
    environment: Environment,
    elasticsearch: Option<ClientConfig>,
    archive: Option<ArchiveConfig>,
}

impl Refill {
    /// From what `config` names.
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.refill.clone(),
            environment: config.environment.clone(),
            elasticsearch: config.elasticsearch.as_ref().map(|elasticsearch| elasticsearch.client.clone()),
            archive: config.archive.clone(),
        }
    }

    /// Whether the engine's state is to be filled. Then it is begun: collectors wait until [`run`](Self::run) says so.
    pub async fn begin(&self, engine: &Engine, readiness: &Readiness) -> anyhow::Result<bool> {
        if !engine.is_to_be_filled().await? {
            return Ok(false);
        }
        if self.archive.is_none() && self.elasticsearch.is_none() {
            tracing::warn!(
                "the state is empty and neither `elasticsearch` nor `archive` is configured: budgets begin with what the collectors \
                 still have in their files; what was counted before is not known"
            );
            return Ok(false);
        }
        engine.begin_filling().await?;
        readiness.not_ready(REFILLED, "the state is being filled again");
        Ok(true)
    }

    /// Fills the state, however long it takes; whoever waits for it does so for the configured time at most.
    pub async fn run(self, engine: Arc<Engine>, readiness: Readiness) {
        let work = self.fill(&engine);
        tokio::pin!(work);
        if tokio::time::timeout(self.config.within, &mut work).await.is_err() {
            tracing::warn!(
                within = ?self.config.within,
                "the state is not full yet; judging, paging and collectors go on, what is still to come is amended"
            );
            readiness.ready(REFILLED);
            engine.stop_waiting();
            work.await;
        }
        readiness.ready(REFILLED);
    }

    /// Fills the state of an engine that judges nothing meanwhile.
    pub(crate) async fn by_hand(&self, engine: &Engine, from: From) -> anyhow::Result<Filled> {
        let filled = self.take(engine, from).await?;
        engine.end_filling(now()).await.context("cannot note that the state is full")?;
        Ok(filled)
    }

    async fn fill(&self, engine: &Engine) {
        if self.elasticsearch.is_some() {
            // Whoever has an archive does not wait long for Elasticsearch.
            let tries = if self.archive.is_some() { TRIES } else { u32::MAX };
            self.insist(engine, From::Elasticsearch, tries).await;
        }
        if self.archive.is_some() {
            self.insist(engine, From::Archive, u32::MAX).await;
        }
        if let Err(error) = engine.end_filling(now()).await {
            tracing::error!(%error, "cannot note that the state is full; the next start looks again");
            engine.stop_waiting();
        }
    }

    /// Tries until it works, or often enough.
    async fn insist(&self, engine: &Engine, from: From, tries: u32) {
        let mut pause = Duration::from_secs(1);
        for _ in 0..tries {
            match self.take(engine, from).await {
                Ok(Filled { rows, lines }) => {
                    tracing::info!(?from, rows, lines, "the state was filled");
                    return;
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(?from, error, "cannot fill the state; trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
        }
        tracing::error!(?from, "the state cannot be filled from there");
    }

    async fn take(&self, engine: &Engine, from: From) -> anyhow::Result<Filled> {
        match from {
            From::Elasticsearch => self.take_from_elasticsearch(engine).await,
            From::Archive => {
                let archive = self.archive.as_ref().context("the configuration has no `archive`")?;
                from_archive(engine, archive, &self.config.sli, since_ns()).await
            }
        }
    }

    async fn take_from_elasticsearch(&self, engine: &Engine) -> anyhow::Result<Filled> {
        let config = self.elasticsearch.as_ref().context("the configuration has no `elasticsearch`")?;
        let client = Client::new(config)?;
        let source =
            elasticsearch::Source { client: &client, environment: &self.environment, since: since() };
        let taken = elasticsearch::fill(engine, &source).await?;
        if taken.torn > 0 {
            tracing::warn!(
                streams = taken.torn,
                "not all of these streams was written to Elasticsearch; they come from the archive or the collectors"
            );
        }
        Ok(taken.filled)
    }
}

/// Counts what an archive holds and the engine has not counted: lines that may be newer than `since_ns` (nanoseconds since
/// 1970), judged by `rules`. What was counted stays so, and the same call again goes on.
///
/// # Errors
/// The archive or the engine's store fails.
pub async fn from_archive(
    engine: &Engine,
    archive: &ArchiveConfig,
    rules: &SliConfig,
    since_ns: i64,
) -> anyhow::Result<Filled> {
    archive::fill(engine, archive, rules, since_ns).await
}

/// The first instant that still counts.
fn since() -> Timestamp {
    now() - jiff::SignedDuration::from_hours(COUNTS_HOURS)
}

/// The same in nanoseconds since 1970.
fn since_ns() -> i64 {
    i64::try_from(since().as_nanosecond()).unwrap_or(i64::MIN)
}

#[expect(clippy::disallowed_methods, reason = "the driver of a refill knows how old counts may be")]
fn now() -> Timestamp {
    Timestamp::now()
}
