//! Sources: they find streams, read them from where every sink has them, and hand on batches with their spans.

pub mod chunk;
pub mod content;
pub mod cri;
pub mod discovery;
pub mod file;
pub mod glob;
pub mod kubernetes_logs;
pub mod lines;
pub mod stdin;
mod tail;
pub mod tails;

use std::time::Duration;

use settings::Table;

use crate::cluster::ClusterConfig;
use file::FileConfig;
use kubernetes_logs::KubernetesLogsConfig;
use stdin::StdinConfig;

/// Longest line unless configured: 1 MiB.
pub const DEFAULT_MAX_LINE_BYTES: usize = 1 << 20;

/// How often directories are walked unless configured.
pub const DEFAULT_SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// A source as it is configured, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// Plain log files.
    File(FileConfig),
    /// The logs of the pods on this node.
    KubernetesLogs(KubernetesLogsConfig),
    /// Standard input.
    Stdin(StdinConfig),
}

/// Where to begin in a file that lies there at the first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// At its first line.
    #[default]
    Beginning,
    /// Behind its last line.
    End,
}

/// What a source's streams are identified by besides their content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Identity of the machine.
    pub machine: String,
    /// The path rule: the source's name. All that it includes is one rule, so a file may move between its patterns.
    pub rule: String,
}

// === impl SourceConfig ===

impl SourceConfig {
    /// The values of `type`.
    pub const KINDS: &'static [&'static str] = &["file", "kubernetes_logs", "stdin"];

    /// Reads a source's own keys; mistakes go to the table's problems.
    pub fn prove(kind: &str, table: &mut Table<'_>) -> Option<Self> {
        match kind {
            "file" => Some(Self::File(FileConfig::prove(table))),
            "kubernetes_logs" => Some(Self::KubernetesLogs(KubernetesLogsConfig::prove(table))),
            "stdin" => Some(Self::Stdin(StdinConfig::prove(table))),
            _ => None,
        }
    }

    /// The cluster whose API server it wants to be asked.
    pub fn cluster(&self) -> Option<&ClusterConfig> {
        match self {
            Self::KubernetesLogs(config) => config.cluster.as_ref(),
            Self::File(_) | Self::Stdin(_) => None,
        }
    }

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::KubernetesLogs(_) => "kubernetes_logs",
            Self::Stdin(_) => "stdin",
        }
    }
}

// === impl ReadFrom ===

impl ReadFrom {
    fn prove(table: &mut Table<'_>) -> Self {
        match table.one_of("read_from", &["beginning", "end"], Some("beginning")) {
            Some("end") => Self::End,
            _ => Self::Beginning,
        }
    }
}

fn prove_max_line_bytes(table: &mut Table<'_>) -> usize {
    const ALLOWED: std::ops::RangeInclusive<u64> = 256..=64 << 20;
    let bytes = table.u64_or("max_line_bytes", DEFAULT_MAX_LINE_BYTES as u64);
    if !ALLOWED.contains(&bytes) {
        table.problem(
            "max_line_bytes",
            format!("{bytes} is not between {} and {}", ALLOWED.start(), ALLOWED.end()),
        );
    }
    usize::try_from(bytes).unwrap_or(DEFAULT_MAX_LINE_BYTES)
}

fn prove_interval(table: &mut Table<'_>, key: &str) -> Duration {
    let default = u64::try_from(DEFAULT_SCAN_INTERVAL.as_millis()).unwrap_or(1000);
    let millis = table.u64_or(key, default);
    if millis == 0 {
        table.problem(key, "must be at least 1 ms");
    }
    Duration::from_millis(millis.max(1))
}
