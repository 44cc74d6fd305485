//! What readers see: the state as of one commit, which nothing changes any more. Reading it holds nobody up.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use slo::counts::{MinuteId, Sli, Tally};

use crate::cluster::Cluster;
use crate::counts::Counts;
use crate::discovery::Service;
use crate::figures::Figures;
use crate::specs::Specs;

/// The state as of one commit.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The counts, settled for `now`.
    pub counts: Counts,
    /// Which SLOs there are.
    pub specs: Arc<Specs>,
    /// The instant: everything before this minute counts.
    pub now: MinuteId,
    /// SLOs with an open alert.
    pub firing: BTreeSet<(Service, Sli)>,
    /// The books of the input.
    pub tally: Tally,
    /// What people should know beside the figures.
    pub warnings: Vec<String>,
    /// What the cluster says.
    pub cluster: Arc<Cluster>,
    /// When a state that was lost was full again.
    pub filled_at: Option<Timestamp>,
    /// Up to which minute (exclusive) was judged.
    pub judged_to: Option<MinuteId>,
}

impl Snapshot {
    /// Its figures.
    pub fn figures(&self) -> Figures<'_> {
        Figures { counts: &self.counts, specs: &self.specs, now: self.now, firing: &self.firing }
    }
}
