//! The driver of the export: looks what is to be written, sends it, and clears what was written; and deletes old days.
//! Whatever Elasticsearch does, neither counts nor pages wait for it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use search::{Client, Environment, Kind, day_of};
use slo::counts::MinuteId;
use telemetry::Stop;

use super::retention::{days_kept, expired};
use crate::config::Elasticsearch;
use crate::engine::export::Backlog;
use crate::engine::{Engine, EngineError};
use crate::metrics::ExportMetrics;

#[cfg(test)]
mod tests;
mod write;

/// How often old days are looked for.
const RETENTION_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// How often things happen.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at what is to be written; results are written at once.
    pub look: Duration,
    /// Between two writings of the counts: what an engine on an empty disk may lack of them.
    pub counts: Duration,
    /// The first pause after a failure; it is doubled up to `longest_pause`.
    pub pause: Duration,
    /// The longest pause after a failure.
    pub longest_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { look: seconds(10), counts: seconds(60), pause: seconds(1), longest_pause: seconds(60) }
    }
}

/// Writes to Elasticsearch what the engine has to say.
#[derive(Debug)]
pub struct Exporter {
    engine: Arc<Engine>,
    client: Client,
    environment: Environment,
    retention_days: u32,
    pace: Pace,
    stop: Stop,
    metrics: ExportMetrics,
    /// The templates are known to be there.
    bootstrapped: bool,
    pause: Duration,
    failing: bool,
    jitter: u64,
    counts_due: Option<Timestamp>,
    retention_due: Option<Timestamp>,
}

/// Why the exporter left off.
#[derive(Debug)]
enum Ended {
    /// It was asked to.
    Stopped,
    /// The engine failed.
    Engine(EngineError),
}

impl From<EngineError> for Ended {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Exporter {
    /// An exporter of an engine; nothing is sent yet.
    ///
    /// # Errors
    /// A certificate or a credential cannot be used.
    pub fn new(
        engine: Arc<Engine>,
        environment: Environment,
        config: &Elasticsearch,
        pace: Pace,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let jitter = environment.as_str().bytes().fold(0x9e37_79b9_7f4a_7c15, |seed: u64, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Ok(Self {
            metrics: engine.export_metrics(),
            engine,
            client: Client::new(&config.client)?,
            environment,
            retention_days: config.retention_days,
            pace,
            stop,
            bootstrapped: false,
            pause: pace.pause,
            failing: false,
            // A seed of 0 would stay 0.
            jitter: jitter | 1,
            counts_due: None,
            retention_due: None,
        })
    }

    /// Exports until it is stopped. What was sent and not cleared by then is sent again under the same ids.
    pub async fn run(mut self) {
        loop {
            match self.round().await {
                Ok(()) => {}
                Err(Ended::Stopped) => return,
                Err(Ended::Engine(error)) => {
                    tracing::error!(%error, "cannot read what is to be written to Elasticsearch; it is tried again");
                }
            }
            if self.sleep(self.pace.look).await.is_err() {
                return;
            }
        }
    }

    /// Everything that is due: first what dashboards show, then what another engine would need.
    async fn round(&mut self) -> Result<(), Ended> {
        self.bootstrap().await?;
        loop {
            let begun = now();
            self.delete_old_days(begun).await;
            self.look(begun).await?;
            let results = self.results(begun).await?;
            let counts = self.counts(begun).await?;
            if results && counts {
                return self.look(now()).await.map(drop);
            }
        }
    }

    /// Tells how much is to be written.
    async fn look(&mut self, now: Timestamp) -> Result<Backlog, Ended> {
        let backlog = self.engine.plan_export(&self.environment, now).await?;
        self.show(&backlog, now);
        Ok(backlog)
    }

    fn show(&self, backlog: &Backlog, now: Timestamp) {
        let age = |oldest: MinuteId| now.duration_since(oldest.start()).as_secs();
        self.metrics.pending(backlog, backlog.oldest.map_or(0, age));
    }

    /// Results, until all are written or it is time to look again; says whether all are.
    async fn results(&mut self, begun: Timestamp) -> Result<bool, Ended> {
        while let Some(slice) = self.engine.export_results(&self.environment).await? {
            self.write(&slice.documents).await?;
            self.engine.results_exported(&slice).await?;
            if self.is_over(begun) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts, where they are due; says whether all are written.
    async fn counts(&mut self, begun: Timestamp) -> Result<bool, Ended> {
        if self.counts_due.is_some_and(|due| begun < due) {
            return Ok(true);
        }
        while let Some(slice) = self.engine.export_counts(&self.environment, now()).await? {
            for step in &slice.steps {
                self.write(step).await?;
            }
            self.engine.counts_exported(&slice).await?;
            if slice.last {
                break;
            }
            if self.is_over(begun) {
                return Ok(false);
            }
        }
        self.counts_due = begun.checked_add(self.pace.counts).ok();
        Ok(true)
    }

    fn is_over(&self, begun: Timestamp) -> bool {
        now().duration_since(begun).unsigned_abs() >= self.pace.look
    }

    /// Deletes days that have had their time. A failure is told, and it is tried again an hour later.
    async fn delete_old_days(&mut self, now: Timestamp) {
        if self.retention_due.is_some_and(|due| now < due) {
            return;
        }
        self.retention_due = now.checked_add(RETENTION_EVERY).ok();
        for kind in Kind::ALL {
            if let Err(error) = self.delete_days_of(kind, now).await {
                tracing::warn!(%error, kind = kind.as_str(), "cannot delete old indices; it is tried again in an hour");
            }
        }
    }

    async fn delete_days_of(&self, kind: Kind, now: Timestamp) -> Result<(), search::SearchError> {
        let days = self.client.days(&kind.daily(&self.environment)).await?;
        for index in expired(days, day_of(now), days_kept(kind, self.retention_days)) {
            self.client.delete(&index).await?;
            self.metrics.deleted(kind);
            tracing::info!(%index, "deleted an index whose days are over");
        }
        Ok(())
    }

    async fn sleep(&self, length: Duration) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = self.stop.wait() => Err(Ended::Stopped),
            () = tokio::time::sleep(length) => Ok(()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver of the export")]
fn now() -> Timestamp {
    Timestamp::now()
}
