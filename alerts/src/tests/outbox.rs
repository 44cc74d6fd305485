//! A double of the outbox: the rules of the trait over a list in memory, with deaths at chosen moments.

use std::collections::BTreeSet;
use std::sync::Mutex;

use jiff::Timestamp;

use crate::{Intent, IntentId, Kind, Outbox, Pending};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Delivered,
    Refused,
    Superseded,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) intent: Intent,
    pub(super) attempts: u32,
    pub(super) next_attempt_at: Timestamp,
    pub(super) state: State,
    pub(super) refresh_at: Option<Timestamp>,
    pub(super) error: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct MemoryOutbox {
    rows: Mutex<Vec<Row>>,
    /// Settlements to fail, as a process does that dies after the receiver answered: true fails the next one.
    deaths: Mutex<Vec<bool>>,
}

impl MemoryOutbox {
    pub(super) fn with(intents: impl IntoIterator<Item = Intent>) -> MemoryOutbox {
        let outbox = MemoryOutbox::default();
        intents.into_iter().for_each(|intent| outbox.add(intent));
        outbox
    }

    pub(super) fn dying(deaths: Vec<bool>) -> MemoryOutbox {
        MemoryOutbox { deaths: Mutex::new(deaths), ..MemoryOutbox::default() }
    }

    pub(super) fn add(&self, intent: Intent) {
        let mut rows = self.rows.lock().unwrap();
        if rows.iter().any(|row| row.intent.id == intent.id) {
            return;
        }
        for row in rows.iter_mut().filter(|row| lane(&row.intent) == lane(&intent)) {
            if intent.kind == Kind::Resolve {
                row.refresh_at = None;
            }
            let triggers = intent.kind == Kind::Trigger && row.intent.kind == Kind::Trigger;
            if row.is_pending() && triggers && row.attempts > 0 {
                row.state = State::Superseded;
            }
        }
        rows.push(Row::new(intent));
    }

    /// `kind channel state` of every row, in lane order.
    pub(super) fn states(&self) -> Vec<String> {
        let rows = self.rows.lock().unwrap();
        let line = |row: &Row| {
            format!("{} {} {:?}", row.intent.kind.as_str(), row.intent.channel, row.state).to_lowercase()
        };
        rows.iter().map(line).collect()
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.rows.lock().unwrap().iter().filter_map(|row| row.error.clone()).collect()
    }

    fn settle(&self, id: &IntentId, change: impl FnOnce(&mut Row)) -> anyhow::Result<()> {
        if self.deaths.lock().unwrap().pop() == Some(true) {
            anyhow::bail!("the process died before it could settle {id}");
        }
        let mut rows = self.rows.lock().unwrap();
        rows.iter_mut().filter(|row| row.next().is_some()).find(|row| row.intent.id == *id).map(change);
        Ok(())
    }

    fn heads(&self) -> Vec<Pending> {
        let rows = self.rows.lock().unwrap();
        let mut lanes = BTreeSet::new();
        let heads = rows.iter().filter(|row| row.is_pending() && lanes.insert(lane(&row.intent)));
        let mut heads: Vec<_> = heads.map(|row| row.pending(&rows)).collect();
        heads.sort_by_key(|head| head.next_attempt_at);
        heads
    }

    fn refreshes(&self) -> Vec<Pending> {
        let rows = self.rows.lock().unwrap();
        let refreshes = rows.iter().filter(|row| row.refresh_at.is_some());
        let mut refreshes: Vec<_> = refreshes.map(|row| row.pending(&rows)).collect();
        refreshes.sort_by_key(|entry| entry.next_attempt_at);
        refreshes
    }
}

impl Row {
    fn new(intent: Intent) -> Row {
        Row {
            next_attempt_at: intent.created_at,
            intent,
            attempts: 0,
            state: State::Pending,
            refresh_at: None,
            error: None,
        }
    }

    fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    /// When it is to be sent; `None` when it is settled and not refreshed.
    fn next(&self) -> Option<Timestamp> {
        if self.is_pending() { Some(self.next_attempt_at) } else { self.refresh_at }
    }

    fn pending(&self, rows: &[Row]) -> Pending {
        let same =
            |row: &Row| row.intent.channel == self.intent.channel && lane(&row.intent) == lane(&self.intent);
        let opens = |row: &&Row| row.intent.kind == Kind::Trigger && same(row);
        let opened = rows.iter().filter(opens).any(|row| row.state == State::Delivered || row.attempts > 0);
        let (intent, attempts) = (self.intent.clone(), self.attempts);
        let next_attempt_at = self.next().unwrap();
        Pending { intent, attempts, next_attempt_at, refresh: !self.is_pending(), opened }
    }
}

fn lane(intent: &Intent) -> (String, String) {
    (intent.target.clone(), intent.dedup_key.clone())
}

impl Outbox for MemoryOutbox {
    async fn due(&self, now: Timestamp, limit: usize) -> anyhow::Result<Vec<Pending>> {
        let mut lanes = BTreeSet::new();
        let all = self.heads().into_iter().chain(self.refreshes());
        let due = all.filter(|entry| entry.next_attempt_at <= now && lanes.insert(lane(&entry.intent)));
        Ok(due.take(limit).collect())
    }

    async fn next_attempt_at(&self) -> anyhow::Result<Option<Timestamp>> {
        Ok(self.heads().iter().chain(&self.refreshes()).map(|entry| entry.next_attempt_at).min())
    }

    async fn delivered(
        &self,
        id: &IntentId,
        refresh_at: Option<Timestamp>,
        _now: Timestamp,
    ) -> anyhow::Result<()> {
        let mut settled = None;
        self.settle(id, |row| {
            (row.state, row.attempts, row.refresh_at) = (State::Delivered, 0, refresh_at);
            settled = Some(row.intent.clone());
        })?;
        let (Some(intent), Some(_)) = (settled, refresh_at) else { return Ok(()) };
        let mut rows = self.rows.lock().unwrap();
        let over = |row: &Row| row.intent.kind == Kind::Resolve && lane(&row.intent) == lane(&intent);
        let over = rows.iter().any(over);
        for row in rows.iter_mut().filter(|row| lane(&row.intent) == lane(&intent)) {
            if over || (row.intent.channel == intent.channel && row.intent.id != *id) {
                row.refresh_at = None;
            }
        }
        Ok(())
    }

    async fn retry_at(&self, id: &IntentId, at: Timestamp, error: &str) -> anyhow::Result<()> {
        self.settle(id, |row| {
            row.attempts += 1;
            *(if row.state == State::Pending {
                &mut row.next_attempt_at
            } else {
                row.refresh_at.as_mut().unwrap()
            }) = at;
            row.error = Some(error.to_owned());
        })
    }

    async fn refused(
        &self,
        id: &IntentId,
        next: Option<&Intent>,
        error: &str,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        self.settle(id, |row| {
            row.state = State::Refused;
            row.error = Some(error.to_owned());
        })?;
        let mut rows = self.rows.lock().unwrap();
        if let (Some(next), Some(place)) = (next, rows.iter().position(|row| row.intent.id == *id)) {
            rows.insert(place + 1, Row { next_attempt_at: now, ..Row::new(next.clone()) });
        }
        Ok(())
    }

    async fn superseded(&self, id: &IntentId, _now: Timestamp) -> anyhow::Result<()> {
        self.settle(id, |row| row.state = State::Superseded)
    }
}
