//! The three paths over a real socket, and shutdown by real signals.

use std::time::Duration;

use crate::{Readiness, register, router, signals, stopper};
use prometheus::{IntCounterVec, Opts, Registry};
use rustix::process::{Signal, getpid, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves until the test ends and answers one GET.
async fn get(registry: &Registry, readiness: &Readiness, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let router = router(registry.clone(), readiness.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    answer
}

#[tokio::test]
async fn metrics_are_served_in_the_text_format_with_labels_escaped() {
    let registry = Registry::new();
    let options = Opts::new("headroom_lines_total", "Lines.");
    let lines = register(&registry, IntCounterVec::new(options, &["path"])).unwrap();
    lines.with_label_values(&["a\"b\\c\nd"]).inc();
    let answer = get(&registry, &Readiness::default(), "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains(r#"headroom_lines_total{path="a\"b\\c\nd"} 1"#), "{answer}");
}

#[tokio::test]
async fn a_metric_whose_name_is_taken_is_refused() {
    let registry = Registry::new();
    let counter = || prometheus::IntCounter::new("headroom_x_total", "X.");
    register(&registry, counter()).unwrap();
    assert!(register(&registry, counter()).is_err());
}

#[tokio::test]
async fn ready_says_503_with_every_reason_until_all_conditions_hold() {
    let (registry, readiness) = (Registry::new(), Readiness::new(["store", "sources"]));
    readiness.not_ready("store", "database is locked");
    let answer = get(&registry, &readiness, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nsources: not ready yet\nstore: database is locked\n"), "{answer}");
    assert!(get(&registry, &readiness, "/healthz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    readiness.ready("sources");
    assert!(get(&registry, &readiness, "/readyz").await.starts_with("HTTP/1.1 503 "));
    readiness.ready("store");
    assert!(get(&registry, &readiness, "/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    readiness.not_ready("store", "disk full");
    assert!(get(&registry, &readiness, "/readyz").await.ends_with("store: disk full\n"));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_hangs_is_no_health_until_it_comes_round() {
    let (registry, readiness) = (Registry::new(), Readiness::default());
    readiness.beat("clock", Duration::from_secs(300));
    tokio::time::advance(Duration::from_secs(300)).await;
    assert!(readiness.hanging().is_empty());
    tokio::time::advance(Duration::from_secs(2)).await;
    let answer = get(&registry, &readiness, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("clock: has not come round for 302 s\n"), "{answer}");
    assert!(get(&registry, &readiness, "/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    readiness.beat("clock", Duration::from_secs(300));
    assert!(get(&registry, &readiness, "/healthz").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn everyone_hears_the_stop_early_or_late_or_when_the_stopper_is_gone() {
    let (stopper_, stop) = stopper();
    assert!(!stop.is_set());
    let early = tokio::spawn({
        let stop = stop.clone();
        async move { stop.wait().await }
    });
    stopper_.stop();
    early.await.unwrap();
    stop.wait().await;
    assert!(stop.is_set());
    let (gone, stop) = stopper();
    drop(gone);
    stop.wait().await;
    assert!(stop.is_set());
}

#[tokio::test]
async fn both_signals_are_caught_from_the_call_on() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let caught = signals().unwrap();
        kill_process(getpid(), signal).unwrap();
        assert_eq!(caught.await, name);
    }
}
