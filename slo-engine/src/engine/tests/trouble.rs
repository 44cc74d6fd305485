//! Trouble around the engine: a full disk, crowds of readers, collectors without a token.

use std::net::IpAddr;
use std::sync::Arc;

use slo::counts::MinuteId;

use super::wall_clock::{at, heard, heartbeat, wall};
use super::{Clock, Engine, START, bad_hour, parts, request};
use crate::refused::RefusedWriters;

/// A request whose rows need pages that a full disk has not.
fn large(minute: i64) -> slo::counts::CountsRequest {
    let mut large = request(minute, 1);
    let template = large.rows[0].clone();
    large.rows = (0..2000)
        .map(|name| {
            let mut row = template.clone();
            row.key.service = slo::counts::ServiceRef::Upstream(format!("ns{name:04}-svc-80"));
            row
        })
        .collect();
    large
}

#[tokio::test]
async fn an_engine_whose_disk_is_full_shows_what_is_committed_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    for request in bad_hour().into_iter().take(30) {
        engine.ingest(request).await.unwrap();
    }
    engine.tick(at(30, 0)).await.unwrap();
    let before = engine.overview().await.unwrap();
    engine.store().set_full(true).await;
    let mut refused = 0;
    for minute in 30..60 {
        refused += u32::from(engine.ingest(large(minute)).await.is_err());
    }
    assert!(refused > 0, "the disk is full");
    engine.store().set_full(false).await;
    let fresh = wall(dir.path()).await.overview().await.unwrap();
    assert_eq!(engine.overview().await.unwrap(), fresh, "memory is what is committed");
    for minute in 30..60 {
        engine.ingest(large(minute)).await.unwrap();
    }
    engine.tick(at(60, 0)).await.unwrap();
    let services = engine.overview().await.unwrap().services;
    let total =
        |services: &[crate::overview::ServiceView]| services.iter().map(|it| it.slos[0].total).sum::<u64>();
    assert_eq!(total(&services), total(&before.services) + 30 * 2000 * 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_however_many_delay_no_tick() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(wall(dir.path()).await);
    for request in bad_hour() {
        engine.ingest(request).await.unwrap();
    }
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    engine.page_model().await.unwrap();
                    engine.incidents().await.unwrap();
                }
            })
        })
        .collect();
    for minute in 120..160 {
        engine.ingest(heartbeat("node", minute)).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(engine.snapshot().judged_to, Some(MinuteId(START + 160)));
}

#[tokio::test]
async fn collectors_without_a_token_are_an_alert_until_they_have_one() {
    let dir = tempfile::tempdir().unwrap();
    let refused = RefusedWriters::default();
    let parts = super::Parts { refused: refused.clone(), ..parts(Clock::Wall, dir.path()).await };
    let engine = Engine::open(parts).await.unwrap();
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    engine.tick(at(1, 0)).await.unwrap();
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    (0..3).for_each(|second| refused.refuse(address, 401, at(1, second)));
    engine.tick(at(1, 10)).await.unwrap();
    let open = engine.incidents_before(None, Some(true), 10).await.unwrap().unwrap();
    assert_eq!(open.len(), 1);
    assert!(open[0].summary.contains("192.0.2.7"), "{}", open[0].summary);
    refused.accept(address);
    engine.tick(at(1, 20)).await.unwrap();
    assert_eq!(engine.incidents_before(None, Some(true), 10).await.unwrap().unwrap(), []);
}
