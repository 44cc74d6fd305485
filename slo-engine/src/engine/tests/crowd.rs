//! A pod whose log names thousands of services: some of them count under their names, the rest as unattributed, and none is
//! lost.

use slo::counts::{CountRow, CountsRequest, ServiceRef};

use super::cluster::{routed, service};
use super::wall_clock::{at, heard, wall};
use super::*;

const NAMES: usize = 3000;
const CAP: usize = 2000;

/// A request of each name, all in one pod's rows.
fn crowd(minute: i64) -> CountsRequest {
    let mut request = heard("a", minute, 0, Some(minute + 1));
    let row = request.rows[0].clone();
    request.rows = (0..NAMES).map(|number| named(&row, &format!("n{number:04}"))).collect();
    request
}

fn named(row: &CountRow, name: &str) -> CountRow {
    let mut row = row.clone();
    row.key.service = ServiceRef::Named { namespace: "flood".to_owned(), name: name.to_owned() };
    row.counts.total = 1;
    row
}

/// How many services there are, requests of the unattributed, and of all.
async fn counted(engine: &Engine) -> (usize, u64, u64) {
    let services = engine.overview().await.unwrap().services;
    let total = |service: &crate::overview::ServiceView| service.slos[0].total;
    let rest = services.iter().find(|service| service.service == "unattributed").map_or(0, total);
    (services.len(), rest, services.iter().map(total).sum())
}

/// Keys of open alerts, and how many incidents there ever were.
async fn alerts(engine: &Engine) -> (Vec<String>, usize) {
    let store = engine.store();
    let incidents = crate::store::alerts::incidents(&mut store.read().await.unwrap()).await.unwrap();
    let open = incidents.iter().filter(|incident| incident.is_open());
    (open.map(|incident| incident.alert.key.clone()).collect(), incidents.len())
}

#[tokio::test]
async fn beyond_the_cap_names_count_as_unattributed_and_one_alert_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest_at(crowd(0), at(1, 0)).await.unwrap();
    engine.tick(at(1, 0)).await.unwrap();
    let rest = (NAMES - CAP) as u64;
    assert_eq!(counted(&engine).await, (CAP + 1, rest, NAMES as u64));
    assert_eq!(alerts(&engine).await, (vec!["pipeline/services".to_owned()], 1));
    // The same names again, after a start too: those that have a place keep it.
    let engine = wall(dir.path()).await;
    engine.ingest_at(crowd(1), at(2, 0)).await.unwrap();
    engine.tick(at(2, 0)).await.unwrap();
    assert_eq!(counted(&engine).await, (CAP + 1, 2 * rest, 2 * NAMES as u64));
    assert_eq!(alerts(&engine).await, (vec!["pipeline/services".to_owned()], 1));
    assert_eq!(counted(&wall(dir.path()).await).await, (CAP + 1, 2 * rest, 2 * NAMES as u64));
    // An hour after the last such row the alert is over.
    engine.tick(at(70, 0)).await.unwrap();
    let open = alerts(&engine).await.0;
    assert!(!open.contains(&"pipeline/services".to_owned()), "{open:?}");
}

#[tokio::test]
async fn a_service_that_discovery_knows_has_a_place_however_many_others_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest_at(crowd(0), at(1, 0)).await.unwrap();
    engine.discovered(&routed(vec![service("web", &[])]), at(1, 0)).await.unwrap();
    engine.ingest_at(heard("b", 1, 0, Some(2)), at(2, 0)).await.unwrap();
    engine.tick(at(2, 0)).await.unwrap();
    for engine in [engine, wall(dir.path()).await] {
        let services = engine.overview().await.unwrap().services;
        let web = services.iter().find(|service| service.service == "shop/web").unwrap();
        assert_eq!(web.slos[0].total, 100);
        assert_eq!(counted(&engine).await.1, (NAMES - CAP) as u64);
    }
}
