//! The spools of all sinks, opened before anything else: what they hold must not be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backlog::{Backlog, Parts};
use super::fan_out;
use crate::books::Ledger;
use crate::checkpoint::Checkpoints;
use crate::config::{Config, Name};
use crate::event::StreamId;
use crate::metrics::Metrics;
use crate::sink::{Buffer, WhenFull};
use crate::source::SourceConfig;
use crate::source::chunk::Positions;
use crate::spool::{Damaged, Quota, Spool, SpoolError};

/// The spools, by source and sink: each is written by one source.
#[derive(Default)]
pub(super) struct Spools(BTreeMap<(Name, Name), Opened>);

struct Opened {
    spool: Spool,
    quota: Quota,
    when_full: WhenFull,
    damaged: Vec<Damaged>,
}

impl Spools {
    /// Opens the spool of every sink that has one, in `data_dir/spool/<sink>/<source>`; `holds` is told the streams in them.
    pub(super) fn open(config: &Config, holds: impl FnOnce(&BTreeSet<StreamId>)) -> Result<Self, SpoolError> {
        let dir = config.data_dir.join("spool");
        let mut spools = BTreeMap::new();
        for (sink, buffer) in &config.buffers {
            let Buffer::Disk { max_bytes, when_full } = *buffer else { continue };
            let quota = Quota::new(max_bytes);
            for (source, kind) in &config.sources {
                // What is read once cannot be read again to be spooled.
                let rereads = !matches!(kind, SourceConfig::Stdin(_));
                if rereads && fan_out::reached(config, source).contains(sink) {
                    let (spool, damaged) = Spool::open(&dir.join(&**sink).join(&**source), quota.clone())?;
                    let opened = Opened { spool, quota: quota.clone(), when_full, damaged };
                    spools.insert((source.clone(), sink.clone()), opened);
                }
            }
        }
        let opened =
            |path: &PathBuf| spools.keys().any(|(source, sink)| *path == dir.join(&**sink).join(&**source));
        for path in entries(&dir).flat_map(|sink| entries(&sink)).filter(|path| !opened(path)) {
            if entries(&path).any(|file| file.extension().is_some_and(|extension| extension == "spool")) {
                tracing::warn!(path = %path.display(),
                    "there is a buffer on disk for a sink and a source that the configuration does not connect; connect them again, or delete it and lose what is in it");
            }
        }
        holds(&spools.values().flat_map(|opened| opened.spool.streams().cloned()).collect());
        Ok(Self(spools))
    }

    /// The backlogs of one source's sinks, by sink.
    pub(super) fn backlogs(
        &mut self,
        source: &Name,
        config: &Config,
        positions: &BTreeMap<Name, Positions>,
        ledgers: &BTreeMap<String, Ledger>,
        (metrics, checkpoints): (&Metrics, &Arc<Checkpoints>),
    ) -> BTreeMap<Name, Backlog> {
        let mut backlogs = BTreeMap::new();
        for (sink, _, kind) in &config.sinks {
            let Some(opened) = self.0.remove(&(source.clone(), sink.clone())) else { continue };
            let Opened { spool, quota, when_full, damaged } = opened;
            let parts = Parts {
                sink: sink.clone(),
                spool,
                quota,
                when_full,
                checkpoints: checkpoints.clone(),
                metrics: metrics.component(sink, "sink", kind.kind()),
                ledger: ledgers.get(&**sink).cloned().unwrap_or_default(),
            };
            let at = positions.get(sink).cloned().unwrap_or_default();
            backlogs.insert(sink.clone(), Backlog::new(parts, &at, &damaged));
        }
        backlogs
    }
}

/// What lies in a directory; nothing if it cannot be read.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}
