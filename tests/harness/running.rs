//! A program that runs until it is stopped or killed: the collector, the engine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

use crate::program::Program;

/// Longer than an orderly end takes, which gives sinks half a minute.
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// A running program; dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `program --config` or `program serve --config` … with variables of the environment; what it says goes to the
    /// end of `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start<A: AsRef<std::ffi::OsStr>>(
        program: &Program,
        arguments: &[A],
        environment: &[(&str, &str)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let out = File::options().append(true).create(true).open(log)?;
        let mut command = program.command(arguments);
        command.envs(environment.iter().copied()).stdout(out.try_clone()?).stderr(out).stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {program:?}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Ends it by SIGKILL after `delay`.
    ///
    /// # Errors
    /// It has ended by itself; with what it said.
    pub async fn kill_after(mut self, delay: Duration) -> anyhow::Result<()> {
        if let Ok(ended) = timeout(delay, self.child.wait()).await {
            return Err(self.ended_wrongly(&format!("it ended by itself: {}", ended?)));
        }
        Ok(self.child.kill().await?)
    }

    /// What it has said so far, in all its runs.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn said(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    /// Ends it in order, as Kubernetes does.
    ///
    /// # Errors
    /// It does not end, or not with success; with what it said.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let Some(id) = id else { return Err(self.ended_wrongly("it ended by itself")) };
        kill_process(id, Signal::TERM)?;
        let status = timeout(ENDS_WITHIN, self.child.wait()).await;
        let status = status.map_err(|_| self.ended_wrongly(&format!("no end within {ENDS_WITHIN:?}")))??;
        ensure!(status.success(), self.ended_wrongly(&status.to_string()));
        Ok(())
    }

    fn ended_wrongly(&self, how: &str) -> anyhow::Error {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(8000)..]).into_owned();
        anyhow::anyhow!("{how}; it said at last:\n{said}")
    }
}
