//! A server as a process group: it never outlives the test, and what it said is kept.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{STARTS_WITHIN, folder, script};
use crate::program::within;

/// A running server. Dropped, it is killed; if the test itself is killed, it ends too.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it says goes to the end of a file of its own.
    pub(super) fn start(name: &str, command: &Command) -> anyhow::Result<Self> {
        let log = folder()?.join(format!("{name}.log"));
        let out = File::options().append(true).create(true).open(&log)?;
        let mut wrapped = Command::new(script("run.sh"));
        wrapped.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            value.map(|value| wrapped.env(key, value));
        }
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        // The pipe is never written to: it closes when this process ends, in whatever way.
        wrapped.stdin(Stdio::piped()).stdout(out.try_clone()?).stderr(out).process_group(0);
        let child = wrapped.spawn().with_context(|| format!("cannot start {name}"))?;
        eprintln!("{name} says what it does in {}", log.display());
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until `answers` says so.
    pub(super) async fn answers(&mut self, answers: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let Self { name, child, log } = self;
        let child = std::sync::Mutex::new(child);
        let looks = async || {
            if let Some(status) = child.lock().ok().and_then(|mut child| child.try_wait().ok().flatten()) {
                bail!("{name} ended ({status}), having said:\n{}", last_lines(log));
            }
            Ok(answers().await)
        };
        let answered = within(STARTS_WITHIN, &format!("{name} answers"), looks).await;
        answered.with_context(|| format!("{name} said:\n{}", last_lines(log)))
    }

    /// Asks it to end, and waits until it did.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let child = std::sync::Mutex::new(&mut self.child);
        let ended = async || Ok(child.lock().is_ok_and(|mut child| matches!(child.try_wait(), Ok(Some(_)))));
        within(Duration::from_secs(60), &format!("{} ends", self.name), ended).await
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let group = Pid::from_raw(self.child.id().cast_signed()).context("a child has an id")?;
        Ok(kill_process_group(group, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
