//! Incidents, episodes and the outbox in the store.

use std::collections::BTreeSet;

use alerts::{Incident, IncidentId, Intent, IntentId, Kind, Outbox, Pending};
use jiff::Timestamp;
use slo::counts::Sli;
use slo::episode::Episodes;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, Transaction, commit, doing, reading};
use crate::discovery::{Service, sli_name};

/// What became of an intent.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The intent.
    pub intent: Intent,
    /// The receiver has it.
    pub delivered: bool,
}

/// Which incidents are asked for, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Older than this one; from the newest on where there is none.
    pub before: Option<(Timestamp, IncidentId)>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Only those that are open, or only those that are over.
    pub open: Option<bool>,
}

/// Keeps an incident in place of what was kept under its id.
pub async fn put_incident(tx: &mut Transaction, incident: &Incident) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO incidents (id, opened_ms, resolved_ms, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, resolved_ms = excluded.resolved_ms",
    )
    .bind(incident.id.0.clone())
    .bind(incident.opened_at.as_millisecond())
    .bind(incident.resolved_at.map(Timestamp::as_millisecond))
    .bind(serde_json::to_string(incident).map_err(reading("incident"))?)
    .execute(&mut **tx)
    .await
    .map_err(doing("write an incident"))?;
    Ok(())
}

/// Every incident that is kept, oldest first.
pub async fn incidents(tx: &mut Transaction) -> Result<Vec<Incident>, StoreError> {
    let rows = sqlx::query("SELECT body FROM incidents ORDER BY opened_ms, id")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read incidents"))?;
    rows.iter().map(|row| serde_json::from_str(row.get(0)).map_err(reading("incident"))).collect()
}

/// Some incidents, newest first.
pub async fn some_incidents(
    tx: &mut Transaction,
    query: &IncidentQuery,
) -> Result<Vec<Incident>, StoreError> {
    let (before_ms, before_id) = match &query.before {
        Some((at, id)) => (at.as_millisecond(), id.0.clone()),
        None => (i64::MAX, String::new()),
    };
    let open = match query.open {
        Some(true) => "AND resolved_ms IS NULL",
        Some(false) => "AND resolved_ms IS NOT NULL",
        None => "",
    };
    let sql = format!(
        "SELECT body FROM incidents WHERE (opened_ms < $1 OR (opened_ms = $1 AND id < $2)) {open} \
         ORDER BY opened_ms DESC, id DESC LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(before_ms)
        .bind(before_id)
        .bind(query.limit.map_or(i64::MAX, i64::from))
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read incidents"))?;
    rows.iter().map(|row| serde_json::from_str(row.get(0)).map_err(reading("incident"))).collect()
}

/// Where an incident stands among the others; nothing where there is none of this id.
pub async fn place_of(tx: &mut Transaction, id: &str) -> Result<Option<(Timestamp, IncidentId)>, StoreError> {
    let row = sqlx::query("SELECT opened_ms FROM incidents WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("look for an incident"))?;
    let place = |opened_ms| Some((Timestamp::from_millisecond(opened_ms).ok()?, IncidentId(id.to_owned())));
    Ok(row.and_then(|row| place(row.get(0))))
}

/// Incidents that were open at some instant from `since` on, oldest first.
pub async fn incidents_since(tx: &mut Transaction, since: Timestamp) -> Result<Vec<Incident>, StoreError> {
    let rows = sqlx::query(
        "SELECT body FROM incidents WHERE resolved_ms IS NULL OR resolved_ms >= $1 ORDER BY opened_ms, id",
    )
    .bind(since.as_millisecond())
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read incidents"))?;
    rows.iter().map(|row| serde_json::from_str(row.get(0)).map_err(reading("incident"))).collect()
}

/// Forgets incidents that ended before an instant, and all but the newest `most` of those that have ended, each with its
/// messages; some at a time. None whose messages wait for a receiver.
pub async fn forget_incidents(tx: &mut Transaction, before: Timestamp, most: i64) -> Result<u64, StoreError> {
    let rows = sqlx::query(
        "SELECT id FROM incidents WHERE resolved_ms IS NOT NULL AND (resolved_ms < $1 OR resolved_ms < \
         (SELECT resolved_ms FROM incidents WHERE resolved_ms IS NOT NULL ORDER BY resolved_ms DESC LIMIT 1 OFFSET $2)) \
         AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.incident = incidents.id AND o.state = 'pending') LIMIT 200",
    )
    .bind(before.as_millisecond())
    .bind(most)
    .fetch_all(&mut **tx)
    .await
    .map_err(doing("read old incidents"))?;
    for row in &rows {
        for sql in ["DELETE FROM outbox WHERE incident = $1", "DELETE FROM incidents WHERE id = $1"] {
            sqlx::query(sql)
                .bind(row.get::<String, _>(0))
                .execute(&mut **tx)
                .await
                .map_err(doing("forget an incident"))?;
        }
    }
    Ok(rows.len() as u64)
}

/// Notes when incidents of an earlier version ended.
pub(super) async fn note_resolved(tx: &mut Transaction) -> Result<(), StoreError> {
    for incident in incidents(tx).await?.iter().filter(|incident| !incident.is_open()) {
        put_incident(tx, incident).await?;
    }
    Ok(())
}

/// Forgets the episodes of an SLO.
pub async fn forget_episodes(tx: &mut Transaction, service: &Service, sli: Sli) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM episodes WHERE service = $1 AND sli = $2")
        .bind(service.to_string())
        .bind(sli_name(sli))
        .execute(&mut **tx)
        .await
        .map_err(doing("forget an episode"))?;
    Ok(())
}

/// Keeps the episodes of an SLO.
pub async fn put_episodes(
    tx: &mut Transaction,
    service: &Service,
    sli: Sli,
    episodes: &Episodes,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO episodes (service, sli, body) VALUES ($1, $2, $3) \
         ON CONFLICT (service, sli) DO UPDATE SET body = excluded.body",
    )
    .bind(service.to_string())
    .bind(sli_name(sli))
    .bind(serde_json::to_string(episodes).map_err(reading("episode"))?)
    .execute(&mut **tx)
    .await
    .map_err(doing("write an episode"))?;
    Ok(())
}

/// Every episode.
pub async fn episodes(tx: &mut Transaction) -> Result<Vec<(Service, Sli, Episodes)>, StoreError> {
    let rows = sqlx::query("SELECT service, sli, body FROM episodes ORDER BY service, sli")
        .fetch_all(&mut **tx)
        .await
        .map_err(doing("read episodes"))?;
    rows.iter()
        .map(|row| {
            let sli = if row.get::<&str, _>(1) == "availability" { Sli::Availability } else { Sli::Latency };
            let episode = serde_json::from_str(row.get(2)).map_err(reading("episode"))?;
            Ok((Service::parse(row.get(0)), sli, episode))
        })
        .collect()
}

/// Adds an intent to the end of its lane; an id that was ever held is ignored; a trigger supersedes the ones before it
/// in its lane that could not be delivered so far; a resolve ends the refreshes of its lane.
pub async fn put_intent(tx: &mut Transaction, intent: &Intent) -> Result<(), StoreError> {
    let held = sqlx::query("SELECT seq FROM outbox WHERE id = $1")
        .bind(intent.id.0.clone())
        .fetch_optional(&mut **tx)
        .await
        .map_err(doing("look into the outbox"))?;
    if held.is_some() {
        return Ok(());
    }
    if intent.kind == Kind::Trigger {
        sqlx::query(
            "UPDATE outbox SET state = 'superseded', settled_ms = $1 WHERE state = 'pending' AND kind = 'trigger' \
             AND attempts > 0 AND target = $2 AND dedup_key = $3",
        )
        .bind(intent.created_at.as_millisecond())
        .bind(intent.target.clone())
        .bind(intent.dedup_key.clone())
        .execute(&mut **tx)
        .await
        .map_err(doing("supersede intents"))?;
    }
    if intent.kind == Kind::Resolve {
        sqlx::query("UPDATE outbox SET refresh_ms = NULL WHERE target = $1 AND dedup_key = $2")
            .bind(intent.target.clone())
            .bind(intent.dedup_key.clone())
            .execute(&mut **tx)
            .await
            .map_err(doing("end refreshes"))?;
    }
    let last = sqlx::query("SELECT MAX(seq) FROM outbox")
        .fetch_one(&mut **tx)
        .await
        .map_err(doing("look into the outbox"))?;
    let seq = last.get::<Option<i64>, _>(0).unwrap_or_default() + 1;
    insert_intent(tx, intent, seq, intent.created_at).await
}

/// Every intent of some incidents, as added.
pub async fn notices(tx: &mut Transaction, incidents: &[Incident]) -> Result<Vec<Notice>, StoreError> {
    let mut notices = Vec::new();
    for incident in incidents {
        let rows = sqlx::query("SELECT body, state FROM outbox WHERE incident = $1 ORDER BY seq, settled_ms")
            .bind(incident.id.0.clone())
            .fetch_all(&mut **tx)
            .await
            .map_err(doing("read the outbox"))?;
        for row in &rows {
            let intent = serde_json::from_str(row.get(0)).map_err(reading("intent"))?;
            notices.push(Notice { intent, delivered: row.get::<&str, _>(1) == "delivered" });
        }
    }
    Ok(notices)
}

async fn insert_intent(
    tx: &mut Transaction,
    intent: &Intent,
    seq: i64,
    due: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO outbox (id, seq, incident, target, channel, dedup_key, kind, body, state, attempts, due_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', 0, $9) ON CONFLICT (id) DO NOTHING",
    )
    .bind(intent.id.0.clone())
    .bind(seq)
    .bind(intent.incident.0.clone())
    .bind(intent.target.clone())
    .bind(intent.channel.0.clone())
    .bind(intent.dedup_key.clone())
    .bind(intent.kind.as_str())
    .bind(serde_json::to_string(intent).map_err(reading("intent"))?)
    .bind(due.as_millisecond())
    .execute(&mut **tx)
    .await
    .map_err(doing("write an intent"))?;
    Ok(())
}

/// First pending intent of every lane.
const HEADS: &str = "SELECT o.body, o.attempts, o.due_ms, o.seq, o.target, o.channel, o.dedup_key, o.state FROM outbox o \
     WHERE o.state = 'pending' AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.state = 'pending' \
     AND b.target = o.target AND b.dedup_key = o.dedup_key AND b.seq < o.seq)";

/// Every intent that is sent again although its receiver has it.
const REFRESHES: &str = "SELECT o.body, o.attempts, o.refresh_ms AS due_ms, o.seq, o.target, o.channel, o.dedup_key, \
     o.state FROM outbox o WHERE o.refresh_ms IS NOT NULL";

impl Outbox for Store {
    async fn due(&self, now: Timestamp, limit: usize) -> anyhow::Result<Vec<Pending>> {
        let mut tx = self.read().await?;
        let (mut due, mut lanes) = (Vec::new(), BTreeSet::new());
        for select in [HEADS, REFRESHES] {
            let sql = format!(
                "SELECT * FROM ({select}) AS waiting WHERE due_ms <= $1 ORDER BY due_ms, seq LIMIT $2"
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(now.as_millisecond())
                .bind(i64::try_from(limit)?)
                .fetch_all(&mut *tx)
                .await
                .map_err(doing("read the outbox"))?;
            for row in &rows {
                let lane = (row.get::<String, _>("target"), row.get::<String, _>("dedup_key"));
                if due.len() < limit && lanes.insert(lane) {
                    due.push(pending(&mut tx, row).await?);
                }
            }
        }
        Ok(due)
    }

    async fn next_attempt_at(&self) -> anyhow::Result<Option<Timestamp>> {
        let mut tx = self.read().await?;
        let mut next = None;
        for select in [HEADS, REFRESHES] {
            let sql = sqlx::AssertSqlSafe(format!("SELECT MIN(due_ms) FROM ({select}) AS waiting"));
            let row = sqlx::query(sql).fetch_one(&mut *tx).await.map_err(doing("read the outbox"))?;
            next = next.into_iter().chain(row.get::<Option<i64>, _>(0)).min();
        }
        Ok(next.map(Timestamp::from_millisecond).transpose()?)
    }

    async fn delivered(
        &self,
        id: &IntentId,
        refresh_at: Option<Timestamp>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        let refreshed = refresh(&mut tx, id, refresh_at).await?;
        let settled = !refreshed && settle(&mut tx, id, "delivered", None, now).await?.is_some();
        if let (true, Some(at)) = (settled, refresh_at) {
            begin_refresh(&mut tx, id, at).await?;
        }
        Ok(commit(tx).await?)
    }

    async fn retry_at(&self, id: &IntentId, at: Timestamp, error: &str) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, due_ms = $1, error = $2 WHERE id = $3 AND state = 'pending'",
        )
        .bind(at.as_millisecond())
        .bind(error.to_owned())
        .bind(id.0.clone())
        .execute(&mut *tx)
        .await
        .map_err(doing("put an intent off"))?;
        sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, refresh_ms = $1, error = $2 \
             WHERE id = $3 AND refresh_ms IS NOT NULL",
        )
        .bind(at.as_millisecond())
        .bind(error.to_owned())
        .bind(id.0.clone())
        .execute(&mut *tx)
        .await
        .map_err(doing("put a refresh off"))?;
        Ok(commit(tx).await?)
    }

    async fn refused(
        &self,
        id: &IntentId,
        next: Option<&Intent>,
        error: &str,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        let settled = settle(&mut tx, id, "refused", Some(error), now).await?;
        if let (Some(seq), Some(next)) = (settled, next) {
            insert_intent(&mut tx, next, seq, now).await?;
        }
        Ok(commit(tx).await?)
    }

    async fn superseded(&self, id: &IntentId, now: Timestamp) -> anyhow::Result<()> {
        let mut tx = self.begin().await?;
        settle(&mut tx, id, "superseded", None, now).await?;
        Ok(commit(tx).await?)
    }
}

/// Settles a pending intent and returns its place in the lane; nothing when it was settled before.
async fn settle(
    tx: &mut Transaction,
    id: &IntentId,
    state: &'static str,
    error: Option<&str>,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(
        "UPDATE outbox SET state = $1, error = $2, settled_ms = $3 WHERE id = $4 AND state = 'pending' RETURNING seq",
    )
    .bind(state)
    .bind(error.map(str::to_owned))
    .bind(now.as_millisecond())
    .bind(id.0.clone())
    .fetch_optional(&mut **tx)
    .await
    .map_err(doing("settle an intent"))?;
    Ok(row.map(|row| row.get(0)))
}

/// Says when a refresh is due next, or that it ends; whether `id` was refreshed up to now.
async fn refresh(tx: &mut Transaction, id: &IntentId, at: Option<Timestamp>) -> Result<bool, StoreError> {
    let updated = sqlx::query(
        "UPDATE outbox SET refresh_ms = $1, attempts = 0, error = NULL WHERE id = $2 AND refresh_ms IS NOT NULL",
    )
    .bind(at.map(Timestamp::as_millisecond))
    .bind(id.0.clone())
    .execute(&mut **tx)
    .await
    .map_err(doing("put a refresh off"))?;
    Ok(updated.rows_affected() > 0)
}

/// Begins to refresh a delivered intent in place of the one that its receiver had, unless its lane holds a resolve.
async fn begin_refresh(tx: &mut Transaction, id: &IntentId, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outbox SET refresh_ms = NULL WHERE refresh_ms IS NOT NULL AND (target, channel, dedup_key) = \
         (SELECT target, channel, dedup_key FROM outbox WHERE id = $1)",
    )
    .bind(id.0.clone())
    .execute(&mut **tx)
    .await
    .map_err(doing("end a refresh"))?;
    sqlx::query(
        "UPDATE outbox SET refresh_ms = $1, attempts = 0 WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM outbox b \
         WHERE b.kind = 'resolve' AND b.target = outbox.target AND b.dedup_key = outbox.dedup_key)",
    )
    .bind(at.as_millisecond())
    .bind(id.0.clone())
    .execute(&mut **tx)
    .await
    .map_err(doing("begin a refresh"))?;
    Ok(())
}

async fn pending(tx: &mut Transaction, row: &SqliteRow) -> anyhow::Result<Pending> {
    let opened = sqlx::query(
        "SELECT COUNT(*) FROM outbox WHERE kind = 'trigger' AND target = $1 AND channel = $2 AND dedup_key = $3 \
         AND (state = 'delivered' OR attempts > 0)",
    )
    .bind(row.get::<String, _>("target"))
    .bind(row.get::<String, _>("channel"))
    .bind(row.get::<String, _>("dedup_key"))
    .fetch_one(&mut **tx)
    .await
    .map_err(doing("read the outbox"))?;
    Ok(Pending {
        intent: serde_json::from_str(row.get("body")).map_err(reading("intent"))?,
        attempts: u32::try_from(row.get::<i64, _>("attempts"))?,
        next_attempt_at: Timestamp::from_millisecond(row.get("due_ms"))?,
        refresh: row.get::<&str, _>("state") == "delivered",
        opened: opened.get::<i64, _>(0) > 0,
    })
}

#[cfg(test)]
mod tests;
