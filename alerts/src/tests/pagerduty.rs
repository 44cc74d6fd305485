//! The PagerDuty notifier against a double that holds the documented contract of the Events API v2. The real API is not
//! to be had in a test.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::outbox::MemoryOutbox;
use super::server::{Answer, Request, Server};
use super::{after, at, ticket, trigger};
use crate::{
    Dispatcher, Intent, Kind, Notifier, NotifierConfig, Notifiers, Pagerduty, PagerdutyConfig, SecretSource,
    SendError,
};

const ACCEPTED: Answer = Answer::Status("202 Accepted\r\n", r#"{"status":"success"}"#);

fn pagerduty(server: &Server) -> Pagerduty {
    let routing_key = SecretSource::Env("CARGO_PKG_NAME".into());
    Pagerduty::build(PagerdutyConfig { routing_key, url: Some(server.url()), timeout: None }).unwrap()
}

// === the double's contract ===

/// An incident at PagerDuty: what it is now, and how many events spoke of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    state: &'static str,
    events: u32,
}

/// What PagerDuty would hold after these requests. Fails on the first that it would refuse.
fn accept(requests: &[Request]) -> Result<BTreeMap<String, Held>, String> {
    let mut held = BTreeMap::new();
    for request in requests {
        if !request.head.contains("content-type: application/json") {
            return Err("content type".into());
        }
        let event = request.body.as_object().ok_or("no object")?;
        let (key, state) = check_event(event)?;
        let incident = held.entry(key).or_insert(Held { state, events: 0 });
        // An acknowledged incident that is triggered again stays acknowledged; a resolved one is begun anew.
        if !(incident.state == "acknowledged" && state == "triggered") {
            incident.state = state;
        }
        incident.events += 1;
    }
    Ok(held)
}

fn check_event(event: &Map<String, Value>) -> Result<(String, &'static str), String> {
    known(
        event,
        &["routing_key", "event_action", "dedup_key", "payload", "links", "images", "client", "client_url"],
    )?;
    text(event, "routing_key", 32)?;
    let key = text(event, "dedup_key", 255)?;
    let state = match text(event, "event_action", 11)? {
        "trigger" => "triggered",
        "acknowledge" => "acknowledged",
        "resolve" => "resolved",
        other => return Err(format!("event_action {other}")),
    };
    match event.get("payload").and_then(Value::as_object) {
        Some(payload) => check_payload(payload)?,
        None if state == "triggered" => return Err("a trigger without payload".into()),
        None => {}
    }
    for link in event.get("links").and_then(Value::as_array).into_iter().flatten() {
        text(link.as_object().ok_or("link")?, "href", 2_048)?;
    }
    Ok((key.to_owned(), state))
}

fn check_payload(payload: &Map<String, Value>) -> Result<(), String> {
    known(
        payload,
        &["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"],
    )?;
    text(payload, "summary", 1_024)?;
    text(payload, "source", usize::MAX)?;
    let severity = text(payload, "severity", 8)?;
    if !["critical", "warning", "error", "info"].contains(&severity) {
        return Err(format!("severity {severity}"));
    }
    let time = text(payload, "timestamp", 40)?.parse::<jiff::Timestamp>();
    time.map(drop).map_err(|cause| format!("timestamp: {cause}"))
}

fn known(object: &Map<String, Value>, names: &[&str]) -> Result<(), String> {
    let stranger = object.keys().find(|name| !names.contains(&name.as_str()));
    stranger.map_or(Ok(()), |name| Err(format!("unknown field {name}")))
}

/// A field that must be there, not empty and at most `longest` characters long.
fn text<'a>(object: &'a Map<String, Value>, name: &str, longest: usize) -> Result<&'a str, String> {
    let text = object.get(name).and_then(Value::as_str).ok_or(format!("no {name}"))?;
    let whole = !text.is_empty() && text.chars().count() <= longest;
    if whole { Ok(text) } else { Err(format!("length of {name}")) }
}

// === what is sent ===

#[tokio::test]
async fn an_incident_is_one_at_pagerduty_from_trigger_to_resolve() {
    let server = Server::start(vec![ACCEPTED; 4]).await;
    let begin = trigger("k", "pager", &[], at(0));
    let notifier = pagerduty(&server);
    for intent in [
        begin.clone(),
        begin.clone(),
        after(&begin, Kind::Acknowledge, "pager"),
        after(&begin, Kind::Resolve, "pager"),
    ] {
        notifier.send(&intent, at(0)).await.unwrap();
    }
    let states = |upto: usize| accept(&server.requests()[..upto]).unwrap()[&begin.dedup_key].clone();
    assert_eq!(states(2), Held { state: "triggered", events: 2 });
    assert_eq!(states(3), Held { state: "acknowledged", events: 3 });
    assert_eq!(accept(&server.requests()).unwrap().len(), 1);
    assert_eq!(states(4), Held { state: "resolved", events: 4 });
}

#[tokio::test]
async fn the_event_says_what_is_wrong_where_and_how_much_haste_it_needs() {
    let server = Server::start(vec![ACCEPTED; 2]).await;
    let mut intent = trigger("shop.checkout.availability", "pager", &[], at(0));
    intent.alert.labels =
        [("service", "shop/checkout"), ("slo", "availability"), ("runbook", "https://run.example/1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    pagerduty(&server).send(&intent, at(0)).await.unwrap();
    let warning = Intent { alert: ticket("k"), ..intent.clone() };
    pagerduty(&server).send(&warning, at(0)).await.unwrap();
    accept(&server.requests()).unwrap();
    let bodies: Vec<_> = server.requests().into_iter().map(|request| request.body).collect();
    let payload = &bodies[0]["payload"];
    let got = ["source", "component", "class", "severity", "timestamp"].map(|name| payload[name].clone());
    let want =
        ["shop.checkout.availability", "shop/checkout", "availability", "critical", "2026-03-01T12:00:00Z"];
    assert_eq!(got, want);
    assert_eq!(payload["custom_details"]["id"], serde_json::json!(intent.id));
    assert_eq!(
        bodies[0]["links"],
        serde_json::json!([{ "href": "https://run.example/1", "text": "runbook" }])
    );
    assert_eq!(
        (&bodies[0]["routing_key"], &bodies[1]["payload"]["severity"]),
        (&"alerts".into(), &"warning".into())
    );
}

#[tokio::test]
async fn a_long_summary_is_cut_between_characters_and_an_empty_one_replaced() {
    let server = Server::start(vec![ACCEPTED; 2]).await;
    let mut intent = trigger("k", "pager", &[], at(0));
    for summary in ["€".repeat(1_500), String::new()] {
        intent.alert.summary = summary;
        pagerduty(&server).send(&intent, at(0)).await.unwrap();
    }
    accept(&server.requests()).unwrap();
    let summaries: Vec<_> =
        server.requests().iter().map(|request| request.body["payload"]["summary"].clone()).collect();
    assert_eq!(summaries, ["€".repeat(1_024), "k".to_owned()]);
}

#[tokio::test]
async fn a_limit_is_waited_for_and_an_invalid_event_goes_to_the_next_channel() {
    let answers = [
        Answer::Status("429 x\r\n", ""),
        Answer::Status("500 x\r\n", ""),
        Answer::Status("400 Bad Request\r\n", r#"{"status":"invalid event","errors":["bad key alerts"]}"#),
    ];
    let (server, other) = (Server::start(answers).await, Server::start([]).await);
    let outbox = Arc::new(MemoryOutbox::with([trigger("k", "pager", &["mail"], at(0))]));
    let channels = [
        ("pager".into(), Notifier::Pagerduty(pagerduty(&server))),
        ("mail".into(), Notifier::Webhook(other.webhook())),
    ];
    let sender = Dispatcher::new(Arc::clone(&outbox), Arc::new(Notifiers::from_iter(channels)));
    let mut now = at(0);
    while let Some(next) = sender.drain_once(now).await.unwrap().next {
        now = next;
    }
    assert_eq!(outbox.states(), ["trigger pager refused", "trigger mail delivered"]);
    assert_eq!(server.requests().len(), 3);
    assert!(outbox.errors()[0].contains("bad key ***"), "the key is not shown: {:?}", outbox.errors());
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_told_at_the_start_and_may_be_mended_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let config = |url: &str| PagerdutyConfig {
        routing_key: SecretSource::File(file.clone()),
        url: Some(url.to_owned()),
        timeout: None,
    };
    let build = |config| Notifiers::build([("pd".into(), NotifierConfig::Pagerduty(config))].into());
    let errors: Vec<_> = build(config("ftp://x")).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(errors[0].starts_with("pd.routing_key: cannot read file ") && errors.len() == 2, "{errors:?}");
    assert_eq!(errors[1], "pd.url: has the scheme ftp; http and https are allowed");
    std::fs::write(&file, "k3y").unwrap();
    let notifier = Pagerduty::build(config("http://127.0.0.1:1/")).unwrap();
    std::fs::remove_file(&file).unwrap();
    let error = notifier.send(&trigger("k", "pager", &[], at(0)), at(0)).await.unwrap_err();
    assert!(matches!(error, SendError::Retry { .. }), "{error}");
}
