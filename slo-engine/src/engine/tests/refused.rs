//! Collectors that are refused for want of a token.

use std::net::IpAddr;

use super::wall_clock::{at, heard};
use super::{Clock, Engine, Parts, parts};
use crate::refused::RefusedWriters;

#[tokio::test]
async fn collectors_without_a_token_are_an_alert_until_they_have_one() {
    let dir = tempfile::tempdir().unwrap();
    let refused = RefusedWriters::default();
    let parts = Parts { refused: refused.clone(), ..parts(Clock::Wall, dir.path()).await };
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
