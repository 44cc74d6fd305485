//! A running engine takes a changed configuration: when its file changes, or when it is asked to. A file with mistakes
//! changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus::{IntCounter, IntGauge, Registry};
use telemetry::register;

use crate::app::App;
use crate::config::{Config, fingerprint};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long a file that changed must stay the same: whoever writes it may not be done.
const SETTLES_WITHIN: Duration = Duration::from_secs(1);

/// Looks up a variable of the environment.
type Lookup = fn(&str) -> Option<String>;

/// Takes what a configuration file says into a running engine.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    env: Lookup,
    /// What was taken or refused last.
    seen: u64,
    failed: IntGauge,
    reloads: IntCounter,
}

impl Reloader {
    /// Of the file that the engine was started with.
    ///
    /// # Errors
    /// The metrics are there already.
    pub fn new(path: &Path, env: Lookup, registry: &Registry) -> Result<Self, prometheus::Error> {
        let failed = IntGauge::new(
            "headroom_config_reload_failed",
            "1 while the configuration file is one that was refused, and an older one holds.",
        );
        let reloads = IntCounter::new(
            "headroom_config_reloads_total",
            "Configurations that were taken without a restart.",
        );
        Ok(Self {
            path: path.to_owned(),
            env,
            seen: fingerprint(path, &env),
            failed: register(registry, failed)?,
            reloads: register(registry, reloads)?,
        })
    }

    /// Waits until the file, or one that it names, says something else for a while. May be given up at any time.
    pub async fn changed(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let mut found = fingerprint(&self.path, &self.env);
            while found != self.seen {
                tokio::time::sleep(SETTLES_WITHIN).await;
                let again = fingerprint(&self.path, &self.env);
                if again == found {
                    return;
                }
                found = again;
            }
        }
    }

    /// Takes what the file says now; what is wrong with it is told once, and changes nothing.
    pub async fn reload(&mut self, app: &App) {
        // Looked at before it is read: what changes meanwhile is seen the next time.
        self.seen = fingerprint(&self.path, &self.env);
        let taken = match Config::load(&self.path, &self.env) {
            Ok(config) => app.reload(config).await.map_err(|error| format!("{error:#}")),
            Err(problems) => Err(problems.to_string()),
        };
        self.failed.set(i64::from(taken.is_err()));
        match taken {
            Ok(need_restart) => {
                self.reloads.inc();
                let file = self.path.display();
                if need_restart.is_empty() {
                    tracing::info!(%file, "the configuration was taken");
                } else {
                    let keys = need_restart.join(", ");
                    tracing::warn!(%file, keys, "the configuration was taken; these keys need a restart");
                }
            }
            Err(problems) => {
                tracing::error!(
                    file = %self.path.display(),
                    problems,
                    "the configuration was refused; the one before holds"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
