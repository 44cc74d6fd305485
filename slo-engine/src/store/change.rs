//! What an engine decides, as it is committed: in order, in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use alerts::{Incident, Intent};
use slo::counts::{ByteRange, MinuteId, Sli, StreamReport};
use slo::episode::Episodes;
use slo::ledger::Block;

use super::alerts as held;
use super::counts::{self, StoredCollector, StoredRow, StoredTally};
use super::exports::{self, Mark};
use super::{StoreError, Transaction, cluster, ledger, set_meta};
use crate::cluster::Cluster;
use crate::discovery::Service;

/// One thing that is to be committed.
#[derive(Clone, Debug)]
pub enum Change {
    /// What a collector says of itself.
    Collector(StoredCollector),
    /// The node of a collector was seen to be gone.
    GiveUp(String, MinuteId),
    /// What a collector says of a stream; its byte range and tally come by themselves.
    Stream(String, StreamReport),
    /// How old and how new the lines of a stream are, and nothing else of it.
    Widen(StreamReport),
    /// Tallies of a stream that take the place of others.
    Tallies(String, Vec<ByteRange>, Vec<StoredTally>),
    /// All rows of a minute of a stream.
    Rows(MinuteId, String, Vec<StoredRow>),
    /// What Elasticsearch lacks from now on.
    Marks(BTreeSet<Mark>),
    /// Minutes that the ledger has spoken of and that have changed.
    Amend(Vec<MinuteId>),
    /// All minutes from the first to before the second that the ledger has spoken of.
    AmendSaid(MinuteId, MinuteId),
    /// Minutes that were amended.
    Amended(Vec<MinuteId>),
    /// The next block of the ledger.
    Block(Block),
    /// Episodes of an SLO; nothing where they are over and its service is gone.
    Episodes(Service, Sli, Option<Episodes>),
    /// An incident.
    Incident(Incident),
    /// A message for the outbox.
    Intent(Intent),
    /// What the cluster said before, and says now.
    Cluster(Arc<Cluster>, Arc<Cluster>),
    /// A value of the `meta` table.
    Meta(&'static str, String),
}

/// Carries changes out.
pub async fn apply(tx: &mut Transaction, changes: &[Change]) -> Result<(), StoreError> {
    for change in changes {
        match change {
            Change::Collector(collector) => counts::put_collector(tx, collector).await?,
            Change::GiveUp(collector, at) => counts::give_up(tx, collector, *at).await?,
            Change::Stream(collector, report) => counts::put_stream(tx, collector, report).await?,
            Change::Widen(report) => counts::widen(tx, report).await?,
            Change::Tallies(stream, gone, news) => counts::put_tallies(tx, stream, gone, news).await?,
            Change::Rows(minute, stream, rows) => counts::put_rows(tx, *minute, stream, rows).await?,
            Change::Marks(marks) => exports::mark(tx, marks).await?,
            Change::Amend(minutes) => ledger::note_amendments(tx, minutes).await?,
            Change::AmendSaid(from, to) => ledger::note_said(tx, *from, *to).await?,
            Change::Amended(minutes) => ledger::amended(tx, minutes).await?,
            Change::Block(block) => ledger::append(tx, block).await?,
            Change::Episodes(service, sli, Some(episodes)) => {
                held::put_episodes(tx, service, *sli, episodes).await?;
            }
            Change::Episodes(service, sli, None) => held::forget_episodes(tx, service, *sli).await?,
            Change::Incident(incident) => held::put_incident(tx, incident).await?,
            Change::Intent(intent) => held::put_intent(tx, intent).await?,
            Change::Cluster(before, now) => drop(cluster::put(tx, before, now).await?),
            Change::Meta(key, value) => set_meta(tx, key, value).await?,
        }
    }
    Ok(())
}
