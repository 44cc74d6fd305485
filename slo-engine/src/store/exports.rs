//! Marks of what Elasticsearch lacks or has in an older form, and how far results have been written.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use slo::counts::MinuteId;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::counts::StoredRow;
use super::{StoreError, Transaction, counts, doing, meta, reading, set_meta};
use crate::export::spans::Spans;

/// Key of [`Progress`] in the meta table.
const PROGRESS: &str = "export";

/// Marks a statement: each takes three of the values that a statement may have.
const MARKS_A_STATEMENT: usize = 500;

/// What is marked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A stream's rows of a minute.
    Rows(MinuteId, String),
    /// A stream and its tallies.
    Stream(String),
    /// A collector.
    Collector(String),
    /// The results of a minute, and those after it whose windows hold it.
    Results(MinuteId),
}

/// A mark, and how often what it is about has changed.
pub type Marked = (Mark, i64);

/// How far results have been written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Environment that they were written for.
    pub environment: String,
    /// Before this minute, all were written or are among `open`.
    pub to: Option<MinuteId>,
    /// Minutes whose results are to be written, anew or for the first time.
    pub open: Spans,
}

impl Mark {
    fn columns(&self) -> (&'static str, i64, &str) {
        match self {
            Self::Rows(minute, stream) => ("rows", minute.0, stream),
            Self::Stream(stream) => ("stream", 0, stream),
            Self::Collector(collector) => ("collector", 0, collector),
            Self::Results(minute) => ("results", minute.0, ""),
        }
    }
}

/// Marks, or marks anew.
pub async fn mark(tx: &mut Transaction, marks: &BTreeSet<Mark>) -> Result<(), StoreError> {
    let marks: Vec<&Mark> = marks.iter().collect();
    for marks in marks.chunks(MARKS_A_STATEMENT) {
        let mut query =
            QueryBuilder::<Sqlite>::new("INSERT INTO export_marks (kind, minute, name, generation) ");
        query.push_values(marks, |mut values, mark| {
            let (kind, minute, name) = mark.columns();
            values.push_bind(kind).push_bind(minute).push_bind(name.to_owned()).push_bind(1_i64);
        });
        query
            .push(" ON CONFLICT (kind, minute, name) DO UPDATE SET generation = export_marks.generation + 1");
        query.build().execute(&mut **tx).await.map_err(doing("mark what is to be exported"))?;
    }
    Ok(())
}

/// Takes away marks of what has not changed since they were read.
pub async fn unmark(tx: &mut Transaction, marks: &[Marked]) -> Result<(), StoreError> {
    for (mark, generation) in marks {
        let (kind, minute, name) = mark.columns();
        sqlx::query(
            "DELETE FROM export_marks WHERE kind = $1 AND minute = $2 AND name = $3 AND generation = $4",
        )
        .bind(kind)
        .bind(minute)
        .bind(name.to_owned())
        .bind(*generation)
        .execute(&mut **tx)
        .await
        .map_err(doing("unmark what was exported"))?;
    }
    Ok(())
}

/// Marks everything from a minute on that the store holds.
pub async fn mark_all(tx: &mut Transaction, from: MinuteId) -> Result<(), StoreError> {
    forget(tx).await?;
    let rows = "INSERT INTO export_marks (kind, minute, name, generation) \
         SELECT 'rows', minute, stream, 1 FROM rows WHERE minute >= $1";
    sqlx::query(rows).bind(from.0).execute(&mut **tx).await.map_err(doing("mark all count rows"))?;
    for all in [
        "INSERT INTO export_marks (kind, minute, name, generation) SELECT 'stream', 0, stream, 1 FROM streams",
        "INSERT INTO export_marks (kind, minute, name, generation) SELECT 'collector', 0, collector, 1 FROM collectors",
    ] {
        sqlx::query(all).execute(&mut **tx).await.map_err(doing("mark all streams"))?;
    }
    Ok(())
}

/// Forgets all marks and the progress: whoever exports next begins anew.
pub async fn forget(tx: &mut Transaction) -> Result<(), StoreError> {
    // Whoever only reads beside a running engine must not wait for its write.
    let any = "SELECT 1 FROM export_marks UNION ALL SELECT 1 FROM meta WHERE key = 'export' LIMIT 1";
    let any = sqlx::query(any).fetch_optional(&mut **tx).await.map_err(doing("look for export marks"))?;
    if any.is_none() {
        return Ok(());
    }
    for all in ["DELETE FROM export_marks", "DELETE FROM meta WHERE key = 'export'"] {
        sqlx::query(all).execute(&mut **tx).await.map_err(doing("forget what is to be exported"))?;
    }
    Ok(())
}

/// Forgets marks of rows before a minute: they are of no use to anyone.
pub async fn forget_before(tx: &mut Transaction, minute: MinuteId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM export_marks WHERE kind = 'rows' AND minute < $1")
        .bind(minute.0)
        .execute(&mut **tx)
        .await
        .map_err(doing("forget old marks"))?;
    Ok(())
}

/// Minutes before `end` from which on results changed; the marks are gone with this transaction.
pub async fn take_results(tx: &mut Transaction, end: MinuteId) -> Result<Vec<MinuteId>, StoreError> {
    let rows =
        sqlx::query("DELETE FROM export_marks WHERE kind = 'results' AND minute < $1 RETURNING minute")
            .bind(end.0)
            .fetch_all(&mut **tx)
            .await
            .map_err(doing("read the marks of results"))?;
    Ok(rows.iter().map(|row| MinuteId(row.get(0))).collect())
}

/// The first marks of rows before `end`, oldest first, at most `limit`.
pub async fn row_marks(tx: &mut Transaction, end: MinuteId, limit: i64) -> Result<Vec<Marked>, StoreError> {
    let rows = sqlx::query(
        "SELECT minute, name, generation FROM export_marks WHERE kind = 'rows' AND minute < $1 \
         ORDER BY minute, name LIMIT $2",
    )
    .bind(end.0)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read the marks of rows"))?;
    let marked = |row: &sqlx::sqlite::SqliteRow| (Mark::Rows(MinuteId(row.get(0)), row.get(1)), row.get(2));
    Ok(rows.iter().map(marked).collect())
}

/// The rows that `marks` are about, in the order of the marks.
pub async fn marked_rows(tx: &mut Transaction, marks: &[Marked]) -> Result<Vec<StoredRow>, StoreError> {
    let mut rows = Vec::new();
    for (mark, _) in marks {
        if let Mark::Rows(minute, stream) = mark {
            rows.extend(counts::rows_of(tx, *minute, stream).await?);
        }
    }
    Ok(rows)
}

/// Marked streams none of whose rows is marked behind `last` and before `end`.
pub async fn stream_marks(
    tx: &mut Transaction,
    last: Option<&Mark>,
    end: MinuteId,
    limit: i64,
) -> Result<Vec<Marked>, StoreError> {
    let (minute, name) = match last {
        Some(Mark::Rows(minute, stream)) => (minute.0, stream.as_str()),
        _ => (i64::MIN, ""),
    };
    let rows = sqlx::query(
        "SELECT s.name, s.generation FROM export_marks s WHERE s.kind = 'stream' AND NOT EXISTS \
         (SELECT 1 FROM export_marks r WHERE r.name = s.name AND r.kind = 'rows' AND r.minute < $1 \
         AND (r.minute > $2 OR (r.minute = $2 AND r.name > $3))) ORDER BY s.name LIMIT $4",
    )
    .bind(end.0)
    .bind(minute)
    .bind(name.to_owned())
    .bind(limit)
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read the marks of streams"))?;
    Ok(rows.iter().map(|row| (Mark::Stream(row.get(0)), row.get(1))).collect())
}

/// Marked collectors.
pub async fn collector_marks(tx: &mut Transaction) -> Result<Vec<Marked>, StoreError> {
    let rows =
        sqlx::query("SELECT name, generation FROM export_marks WHERE kind = 'collector' ORDER BY name")
            .fetch_all(&mut **tx)
            .await
            .map_err(doing("read the marks of collectors"))?;
    Ok(rows.iter().map(|row| (Mark::Collector(row.get(0)), row.get(1))).collect())
}

/// How many things other than results are marked, and the oldest minute whose rows are.
pub async fn count(tx: &mut Transaction, end: MinuteId) -> Result<(u64, Option<MinuteId>), StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*), MIN(CASE WHEN kind = 'rows' THEN minute END) FROM export_marks \
         WHERE kind <> 'results' AND minute < $1",
    )
    .bind(end.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(doing("count what is to be exported"))?;
    let count = u64::try_from(row.get::<i64, _>(0)).unwrap_or_default();
    Ok((count, row.get::<Option<i64>, _>(1).map(MinuteId)))
}

/// How far results have been written; nothing where none ever was.
pub async fn progress(tx: &mut Transaction) -> Result<Option<Progress>, StoreError> {
    let text = meta(tx, PROGRESS).await?;
    text.map(|text| serde_json::from_str(&text).map_err(reading("progress of the export"))).transpose()
}

/// Notes how far results have been written.
pub async fn set_progress(tx: &mut Transaction, progress: &Progress) -> Result<(), StoreError> {
    let text = serde_json::to_string(progress).map_err(reading("progress of the export"))?;
    set_meta(tx, PROGRESS, &text).await
}
