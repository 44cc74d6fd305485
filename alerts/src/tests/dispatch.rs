//! The dispatcher over the outbox's double, against real servers, with the time as an argument.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::outbox::MemoryOutbox;
use super::server::{Answer, Server};
use super::{after, at, trigger};
use crate::{Backoff, Dispatcher, DrainReport, Intent, IntentId, Kind, Notifier, Notifiers};

const SERVER_ERROR: Answer = Answer::Status("500 x\r\n", "");
const UNAUTHORIZED: Answer = Answer::Status("401 x\r\n", "");

fn dispatcher(outbox: &Arc<MemoryOutbox>, channels: &[(&str, &Server)]) -> Dispatcher<Arc<MemoryOutbox>> {
    let notifier = |(name, server): &(&str, &Server)| ((*name).into(), Notifier::Webhook(server.webhook()));
    let notifiers: Notifiers = channels.iter().map(notifier).collect();
    Dispatcher::new(Arc::clone(outbox), Arc::new(notifiers))
}

fn outbox(intents: impl IntoIterator<Item = Intent>) -> Arc<MemoryOutbox> {
    Arc::new(MemoryOutbox::with(intents))
}

/// Drains at the beginning and whenever something is due, `times` in all; the times at which it did.
async fn drain(dispatcher: &Dispatcher<Arc<MemoryOutbox>>, times: usize) -> Vec<Timestamp> {
    let (mut now, mut drained) = (at(0), Vec::new());
    for _ in 0..times {
        drained.push(now);
        match dispatcher.drain_once(now).await.unwrap().next {
            Some(next) => now = next,
            None => break,
        }
    }
    drained
}

#[tokio::test]
async fn a_message_is_sent_under_one_id_until_it_is_taken() {
    let answers = [SERVER_ERROR, Answer::Close, Answer::Status("429 x\r\nretry-after: 600\r\n", "")];
    let server = Server::start(answers).await;
    let intent = trigger("k", "pager", &[], at(0));
    let outbox = outbox([intent.clone()]);
    let drained = drain(&dispatcher(&outbox, &[("pager", &server)]), 100).await;
    assert_eq!(outbox.states(), ["trigger pager delivered"]);
    let ids: Vec<_> = server.requests().iter().map(|request| request.body["id"].clone()).collect();
    assert_eq!(ids, vec![serde_json::json!(intent.id); 4]);
    assert_eq!(
        drained[3].duration_since(drained[2]),
        SignedDuration::from_secs(600),
        "as the receiver asked"
    );
}

#[tokio::test]
async fn other_notifiers_send_what_is_due_from_then_on() {
    let (old, new) = (Server::start([SERVER_ERROR]).await, Server::start([]).await);
    let outbox = outbox([trigger("k", "pager", &[], at(0))]);
    let dispatcher = dispatcher(&outbox, &[("pager", &old)]);
    let report = dispatcher.drain_once(at(0)).await.unwrap();
    let notifier = ("pager".into(), Notifier::Webhook(new.webhook()));
    dispatcher.clone().set_notifiers(Arc::new([notifier].into_iter().collect()));
    assert_eq!((report.retried, new.requests().len()), (1, 0));
    dispatcher.drain_once(report.next.unwrap()).await.unwrap();
    assert_eq!((old.requests().len(), new.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_receiver_that_took_the_message_but_never_answered_gets_it_again_under_its_id() {
    let server = Server::start([Answer::Hang]).await;
    let outbox = outbox([trigger("k", "pager", &[], at(0))]);
    let notifiers = [("pager".into(), Notifier::Webhook(server.hasty_webhook()))].into_iter().collect();
    let report = Dispatcher::new(Arc::clone(&outbox), Arc::new(notifiers)).drain_once(at(0)).await.unwrap();
    assert_eq!((report.delivered, report.retried), (0, 1));
    let report = dispatcher(&outbox, &[("pager", &server)]).drain_once(report.next.unwrap()).await.unwrap();
    assert_eq!((report.delivered, report.next), (1, None));
    assert_eq!(server.requests()[0].body, server.requests()[1].body);
}

#[tokio::test]
async fn a_receiver_that_is_down_for_hours_is_never_given_up() {
    let server = Server::start(vec![SERVER_ERROR; 300]).await;
    let outbox = outbox([trigger("k", "pager", &["mail"], at(0))]);
    let drained = drain(&dispatcher(&outbox, &[("pager", &server)]), 1_000).await;
    assert_eq!(drained.len(), 301);
    assert!(*drained.last().unwrap() > at(12 * 3_600), "backs off");
    assert_eq!(outbox.states(), ["trigger pager delivered"]);
}

#[tokio::test]
async fn a_refusal_goes_to_the_next_channel_at_once_under_its_own_id() {
    let (pager, mail) = (Server::start([UNAUTHORIZED]).await, Server::start([]).await);
    let intent = trigger("k", "pager", &["mail"], at(0));
    let outbox = outbox([intent.clone()]);
    let report = dispatcher(&outbox, &[("pager", &pager), ("mail", &mail)]).drain_once(at(0)).await.unwrap();
    assert_eq!(report, DrainReport { delivered: 1, refused: 1, ..DrainReport::default() });
    assert_eq!(outbox.states(), ["trigger pager refused", "trigger mail delivered"]);
    assert_eq!(outbox.errors(), ["answer 401 Unauthorized to a POST: "]);
    assert_eq!(mail.requests()[0].body["id"], serde_json::json!(intent.next_channel().unwrap().id));
    assert_ne!(intent.next_channel().unwrap().id, intent.id);
}

#[tokio::test]
async fn the_end_is_told_where_the_beginning_arrived_and_nowhere_else() {
    let (pager, mail) = (Server::start([UNAUTHORIZED]).await, Server::start([]).await);
    let begin = trigger("k", "pager", &["mail"], at(0));
    let ends = [
        ("pager", Kind::Acknowledge),
        ("mail", Kind::Acknowledge),
        ("pager", Kind::Resolve),
        ("mail", Kind::Resolve),
    ];
    let outbox =
        outbox([begin.clone()].into_iter().chain(ends.map(|(channel, kind)| after(&begin, kind, channel))));
    let report = dispatcher(&outbox, &[("pager", &pager), ("mail", &mail)]).drain_once(at(0)).await.unwrap();
    assert_eq!(report, DrainReport { delivered: 3, refused: 1, superseded: 2, ..DrainReport::default() });
    assert_eq!(pager.kinds(), ["trigger"]);
    assert_eq!(mail.kinds(), ["trigger", "acknowledge", "resolve"]);
}

#[tokio::test]
async fn the_end_waits_for_the_beginning_but_not_for_other_incidents() {
    let server = Server::start([SERVER_ERROR]).await;
    let stuck = trigger("stuck", "pager", &[], at(0));
    let outbox = outbox([stuck.clone(), after(&stuck, Kind::Resolve, "pager")]);
    let dispatcher = dispatcher(&outbox, &[("pager", &server)]);
    assert_eq!(dispatcher.drain_once(at(0)).await.unwrap().retried, 1);
    outbox.add(trigger("other", "pager", &[], at(0)));
    assert_eq!(dispatcher.drain_once(at(0)).await.unwrap().delivered, 1);
    assert_eq!(dispatcher.drain_once(at(1)).await.unwrap().delivered, 2);
    assert_eq!(server.kinds(), ["trigger", "trigger", "trigger", "resolve"]);
    assert_eq!(server.requests()[1].body["key"], "other");
}

#[tokio::test]
async fn a_newer_trigger_takes_the_place_of_one_that_could_not_arrive() {
    let server = Server::start([SERVER_ERROR]).await;
    let old = trigger("k", "pager", &[], at(0));
    let outbox = outbox([old.clone()]);
    let dispatcher = dispatcher(&outbox, &[("pager", &server)]);
    dispatcher.drain_once(at(0)).await.unwrap();
    outbox.add(Intent { round: 1, created_at: at(1), ..old }.identified());
    dispatcher.drain_once(at(1)).await.unwrap();
    assert_eq!(outbox.states(), ["trigger pager superseded", "trigger pager delivered"]);
}

#[tokio::test]
async fn the_last_channels_refusal_is_tried_for_three_days_since_a_token_can_be_mended() {
    let server = Server::start(vec![UNAUTHORIZED; 2]).await;
    let outbox = outbox([trigger("k", "pager", &[], at(0)), trigger("gone", "fax", &[], at(0))]);
    let dispatcher = dispatcher(&outbox, &[("pager", &server)]);
    let report = dispatcher.drain_once(at(0)).await.unwrap();
    assert_eq!(report, DrainReport { retried: 2, next: Some(at(300)), ..DrainReport::default() });
    let report = dispatcher.drain_once(at(72 * 3_600)).await.unwrap();
    assert_eq!(report, DrainReport { dead: 2, ..DrainReport::default() });
    assert_eq!(outbox.errors()[1], "channel fax is not configured (any more)");
}

#[tokio::test]
async fn a_death_between_the_answer_and_the_settlement_repeats_the_same_message() {
    let server = Server::start([]).await;
    let outbox = Arc::new(MemoryOutbox::dying(vec![true]));
    outbox.add(trigger("k", "pager", &[], at(0)));
    let dispatcher = dispatcher(&outbox, &[("pager", &server)]);
    dispatcher.drain_once(at(0)).await.unwrap_err();
    dispatcher.drain_once(at(0)).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
}

#[tokio::test]
async fn the_driver_sends_what_is_there_and_stops_when_told() {
    let server = Server::start([]).await;
    let outbox = outbox([trigger("k", "pager", &[], at(0))]);
    let dispatcher = dispatcher(&outbox, &[("pager", &server)]);
    let wake = tokio::sync::Notify::new();
    dispatcher.run(&wake, std::future::ready(())).await;
    assert_eq!(outbox.states(), ["trigger pager delivered"]);
}

#[test]
fn the_wait_doubles_to_its_cap_and_is_spread_but_always_the_same() {
    let backoff = Backoff::default();
    let id = |i: u32| IntentId(i.to_string());
    for attempts in 0..40 {
        let whole = 2i64.pow(attempts.min(9)).min(300) * 1_000;
        let waits: Vec<_> = (0..20).map(|i| backoff.delay(&id(i), attempts, None).as_millis()).collect();
        assert!(
            waits.iter().all(|wait| (i128::from(whole) / 2..=i128::from(whole)).contains(wait)),
            "{waits:?}"
        );
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
        assert_eq!(backoff.delay(&id(1), attempts, None), backoff.delay(&id(1), attempts, None));
    }
    let asked = |hours| backoff.delay(&id(1), 0, Some(SignedDuration::from_hours(hours)));
    assert_eq!(asked(1), SignedDuration::from_hours(1));
    assert_eq!(asked(24), SignedDuration::from_hours(1), "no receiver puts a page off for a day");
    assert_eq!(backoff.delay(&id(1), u32::MAX, Some(SignedDuration::MAX)), SignedDuration::from_hours(1));
}
