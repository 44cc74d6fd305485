//! The outbox's rules over a real file: refreshes, their order and their end, across a restart and an older schema.

use alerts::{
    Alert, ChannelName, Command, Escalations, Input, Intent, Kind, Outbox, PoliciesConfig, Severity,
};
use jiff::Timestamp;
use tempfile::TempDir;

use super::put_intent;
use crate::store::{Store, commit, set_meta};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_772_366_400 + seconds).unwrap()
}

/// Incidents and the store that holds what they command.
struct Rig {
    machine: Escalations,
    store: Store,
    dir: TempDir,
}

impl Rig {
    async fn start() -> Rig {
        let channels = [ChannelName::from("alertmanager"), ChannelName::from("journal")];
        let machine = Escalations::new(PoliciesConfig::default().prove(&channels).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("engine.db")).await.unwrap();
        Rig { machine, store, dir }
    }

    async fn restart(self) -> Rig {
        self.store.close().await;
        let store = Store::open(&self.dir.path().join("engine.db")).await.unwrap();
        Rig { store, ..self }
    }

    /// Commits what follows from `input`; the messages to `on-call` through the Alertmanager among it.
    async fn commit(&mut self, input: Input, now: Timestamp) -> Intent {
        self.machine.handle(input, now);
        let mut tx = self.store.begin().await.unwrap();
        let mut told = None;
        while let Some(command) = self.machine.next_command() {
            let Command::Notify(intent) = command else { continue };
            put_intent(&mut tx, &intent).await.unwrap();
            told = told.or(Some(intent).filter(|intent| intent.channel.0 == "alertmanager"));
        }
        commit(tx).await.unwrap();
        told.unwrap()
    }

    /// `kind key`, and whether it is a refresh, of all that is due.
    async fn due(&self, now: Timestamp, limit: usize) -> Vec<(String, bool)> {
        let due = self.store.due(now, limit).await.unwrap();
        let line = |intent: &Intent| format!("{} {}", intent.kind.as_str(), intent.alert.key);
        due.iter().map(|entry| (line(&entry.intent), entry.refresh)).collect()
    }

    async fn next(&self) -> Option<Timestamp> {
        self.store.next_attempt_at().await.unwrap()
    }
}

fn alert(key: &str) -> Alert {
    Alert { key: key.into(), severity: Severity::Page, summary: "wrong".into(), labels: [].into() }
}

fn fire(key: &str) -> Input {
    Input::Fire(alert(key))
}

fn resolve(key: &str) -> Input {
    Input::Resolve { key: key.into() }
}

#[tokio::test]
async fn a_refresh_is_due_again_and_again_across_restarts_until_a_resolve_is_there() {
    let mut rig = Rig::start().await;
    let intent = rig.commit(fire("k"), at(0)).await;
    rig.store.delivered(&intent.id, Some(at(60)), at(0)).await.unwrap();
    assert_eq!((rig.due(at(59), 9).await, rig.next().await), (vec![], Some(at(60))));
    let mut rig = rig.restart().await;
    assert_eq!(rig.due(at(60), 9).await, [("trigger k".to_owned(), true)]);
    rig.store.delivered(&intent.id, Some(at(120)), at(60)).await.unwrap();
    rig.store.retry_at(&intent.id, at(130), "busy").await.unwrap();
    assert_eq!(rig.next().await, Some(at(130)));
    assert_eq!(rig.store.due(at(130), 9).await.unwrap()[0].attempts, 1);
    rig.commit(resolve("k"), at(131)).await;
    // What was on its way when the resolve was committed is answered now.
    rig.store.delivered(&intent.id, Some(at(190)), at(132)).await.unwrap();
    rig.store.retry_at(&intent.id, at(190), "busy").await.unwrap();
    assert_eq!(rig.due(at(1_000), 9).await, [("resolve k".to_owned(), false)]);
}

#[tokio::test]
async fn a_trigger_that_arrives_when_its_end_is_committed_is_not_refreshed() {
    let mut rig = Rig::start().await;
    let intent = rig.commit(fire("k"), at(0)).await;
    let end = rig.commit(resolve("k"), at(1)).await;
    rig.store.delivered(&intent.id, Some(at(60)), at(2)).await.unwrap();
    assert_eq!(rig.due(at(1_000), 9).await, [("resolve k".to_owned(), false)]);
    assert_eq!(end.kind, Kind::Resolve);
}

#[tokio::test]
async fn the_newest_trigger_takes_the_refresh_over_and_no_refresh_ends_it() {
    let mut rig = Rig::start().await;
    let old = rig.commit(fire("k"), at(0)).await;
    rig.store.delivered(&old.id, Some(at(60)), at(0)).await.unwrap();
    let new = rig.commit(Input::Renotify(alert("k")), at(10)).await;
    rig.store.delivered(&new.id, Some(at(70)), at(10)).await.unwrap();
    let due = rig.store.due(at(100), 9).await.unwrap();
    assert_eq!(due.iter().map(|entry| &entry.intent.id).collect::<Vec<_>>(), [&new.id]);
    rig.store.delivered(&new.id, None, at(100)).await.unwrap();
    assert_eq!((rig.due(at(1_000), 9).await, rig.next().await), (vec![], None));
}

#[tokio::test]
async fn news_go_before_refreshes_and_a_lane_sends_one_message_at_a_time() {
    let mut rig = Rig::start().await;
    for key in ["a", "b"] {
        let intent = rig.commit(fire(key), at(0)).await;
        rig.store.delivered(&intent.id, Some(at(60)), at(0)).await.unwrap();
    }
    rig.commit(Input::Renotify(alert("b")), at(100)).await;
    rig.commit(fire("c"), at(101)).await;
    let want = [("trigger b", false), ("trigger c", false), ("trigger a", true)];
    let want = want.map(|(line, refresh)| (line.to_owned(), refresh));
    assert_eq!(rig.due(at(200), 9).await, want);
    assert_eq!(rig.due(at(200), 2).await, want[..2]);
    // News that waits for its receiver does not keep the refresh of its lane waiting.
    let news = rig.store.due(at(200), 1).await.unwrap().remove(0).intent.id;
    rig.store.retry_at(&news, at(500), "busy").await.unwrap();
    assert!(rig.due(at(200), 9).await.contains(&("trigger b".to_owned(), true)));
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_brought_up_to_date_and_one_of_a_later_schema_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let old = "INSERT INTO meta VALUES ('schema_version', '1'); \
        INSERT INTO outbox (id, seq, incident, target, channel, dedup_key, kind, body, state, attempts, due_ms) \
        VALUES ('i', 1, 'i', 't', 'c', 'd', 'trigger', '{}', 'delivered', 0, 0)";
    sqlx::Executor::execute(&pool, include_str!("../schema.sql")).await.unwrap();
    sqlx::Executor::execute(&pool, old).await.unwrap();
    pool.close().await;
    for _ in 0..2 {
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.next_attempt_at().await.unwrap(), None);
        store.close().await;
    }
    let store = Store::open(&path).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    set_meta(&mut tx, "schema_version", "99").await.unwrap();
    set_meta(&mut tx, "min_reader", "99").await.unwrap();
    commit(tx).await.unwrap();
    store.close().await;
    let error = Store::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("schema version 99"), "{error}");
}
