//! The core as the store holds it.

use std::collections::BTreeSet;
use std::sync::Arc;

use alerts::{Escalations, Policies};
use jiff::Timestamp;
use slo::counts::MinuteId;

use super::core::{self, Core};
use super::{Caps, Clock, EngineError};
use crate::cluster::{Cluster, Name};
use crate::counts::Counts;
use crate::specs::Specs;
use crate::store::alerts as store_alerts;
use crate::store::{self, StoreError, Transaction, cluster as store_cluster, counts as rows, ledger};

/// Hours that lie unpacked at most while the store is read.
const HOURS_UNPACKED: i64 = 6;

/// What is known before the store is read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) specs: Specs,
    pub(super) services: BTreeSet<Name>,
    pub(super) clock: Clock,
    pub(super) exports: bool,
    pub(super) caps: Caps,
}

/// Makes the core anew.
pub(super) async fn core(
    tx: &mut Transaction,
    known: Known,
    policies: Policies,
) -> Result<Core, EngineError> {
    let Known { specs: documents, services, clock, exports, caps } = known;
    let cluster = Arc::new(store_cluster::cluster(tx).await?);
    let specs = Arc::new(documents.annotated(&cluster));
    let counts = counts(tx, &specs, &services, &cluster, clock).await?;
    let episodes = store_alerts::episodes(tx).await?;
    Ok(Core {
        counts,
        specs,
        documents,
        services,
        cluster,
        warnings: Vec::new(),
        clock,
        caps,
        stale: false,
        judged_to: minute(tx, core::JUDGED_TO).await?,
        listening_since: None,
        episodes: episodes.into_iter().map(|(service, sli, state)| ((service, sli), state)).collect(),
        escalations: Escalations::restore(policies.clone(), store_alerts::incidents(tx).await?),
        policies,
        filled_at: filled_at(tx).await?,
        ledger_to: minute(tx, ledger::LEDGER_TO).await?,
        tip: ledger::tip(tx).await?,
        tally: rows::tally(tx).await?,
        exports,
        notes: std::collections::BTreeMap::new(),
        unauthorized: None,
        overflown: None,
    })
}

/// Makes the counts anew.
pub(super) async fn counts(
    tx: &mut Transaction,
    specs: &Specs,
    services: &BTreeSet<Name>,
    cluster: &Arc<Cluster>,
    clock: Clock,
) -> Result<Counts, StoreError> {
    let mut known = core::known(services, cluster);
    known.namespaces.extend(rows::namespaces(tx).await?);
    // Names decide what other names mean, so all are learned before the first row counts.
    let minutes = rows::minutes_with_rows(tx).await?;
    rows::all_cells(tx, |block| block.series.keys().for_each(|key| known.learn(&key.service))).await?;
    for minute in &minutes {
        let rows = rows::rows_between(tx, *minute, minute.plus(1)).await?;
        rows.iter().for_each(|row| known.learn(&row.row.key.service));
    }
    let mut counts = Counts::new(known, clock == Clock::Event);
    for (stream, collector) in rows::owners(tx).await? {
        counts.sends(&collector, &stream);
    }
    for collector in rows::all_collectors(tx).await? {
        counts.put_collector(&collector);
    }
    rows::all_cells(tx, |block| {
        let hour = block.hour;
        counts.add_cells(block, specs);
        // Packed on the way, so that a start takes little more memory than what runs.
        if hour % HOURS_UNPACKED == 0 {
            counts.pack_to(hour);
        }
    })
    .await?;
    for minute in minutes.into_iter().filter(|minute| core::is_believed(*minute)) {
        for stored in rows::rows_between(tx, minute, minute.plus(1)).await? {
            let key = stored.row.key.clone();
            counts.change(&key, &[], &[stored], specs);
        }
    }
    counts.expect(cluster.clone());
    // What was forgotten in part is not taken for a whole.
    if let Some(kept) = minute(tx, core::KEPT_FROM).await? {
        counts.forget(kept, &[], &[]);
    }
    Ok(counts)
}

async fn minute(tx: &mut Transaction, key: &str) -> Result<Option<MinuteId>, StoreError> {
    Ok(store::meta_number(tx, key).await?.map(MinuteId))
}

/// When filling ended, if it was ever begun.
async fn filled_at(tx: &mut Transaction) -> Result<Option<Timestamp>, StoreError> {
    let ms = store::meta_number(tx, store::FILLED_MS).await?;
    Ok(ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
}
