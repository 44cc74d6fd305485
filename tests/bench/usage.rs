//! What a process has used: time on the clock, time on processors, and memory at its peak.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Ticks of `/proc/<pid>/stat` in a second: a constant of the interface on Linux.
const TICKS: f64 = 100.0;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// From its start to the last line.
    pub(crate) wall: Duration,
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory that it held, in MiB.
    pub(crate) peak_mib: f64,
}

/// A clock that runs since a process was started.
pub(crate) struct Watch(Instant);

impl Watch {
    /// Starts it.
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// What the process has used so far.
    pub(crate) fn of(&self, pid: u32) -> anyhow::Result<Usage> {
        let wall = self.0.elapsed();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("cannot read its times")?;
        // Behind the name, which may hold anything, the fields are numbers: the 14th and 15th of all are times.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at - 3).and_then(|field| field.parse::<f64>().ok());
        let ticks = ticks(14).zip(ticks(15)).context("its times are no numbers")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("cannot read its memory")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak is told")?;
        let kib: f64 = peak.trim().trim_end_matches(" kB").parse().context("its memory is no number")?;
        Ok(Usage { wall, cpu: Duration::from_secs_f64((ticks.0 + ticks.1) / TICKS), peak_mib: kib / 1024.0 })
    }
}
