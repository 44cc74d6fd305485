//! `slo-engine` as a child process: started as a user starts it, waited for, or killed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, timeout};

/// Longer than any run takes on a slow machine: a program that hangs fails its test by name.
const HANGS_AFTER: Duration = Duration::from_secs(200);

/// A program.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it told people meanwhile.
    pub stderr: String,
}

/// How a run that was to be killed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// By the kill.
    Struck,
    /// By itself, before that.
    CameTooLate,
}

impl Program {
    /// The program at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Runs it with `arguments` to its end.
    ///
    /// # Errors
    /// It cannot be started, hangs, or prints what is not UTF-8.
    pub async fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> anyhow::Result<Ended> {
        let output = timeout(HANGS_AFTER, self.command(arguments).output())
            .await
            .with_context(|| format!("{} hangs: no end after {HANGS_AFTER:?}", self.0.display()))??;
        Ok(Ended {
            status: output.status,
            stdout: String::from_utf8(output.stdout).context("stdout is not UTF-8")?,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// `up --once --output json` over `logs`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn up<P: AsRef<Path>>(&self, data_dir: &Path, logs: &[P]) -> anyhow::Result<Ended> {
        self.run(&up(data_dir, logs)).await
    }

    /// The same, killed by SIGKILL after `delay`.
    ///
    /// # Errors
    /// It cannot be started or killed, or fails by itself.
    pub async fn up_killed<P: AsRef<Path>>(
        &self,
        data_dir: &Path,
        logs: &[P],
        delay: Duration,
    ) -> anyhow::Result<Kill> {
        let mut command = self.command(&up(data_dir, logs));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        if let Ok(ended) = timeout(delay, child.wait()).await {
            let status = ended?;
            ensure!(status.success(), "the run that was to be killed failed by itself: {status}");
            return Ok(Kill::CameTooLate);
        }
        child.kill().await.context("cannot kill the child")?;
        Ok(Kill::Struck)
    }

    /// It with `arguments`, to be started otherwise; it ends with its handle.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(&self.0);
        // The caller's own filters must not hide what tests read on stderr.
        command.args(arguments).env_remove("HEADROOM_LOG").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl Ended {
    /// What a run printed that succeeded.
    ///
    /// # Errors
    /// It failed; with what it said.
    pub fn success(self) -> anyhow::Result<String> {
        ensure!(self.status.success(), "{}, stderr:\n{}", self.status, self.stderr);
        Ok(self.stdout)
    }

    /// The one JSON document that a run printed that succeeded.
    ///
    /// # Errors
    /// It failed, or printed something else, or more.
    pub fn json(self) -> anyhow::Result<Value> {
        let stdout = self.success()?;
        serde_json::from_str(&stdout).with_context(|| format!("stdout is not one JSON document: {stdout:?}"))
    }
}

fn up<P: AsRef<Path>>(data_dir: &Path, logs: &[P]) -> Vec<PathBuf> {
    let mut arguments: Vec<PathBuf> =
        ["up", "--once", "--output", "json", "--data-dir"].iter().map(PathBuf::from).collect();
    arguments.push(data_dir.to_owned());
    for path in logs {
        arguments.extend([PathBuf::from("--logs"), path.as_ref().to_owned()]);
    }
    arguments
}

/// Waits until `holds` says so, at most half a minute: for what happens in another process.
///
/// # Errors
/// It never did, or `holds` failed.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    within(Duration::from_secs(30), what, holds).await
}

/// The same, at most `limit`.
///
/// # Errors
/// It never did, or `holds` failed.
pub async fn within(
    limit: Duration,
    what: &str,
    holds: impl AsyncFn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    // A look that takes long does not make the next ones come faster.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            looks.tick().await;
            if holds().await? {
                return anyhow::Ok(());
            }
        }
    };
    timeout(limit, looking).await.with_context(|| format!("never within {limit:?}: {what}"))?
}
