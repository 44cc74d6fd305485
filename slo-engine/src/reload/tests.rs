//! Files that change under a running engine: what it takes, what it leaves, and what it says.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;

use jiff::Timestamp;
use serde_json::{Value, json};
use slo::counts::{MinuteId, Sli};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::app::Front;
use crate::discovery::Service;
use crate::engine::Clock;

/// 2026-11-23T10:00:00Z.
const START: MinuteId = MinuteId(29_923_800);

const DOCUMENT: &str = "
apiVersion: openslo/v1
kind: SLO
metadata: {name: web}
spec:
  service: shop/web
  indicator:
    metadata: {name: web-works}
    spec:
      ratioMetric:
        good: {metricSource: {type: headroom, spec: {sli: availability}}}
        total: {metricSource: {type: headroom, spec: {sli: availability}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.99}]
";

fn env(name: &str) -> Option<String> {
    matches!(name, "ONE" | "TWO").then(|| name.to_lowercase())
}

async fn is_seen(reloader: &Reloader) -> bool {
    timeout(LOOK_EVERY * 3, reloader.changed()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_file_or_of_one_that_it_names_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // As the kubelet lays out a ConfigMap: the folder is exchanged as a whole.
    for version in ["one", "two"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("slo.yaml"), DOCUMENT).unwrap();
    }
    let text = format!("data_dir: {}\nslos: [{}]\n", at("data").display(), at("now/slo.yaml").display());
    fs::write(at("one/engine.yaml"), &text).unwrap();
    fs::write(at("two/engine.yaml"), text.replace("data_dir", "other__")).unwrap();
    symlink("one", at("now")).unwrap();
    let reloader = || Reloader::new(&at("now/engine.yaml"), env, &Registry::new()).unwrap();
    let first = reloader();
    assert!(!is_seen(&first).await);
    symlink("two", at("next")).unwrap();
    fs::rename(at("next"), at("now")).unwrap();
    assert!(is_seen(&first).await);
    let second = reloader();
    fs::write(at("two/slo.yaml"), DOCUMENT.replace("0.9", "0.8")).unwrap();
    assert!(is_seen(&second).await);
}

/// An engine over a folder, its file and what takes changes of it.
struct Running {
    dir: tempfile::TempDir,
    app: App,
    reloader: Reloader,
    registry: Registry,
}

impl Running {
    async fn start(config: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        write(&dir, config);
        let path = dir.path().join("engine.yaml");
        let reloader = Reloader::new(&path, env, &registry).unwrap();
        let config = Config::load(&path, &env).unwrap();
        let front = Front::of(&config).unwrap();
        let mut app = App::open(config, Clock::Wall, &Registry::new()).await.unwrap();
        app.listen("127.0.0.1:0".parse().unwrap(), front, Registry::new()).await.unwrap();
        Self { dir, app, reloader, registry }
    }

    async fn reload(&mut self, config: &Value) {
        write(&self.dir, config);
        self.reloader.reload(&self.app).await;
    }

    /// `headroom_config_reload_failed` and `headroom_config_reloads_total`.
    fn told(&self) -> (f64, f64) {
        let families = self.registry.gather();
        let of = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let metric = &family.get_metric()[0];
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        (of("headroom_config_reload_failed"), of("headroom_config_reloads_total"))
    }

    /// Status of a request with a bearer token.
    async fn status(&self, token: &str) -> String {
        let addr: SocketAddr = self.app.addr().unwrap();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET /v1/counts/positions HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    /// A minute in which every request to a service failed.
    async fn fail(&self, service: &str) {
        let range = json!({ "start": 0, "end": 1000 });
        let request = json!({
            "collector": "node-1", "epoch": "1", "watermark_ms": START.plus(1).0 * 60_000,
            "edges_us": slo::counts::DEFAULT_EDGES_US,
            "streams": [{
                "stream": service, "path": "/var/log/pods/x/0.log", "range": range, "newest_ms": START.0 * 60_000,
                "tally": { "lines": 1000, "requests": 1000, "ignored": 0, "unparsed": 0, "late": 0, "dead_lettered": 0 },
            }],
            "rows": [{
                "stream": service, "service": { "named": { "namespace": "shop", "name": service } },
                "origin": "ingress", "sli": "availability", "version": 1,
                "minute": START.0, "range": range, "total": 1000, "bad": 1000, "excluded": 0,
            }],
        });
        self.app.engine.ingest(serde_json::from_value(request).unwrap()).await.unwrap();
        self.app.engine.tick(START.plus(1).start()).await.unwrap();
        self.app.dispatcher.drain_once(START.plus(1).start()).await.unwrap();
    }

    fn lines(&self, log: &str) -> usize {
        fs::read_to_string(self.dir.path().join(log)).unwrap_or_default().lines().count()
    }

    async fn objective(&self) -> String {
        let web = Service::parse("shop/web");
        let engine = &self.app.engine;
        let spec = engine.with_figures(|figures| figures.specs.spec(&web, Sli::Availability));
        spec.objective.objective_percent()
    }
}

/// Writes a configuration whose `data_dir` and logs lie in the folder.
fn write(dir: &tempfile::TempDir, config: &Value) {
    let text = config.to_string().replace("DIR", dir.path().to_str().unwrap());
    fs::write(dir.path().join("slo.yaml"), DOCUMENT).unwrap();
    fs::write(dir.path().join("engine.yaml"), text).unwrap();
}

#[tokio::test]
async fn a_reload_takes_what_it_can_and_tells_nobody() {
    let config = json!({
        "data_dir": "DIR/data", "counts": { "token": "${ONE}" },
        "notifiers": { "old": { "type": "log", "file": "DIR/old.jsonl" } },
    });
    let mut running = Running::start(&config).await;
    running.fail("web").await;
    assert_eq!((running.status("one").await.as_str(), running.lines("old.jsonl")), ("200", 1));
    let before = running.app.engine.incidents().await.unwrap();
    assert_eq!((before.len(), running.objective().await.as_str()), (1, "99.9"));
    let other = json!({
        "data_dir": "DIR/data", "counts": { "token": "${TWO}" }, "slos": "DIR/slo.yaml",
        "notifiers": {
            "old": { "type": "log", "file": "DIR/old.jsonl" },
            "new": { "type": "log", "file": "DIR/new.jsonl" },
        },
        "escalation": {
            "page": { "name": "page", "steps": [{ "targets": [{ "name": "me", "channels": ["new"] }] }] },
        },
    });
    running.reload(&other).await;
    assert_eq!(running.told(), (0.0, 1.0));
    assert_eq!((running.status("one").await.as_str(), running.status("two").await.as_str()), ("401", "200"));
    assert_eq!(running.objective().await, "99");
    let later: Timestamp = START.plus(2).start();
    assert_eq!(running.app.dispatcher.drain_once(later).await.unwrap().delivered, 0);
    assert_eq!(running.app.engine.incidents().await.unwrap(), before);
    running.fail("api").await;
    assert_eq!((running.lines("old.jsonl"), running.lines("new.jsonl")), (1, 1));
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_what_needs_a_restart_is_named() {
    let config = json!({ "data_dir": "DIR/data", "counts": { "token": "${ONE}" } });
    let mut running = Running::start(&config).await;
    let wrong = json!({ "data_dir": "DIR/data", "counts": { "token": "${TWO}" }, "colour": "red" });
    running.reload(&wrong).await;
    assert_eq!(running.told(), (1.0, 0.0));
    assert_eq!(running.status("one").await, "200");
    running.reload(&config).await;
    assert_eq!(running.told(), (0.0, 1.0));
    let moved = json!({
        "data_dir": "DIR/data", "environment": "staging", "listen": "127.0.0.1:1", "services": ["shop/web"],
    });
    write(&running.dir, &moved);
    let config = Config::load(&running.dir.path().join("engine.yaml"), &env).unwrap();
    assert_eq!(running.app.reload(config).await.unwrap(), ["environment", "listen"]);
    running.app.stop().await;
}

#[tokio::test]
async fn a_bad_file_is_told_once() {
    let mut running = Running::start(&json!({ "data_dir": "DIR/data" })).await;
    // The store is open: from here on only the clock is waited for.
    tokio::time::pause();
    write(&running.dir, &json!({ "colour": "red" }));
    assert!(is_seen(&running.reloader).await);
    running.reloader.reload(&running.app).await;
    assert!(!is_seen(&running.reloader).await);
    assert_eq!(running.told(), (1.0, 0.0));
}
