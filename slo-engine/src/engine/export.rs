//! What of the engine's state is to be written to Elasticsearch, slice by slice, so that nobody waits for long.

use jiff::Timestamp;
use search::Environment;
use slo::counts::MinuteId;
use slo::window::Span;

use super::{Engine, EngineError};
use crate::counts::KEEP_UNMEASURED_MINUTES;
use crate::export::document::{CountDocument, Document, TallyDocument};
use crate::export::results::{firing_at, results};
use crate::figures::Figures;
use crate::metrics::ExportMetrics;
use crate::store::counts as rows;
use crate::store::exports::{self, Mark, Marked, Progress};
use crate::store::{self, StoreError, Transaction, alerts as store_alerts};

/// Marks that a slice of counts takes: some milliseconds of the store's only connection.
const SLICE_MARKS: i64 = 100;

/// Minutes that a slice of results takes; the state is locked for one at a time.
const SLICE_MINUTES: i64 = 20;

/// How far ahead of now rows are written: a line may claim any time, and each day is an index.
const AHEAD_MINUTES: i64 = 60;

/// How much is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Minutes of streams, streams and collectors.
    pub counts: u64,
    /// Minutes of results.
    pub minutes: u64,
    /// The oldest minute among them.
    pub oldest: Option<MinuteId>,
}

/// A part of the counts. Each step may be sent when the one before it is written: a tally vouches for rows, a collector's
/// watermark for everything.
#[derive(Debug)]
pub struct CountSlice {
    /// Rows, then streams and tallies, then collectors.
    pub steps: [Vec<Document>; 3],
    /// Nothing else was marked when this was read.
    pub last: bool,
    marks: Vec<Marked>,
}

/// The results of some minutes.
#[derive(Debug)]
pub struct ResultSlice {
    /// The documents.
    pub documents: Vec<Document>,
    /// Of which minutes.
    pub span: Span,
}

impl Engine {
    /// Metrics of the export.
    pub fn export_metrics(&self) -> ExportMetrics {
        self.metrics.export.clone()
    }

    /// Nothing is exported any more: whoever exports again begins anew.
    pub async fn forget_export(&self) -> Result<(), EngineError> {
        let mut tx = self.store.begin().await?;
        exports::forget(&mut tx).await?;
        Ok(store::commit(tx).await?)
    }

    /// Looks what is to be written at `now` for an environment; for another one than before, that is everything.
    pub async fn plan_export(
        &self,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Backlog, EngineError> {
        let snapshot = self.snapshot();
        let (judged_to, first) = (snapshot.judged_to, snapshot.counts.first_expected());
        let minute = MinuteId::of_timestamp(now);
        let from = minute.plus(-KEEP_UNMEASURED_MINUTES);
        let mut tx = self.store.begin().await?;
        let mut progress = match exports::progress(&mut tx).await? {
            Some(progress) if progress.environment == environment.as_str() => progress,
            _ => {
                exports::mark_all(&mut tx, from).await?;
                Progress { environment: environment.as_str().to_owned(), ..Progress::default() }
            }
        };
        exports::forget_before(&mut tx, from).await?;
        // Collectors have a minute after its end to say that they have read it.
        let closed = judged_to.map(|judged| judged.plus(-1).min(minute).plus(-1));
        if let Some((closed, first)) = closed.zip(first) {
            let changed = exports::take_results(&mut tx, closed).await?;
            progress.add(changed, first.max(from), closed);
        }
        exports::set_progress(&mut tx, &progress).await?;
        let backlog = backlog(&mut tx, &progress, minute).await?;
        store::commit(tx).await?;
        Ok(backlog)
    }

    /// How much is to be written by the last plan. It takes no mark: one that came after a slice was made must be there when
    /// the slice was written.
    pub async fn export_backlog(&self, now: Timestamp) -> Result<Backlog, EngineError> {
        let mut tx = self.store.read().await?;
        let progress = exports::progress(&mut tx).await?.unwrap_or_default();
        Ok(backlog(&mut tx, &progress, MinuteId::of_timestamp(now)).await?)
    }

    /// The next part of the counts, as of one instant; nothing when none is marked.
    pub async fn export_counts(
        &self,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Option<CountSlice>, EngineError> {
        let end = MinuteId::of_timestamp(now).plus(AHEAD_MINUTES);
        let mut tx = self.store.read().await?;
        let row_marks = exports::row_marks(&mut tx, end, SLICE_MARKS).await?;
        let row_documents = exports::marked_rows(&mut tx, &row_marks).await?;
        let last_row = row_marks.last().map(|(mark, _)| mark);
        // Invariant: what is known of a stream is written only when no row of it is missing, so that a collector that goes
        // on behind a tally leaves no request out.
        let stream_marks = exports::stream_marks(&mut tx, last_row, end, SLICE_MARKS).await?;
        let last = (row_marks.len() as i64) < SLICE_MARKS && (stream_marks.len() as i64) < SLICE_MARKS;
        let collector_marks = if last { exports::collector_marks(&mut tx).await? } else { Vec::new() };
        let streams = stream_documents(&mut tx, &stream_marks).await?;
        let collectors = collector_documents(&mut tx, &collector_marks).await?;
        drop(tx);
        let rows = row_documents.into_iter().map(|row| CountDocument::Row(row.into())).collect();
        let write = |documents: Vec<CountDocument>| {
            documents.iter().map(|document| document.write(environment, now)).collect()
        };
        let marks: Vec<Marked> = [row_marks, stream_marks, collector_marks].concat();
        let steps = [rows, streams, collectors].map(write);
        Ok((!marks.is_empty()).then_some(CountSlice { steps, last, marks }))
    }

    /// A part of the counts was written: what of it has not changed since is done.
    pub async fn counts_exported(&self, slice: &CountSlice) -> Result<(), EngineError> {
        let mut tx = self.store.begin().await?;
        exports::unmark(&mut tx, &slice.marks).await?;
        Ok(store::commit(tx).await?)
    }

    /// Results of the newest minutes whose results are to be written; nothing when there are none.
    pub async fn export_results(
        &self,
        environment: &Environment,
    ) -> Result<Option<ResultSlice>, EngineError> {
        let mut tx = self.store.read().await?;
        let progress = exports::progress(&mut tx).await?.unwrap_or_default();
        let Some(span) = progress.open.newest(SLICE_MINUTES) else { return Ok(None) };
        let incidents = store_alerts::incidents_since(&mut tx, span.from.start()).await?;
        drop(tx);
        let snapshot = self.snapshot();
        let mut documents = Vec::new();
        for minute in span.from.0..span.to.0 {
            let now = MinuteId(minute).plus(1);
            let firing = firing_at(&incidents, now.start());
            let figures = Figures { now, firing: &firing, ..snapshot.figures() };
            documents.extend(results(&figures, environment));
        }
        Ok(Some(ResultSlice { documents, span }))
    }

    /// The results of some minutes were written. Those that changed meanwhile are marked and come again.
    pub async fn results_exported(&self, slice: &ResultSlice) -> Result<(), EngineError> {
        let mut tx = self.store.begin().await?;
        let mut progress = exports::progress(&mut tx).await?.unwrap_or_default();
        progress.open.remove(slice.span.from, slice.span.to);
        exports::set_progress(&mut tx, &progress).await?;
        Ok(store::commit(tx).await?)
    }
}

async fn backlog(tx: &mut Transaction, progress: &Progress, minute: MinuteId) -> Result<Backlog, StoreError> {
    let (counts, oldest) = exports::count(tx, minute.plus(AHEAD_MINUTES)).await?;
    let oldest = oldest.into_iter().chain(progress.open.first()).min();
    Ok(Backlog { counts, minutes: progress.open.minutes(), oldest })
}

impl Progress {
    /// Minutes were closed up to `closed`, and what was counted changed in some of them: every minute whose windows hold
    /// one of these is to be written.
    fn add(&mut self, changed: Vec<MinuteId>, from: MinuteId, closed: MinuteId) {
        for minute in changed {
            self.open.add(minute.max(from), minute.plus(KEEP_UNMEASURED_MINUTES).min(closed));
        }
        self.open.add(self.to.unwrap_or(from).max(from), closed);
        self.open.remove(MinuteId(i64::MIN), from);
        self.to = self.to.max(Some(closed));
    }
}

async fn stream_documents(tx: &mut Transaction, marks: &[Marked]) -> Result<Vec<CountDocument>, StoreError> {
    let mut documents = Vec::new();
    for (mark, _) in marks {
        let Mark::Stream(name) = mark else { continue };
        documents.extend(rows::stream(tx, name).await?.map(CountDocument::Stream));
        let tallies = rows::tallies(tx, name).await?;
        documents
            .extend(tallies.into_iter().map(|tally| CountDocument::Tally(TallyDocument::new(name, tally))));
    }
    Ok(documents)
}

async fn collector_documents(
    tx: &mut Transaction,
    marks: &[Marked],
) -> Result<Vec<CountDocument>, StoreError> {
    let mut documents = Vec::new();
    for (mark, _) in marks {
        let Mark::Collector(name) = mark else { continue };
        documents.extend(rows::collector(tx, name).await?.map(CountDocument::Collector));
    }
    Ok(documents)
}
