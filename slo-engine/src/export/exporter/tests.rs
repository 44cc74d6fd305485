//! The exporter against a double: whatever the server does, nothing waits for it, and nothing is missing afterwards.

use std::collections::BTreeSet;
use std::path::Path;

use alerts::{ChannelName, PoliciesConfig};
use prometheus::Registry;
use slo::counts::{
    ByteRange, CountRow, Counts, CountsRequest, DEFAULT_EDGES_US, Origin, RowKey, ServiceRef, Sli,
    StreamReport, Tally,
};
use slo::sketch::Sketch;

use super::*;
use crate::engine::{Clock, Parts};
use crate::export::double::{Double, Held, Mood};
use crate::metrics::Metrics;
use crate::specs::Specs;
use crate::store::Store;

/// Minutes before now that the requests begin.
const AGO: i64 = 90;

const PACE: Pace = Pace {
    look: Duration::from_millis(20),
    counts: Duration::from_millis(20),
    pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(20),
};

async fn engine(dir: &Path, registry: &Registry) -> Arc<Engine> {
    let parts = Parts {
        store: Store::open(&dir.join("engine.db")).await.unwrap(),
        specs: Specs::default(),
        services: BTreeSet::new(),
        policies: PoliciesConfig::default().prove(&[ChannelName::from("log")]).unwrap(),
        clock: Clock::Wall,
        metrics: Metrics::new(registry).unwrap(),
        exports: true,
        caps: crate::engine::Caps::default(),
        refused: crate::refused::RefusedWriters::default(),
    };
    Arc::new(Engine::open(parts).await.unwrap())
}

/// Minute `AGO - at` before now: ten requests, in ten bytes, of each SLI.
fn request(at: i64) -> CountsRequest {
    let minute = MinuteId::of_timestamp(now()).plus(at - AGO);
    let range = ByteRange { start: at as u64 * 10, end: at as u64 * 10 + 10 };
    let row = |sli: Sli| {
        let service = ServiceRef::Named { namespace: "shop".to_owned(), name: "web".to_owned() };
        let key =
            RowKey { stream: "s".to_owned(), service, origin: Origin::Ingress, sli, version: 1, minute };
        let mut ladder = vec![0; DEFAULT_EDGES_US.len() + 1];
        ladder[0] = 10;
        let ladder = if sli == Sli::Latency { ladder } else { Vec::new() };
        let counts = Counts { total: 10, bad: 0, excluded: 0 };
        CountRow { key, range, counts, ladder, sketch: Sketch::default() }
    };
    let end = minute.plus(1).start().as_millisecond();
    CountsRequest {
        collector: "node".to_owned(),
        epoch: "e".to_owned(),
        watermark_ms: Some(end),
        node: None,
        archived_to_ms: None,
        store: None,
        edges_us: DEFAULT_EDGES_US.to_vec(),
        streams: vec![StreamReport {
            stream: "s".to_owned(),
            path: "/var/log/pods/x".to_owned(),
            namespace: None,
            pod: None,
            container: None,
            range,
            tally: Tally { lines: 10, requests: 10, ..Tally::default() },
            newest_ms: Some(end),
            oldest_ms: None,
            ended: false,
            broken: None,
        }],
        rows: vec![row(Sli::Availability), row(Sli::Latency)],
    }
}

struct Running {
    engine: Arc<Engine>,
    registry: Registry,
    stopper: telemetry::Stopper,
    task: tokio::task::JoinHandle<()>,
}

async fn run(dir: &Path, double: &Double) -> Running {
    let registry = Registry::new();
    let engine = engine(dir, &registry).await;
    let (stopper, stop) = telemetry::stopper();
    let config = Elasticsearch { client: double.config(), retention_days: 30 };
    let exporter = Exporter::new(engine.clone(), Environment::default(), &config, PACE, stop).unwrap();
    Running { engine, registry, stopper, task: tokio::spawn(exporter.run()) }
}

impl Running {
    async fn count(&self, minutes: std::ops::Range<i64>) {
        for at in minutes {
            self.engine.ingest(request(at)).await.unwrap();
        }
        self.engine.tick(now()).await.unwrap();
    }

    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let has = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|label| metric.get_label().iter().any(|pair| pair.value() == *label))
        };
        let metric = family.get_metric().iter().find(has).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    /// Ends it; what is in flight is settled.
    async fn stop(&mut self) {
        self.stopper.stop();
        (&mut self.task).await.unwrap();
    }
}

fn rows(held: &Held) -> usize {
    held.documents.values().filter(|document| document["kind"] == "row").count()
}

fn results(held: &Held) -> usize {
    held.documents.values().filter(|document| document["slo"].is_string()).count()
}

fn collectors(held: &Held) -> usize {
    held.documents.values().filter(|document| document["kind"] == "collector").count()
}

#[tokio::test]
async fn while_the_server_fails_nothing_waits_and_afterwards_nothing_is_missing() {
    let (dir, double) = (tempfile::tempdir().unwrap(), Double::start().await);
    double.held().mood = Mood::Away;
    let mut running = run(dir.path(), &double).await;
    running.count(0..40).await;
    double.until(|held| held.bulks >= 3).await;
    assert!(running.metric("headroom_export_pending", &["counts"]) > 0.0);
    assert!(running.metric("headroom_export_lag_seconds", &[]) >= 60.0);
    assert_eq!(double.held().documents.len(), 0);
    double.held().mood = Mood::Full;
    let bulks = double.held().bulks;
    double.until(|held| held.bulks >= bulks + 3).await;
    running.count(40..80).await;
    double.held().mood = Mood::Well;
    // Two SLIs a minute; of results the minutes up to the last but one from now.
    double.until(|held| rows(held) == 160 && results(held) >= 2 * 88 && collectors(held) > 0).await;
    assert!(double.held().documents.values().all(|document| document["id"].is_string()));
    running.stop().await;
}

#[tokio::test]
async fn an_exporter_that_is_stopped_goes_on_where_it_was() {
    let (dir, double) = (tempfile::tempdir().unwrap(), Double::start().await);
    double.held().mood = Mood::Away;
    let mut running = run(dir.path(), &double).await;
    running.count(0..40).await;
    double.until(|held| held.bulks >= 1).await;
    running.stop().await;
    double.held().mood = Mood::Well;
    let mut again = run(dir.path(), &double).await;
    again.engine.tick(now()).await.unwrap();
    double.until(|held| rows(held) == 80 && results(held) >= 2 * 88 && collectors(held) > 0).await;
    again.stop().await;
}

#[tokio::test]
async fn a_refused_document_is_counted_and_blocks_no_other() {
    let (dir, double) = (tempfile::tempdir().unwrap(), Double::start().await);
    double.held().mood = Mood::Refuses("\"sli\":\"latency\"");
    let mut running = run(dir.path(), &double).await;
    running.count(0..20).await;
    double.until(|held| rows(held) == 20 && results(held) > 0 && collectors(held) > 0).await;
    running.stop().await;
    assert!(running.metric("headroom_export_documents_total", &["counts", "rejected"]) >= 20.0);
}

#[tokio::test]
async fn templates_come_before_documents_and_old_days_of_ours_go() {
    let (dir, double) = (tempfile::tempdir().unwrap(), Double::start().await);
    let mut kept: Vec<String> = Vec::new();
    for (kind, days) in [(Kind::Logs, 30), (Kind::Counts, 32), (Kind::Results, 30)] {
        let daily = kind.daily(&Environment::default());
        let day = |ago: i64| daily.index(day_of(now() - SignedDuration::from_hours(24 * ago)));
        kept.push(day(days));
        double.held().indices.extend([day(days), day(days + 1), day(400)]);
    }
    for other in ["headroom-logs-production-eu-2020.01.01", "headroom-logs-production-old", "logs-2020.01.01"]
    {
        kept.push(other.to_owned());
        double.held().indices.push(other.to_owned());
    }
    let mut running = run(dir.path(), &double).await;
    double.until(|held| held.indices.len() == 6).await;
    kept.sort();
    let mut left = double.held().indices.clone();
    left.sort();
    assert_eq!(left, kept);
    assert_eq!(double.held().templates.len(), 3);
    running.stop().await;
}
