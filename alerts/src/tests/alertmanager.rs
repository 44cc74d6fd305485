//! The Alertmanager notifier: its document, and that an alert goes on exactly while its incident is open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::model::{Op, history, input, policies};
use super::outbox::MemoryOutbox;
use super::server::{Answer, Server};
use super::{after, at, intents, take, trigger};
use crate::{
    Alertmanager, AlertmanagerConfig, BasicAuthConfig, Dispatcher, DrainReport, Escalations, Intent, Kind,
    Notifier, NotifierConfig, Notifiers, SecretSource,
};

/// Posts again after `minutes`, for alerts that end after 15.
fn notifier(server: &Server, minutes: i64) -> Notifier {
    let config = AlertmanagerConfig {
        url: Some(server.url()),
        timeout: Some(SignedDuration::from_secs(60)),
        repost_every: Some(SignedDuration::from_mins(minutes)),
        ..AlertmanagerConfig::default()
    };
    Notifier::Alertmanager(Alertmanager::build(config).unwrap())
}

fn dispatcher(outbox: &Arc<MemoryOutbox>, server: &Server) -> Dispatcher<Arc<MemoryOutbox>> {
    dispatcher_of(outbox, notifier(server, 1))
}

fn dispatcher_of(outbox: &Arc<MemoryOutbox>, notifier: Notifier) -> Dispatcher<Arc<MemoryOutbox>> {
    let notifiers: Notifiers = [("pager".into(), notifier)].into_iter().collect();
    Dispatcher::new(Arc::clone(outbox), Arc::new(notifiers))
}

/// The one alert of every request, in the order of arrival.
fn posted(server: &Server) -> Vec<Value> {
    server.requests().into_iter().map(|request| request.body[0].clone()).collect()
}

#[tokio::test]
async fn the_alert_has_labels_of_its_own_and_the_incidents_and_ends_by_itself() {
    let server = Server::start([]).await;
    let mut intent = trigger("shop.checkout.availability", "pager", &[], at(0));
    intent.alert.labels = [("service", "shop/checkout"), ("k8s.io/zone", "a"), ("2nd", "x"), ("empty", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let notifiers: Notifiers = [("pager".into(), notifier(&server, 1))].into_iter().collect();
    notifiers.send(&intent, at(60)).await.unwrap();
    let end = Intent { by: Some("ann".into()), created_at: at(90), ..after(&intent, Kind::Resolve, "pager") };
    notifiers.send(&end, at(100)).await.unwrap();
    let labels = json!({
        "alertname": "shop.checkout.availability", "severity": "page", "target": "on-call",
        "dedup_key": intent.dedup_key, "service": "shop/checkout", "k8s_io_zone": "a", "_2nd": "x",
    });
    let summary = "shop.checkout.availability is wrong";
    let want = [
        json!({ "labels": labels, "annotations": { "summary": summary },
            "startsAt": "2026-03-01T12:00:00Z", "endsAt": "2026-03-01T12:16:00Z" }),
        json!({ "labels": labels, "annotations": { "summary": summary, "by": "ann" },
            "startsAt": "2026-03-01T12:00:00Z", "endsAt": "2026-03-01T12:01:30Z" }),
    ];
    assert_eq!(posted(&server), want);
    assert!(server.requests()[0].head.starts_with("post /page/api/v2/alerts http/1.1\r\n"));
}

#[tokio::test]
async fn an_open_incident_is_posted_again_before_its_alert_ends_and_never_after_its_end() {
    let server = Server::start([]).await;
    let begin = trigger("k", "pager", &[], at(0));
    let outbox = Arc::new(MemoryOutbox::with([begin.clone()]));
    let sender = dispatcher(&outbox, &server);
    let report = sender.drain_once(at(0)).await.unwrap();
    assert_eq!(report, DrainReport { delivered: 1, next: Some(at(60)), ..DrainReport::default() });
    outbox.add(after(&begin, Kind::Acknowledge, "pager"));
    // A sender that was started anew goes on.
    let sender = dispatcher(&outbox, &server);
    let report = sender.drain_once(at(61)).await.unwrap();
    let want = DrainReport { refreshed: 1, superseded: 1, next: Some(at(121)), ..DrainReport::default() };
    assert_eq!(report, want, "an acknowledgement is nothing that an Alertmanager knows");
    outbox.add(after(&begin, Kind::Resolve, "pager"));
    let report = sender.drain_once(at(500)).await.unwrap();
    assert_eq!(report, DrainReport { delivered: 1, ..DrainReport::default() });
    let posted = posted(&server);
    assert_eq!(posted.len(), 3);
    assert!(posted.iter().all(|alert| alert["labels"] == posted[0]["labels"]));
    let ends: Vec<_> = posted.iter().map(|alert| alert["endsAt"].clone()).collect();
    assert_eq!(ends, ["2026-03-01T12:15:00Z", "2026-03-01T12:16:01Z", "2026-03-01T12:00:00Z"]);
}

#[tokio::test]
async fn a_refresh_that_fails_or_is_refused_is_tried_again_soon_and_through_no_other_channel() {
    let answers = [
        Answer::Status("200 OK\r\n", ""),
        Answer::Close,
        Answer::Status("503 x\r\n", ""),
        Answer::Status("401 x\r\n", ""),
        Answer::Status("429 x\r\nretry-after: 120\r\n", ""),
    ];
    let server = Server::start(answers).await;
    let outbox = Arc::new(MemoryOutbox::with([trigger("k", "pager", &["mail"], at(0))]));
    let sender = dispatcher(&outbox, &server);
    let (mut now, mut waits) = (at(0), Vec::new());
    for _ in 0..6 {
        let next = sender.drain_once(now).await.unwrap().next.unwrap();
        waits.push(next.duration_since(now).as_secs());
        now = next;
    }
    assert_eq!((waits[0], &waits[3..]), (60, &[60, 120, 60][..]), "{waits:?}");
    assert!(waits[1..3].iter().all(|wait| *wait <= 2), "{waits:?}");
    assert_eq!(outbox.states(), ["trigger pager delivered"]);
}

#[tokio::test]
async fn a_channel_that_was_taken_away_ends_the_refresh() {
    let server = Server::start([]).await;
    let outbox = Arc::new(MemoryOutbox::with([trigger("k", "pager", &[], at(0))]));
    dispatcher(&outbox, &server).drain_once(at(0)).await.unwrap();
    let sender = Dispatcher::new(Arc::clone(&outbox), Arc::default());
    assert_eq!(sender.drain_once(at(60)).await.unwrap(), DrainReport::default());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn basic_authentication_is_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let server = Server::start([Answer::Status("401 x\r\n", "no s3cret, no YW5uOnMzY3JldA==")]).await;
    let config = AlertmanagerConfig {
        url: Some(server.url()),
        basic_auth: Some(BasicAuthConfig { user: "ann".into(), password: SecretSource::File(file) }),
        ..AlertmanagerConfig::default()
    };
    let intent = trigger("k", "pager", &[], at(0));
    let error = Alertmanager::build(config).unwrap().send(&intent, at(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "answer 401 Unauthorized to a POST: no ***, no ***");
    let head = &server.requests()[0].head;
    assert!(head.contains("authorization: basic yw5uonmzy3jlda=="), "{head}");
}

#[test]
fn all_errors_of_a_configuration_come_at_once() {
    let build = |config| match Notifiers::build([("am".into(), NotifierConfig::Alertmanager(config))].into())
    {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    let url = || Some("http://127.0.0.1:9093".to_owned());
    let secs = |secs| Some(SignedDuration::from_secs(secs));
    let short = |resolve_after, repost_every| AlertmanagerConfig {
        url: url(),
        resolve_after: secs(resolve_after),
        repost_every,
        ..AlertmanagerConfig::default()
    };
    assert_eq!(build(short(3, None)), [""; 0]);
    assert_eq!(build(short(2, None)), ["am.resolve_after: is 2s; 3s to 24h is allowed"]);
    let want = "am.repost_every: is 31s; 1s to 30s, a third of resolve_after, is allowed";
    assert_eq!(build(short(90, secs(31))), [want]);
    let path = SecretSource::Env("PATH".into());
    let config = AlertmanagerConfig {
        bearer_token: Some(path.clone()),
        basic_auth: Some(BasicAuthConfig { user: "a:b".into(), password: path }),
        ..AlertmanagerConfig::default()
    };
    let want = [
        "am.url: exactly one of url and url_from is needed",
        "am.basic_auth: is there beside bearer_token; one of the two is allowed",
        "am.basic_auth.user: is empty or holds a colon",
    ];
    assert_eq!(build(config), want);
}

// === a double of Alertmanager against the whole way, with deaths in between ===

fn end(alert: &Value) -> Timestamp {
    alert["endsAt"].as_str().unwrap().parse().unwrap()
}

/// When each alert ends, by its labels: what an Alertmanager believes after these posts.
fn believed(posted: &[Value]) -> BTreeMap<String, Timestamp> {
    posted.iter().map(|alert| (alert["labels"].to_string(), end(alert))).collect()
}

/// Incidents whose alerts an Alertmanager believes to be active at `now`, through whichever labels.
fn active(posted: &[Value], now: Timestamp) -> Vec<String> {
    let active = believed(posted).into_iter().filter(|(_, end)| *end > now);
    let key = |labels: String| {
        serde_json::from_str::<Value>(&labels).unwrap()["dedup_key"].as_str().unwrap().to_owned()
    };
    let mut keys: Vec<_> = active.map(|(labels, _)| key(labels)).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Goes through `history`, looking every four minutes: what is posted every five must not end meanwhile.
async fn run(history: Vec<(i64, usize, Op)>, deaths: Vec<bool>) -> Result<(), TestCaseError> {
    let server = Server::start([]).await;
    let outbox = Arc::new(MemoryOutbox::dying(deaths));
    let sender = dispatcher_of(&outbox, notifier(&server, 5));
    let mut machine = Escalations::new(policies());
    let mut now = at(0);
    for (wait, index, op) in history {
        let then = Timestamp::from_second(now.as_second() + wait).unwrap();
        while now < then {
            now = Timestamp::from_second((now.as_second() + 240).min(then.as_second())).unwrap();
            machine.handle_timeout(now);
            intents(&take(&mut machine)).into_iter().for_each(|intent| outbox.add(intent));
            while sender.drain_once(now).await.is_err() {}
        }
        let key = format!("k{index}");
        let input = input(op, &key, machine.incidents().find(|incident| incident.alert.key == key));
        machine.handle(input, now);
        intents(&take(&mut machine)).into_iter().for_each(|intent| outbox.add(intent));
        while sender.drain_once(now).await.is_err() {}
        let told = machine.incidents().filter(|incident| !incident.receivers.is_empty());
        let mut open: Vec<_> = told.map(|incident| incident.id.0.clone()).collect();
        open.sort();
        let posted = posted(&server);
        let active = active(&posted, now);
        prop_assert!(open.iter().all(|key| active.contains(key)), "open {open:?}, active {active:?}");
        let ended = outdated(&posted);
        prop_assert!(ended.is_empty(), "posted after the end: {ended:?}");
    }
    Ok(())
}

/// Alerts that were posted as active after they had been posted as over, which is when their end comes nearer.
fn outdated(posted: &[Value]) -> Vec<String> {
    let (mut ends, mut over, mut outdated) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for alert in posted {
        let place = format!("{} {}", alert["labels"]["dedup_key"], alert["labels"]["target"]);
        let end = end(alert);
        match ends.insert(place.clone(), end) {
            Some(before) if end < before => drop(over.insert(place)),
            Some(before) if end > before && over.contains(&place) => outdated.push(place),
            _ => {}
        }
    }
    outdated
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn an_alert_is_active_while_its_incident_is_open_and_not_posted_after_its_end(
        history in history(),
        deaths in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(history, deaths))?;
    }
}
