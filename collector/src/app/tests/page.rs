//! What a collector says of itself: its own page, and how far its sinks are.

use std::time::Duration;

use prometheus::Registry;

use super::harness::{Engine, Node, balanced, requests, text};
use crate::app::{App, Options};

async fn start(node: &Node, registry: &Registry) -> App {
    let mut config = node.config();
    config.api = Some("127.0.0.1:0".parse().unwrap());
    let options =
        Options { counts: Some(node.engine.clone()), registry: registry.clone(), ..Options::default() };
    App::start(config, options).await.unwrap()
}

async fn get(app: &App, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(app.addr().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// The value of a sink's series, as the registry has it.
fn value(registry: &Registry, name: &str, sink: &str) -> f64 {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let of_sink = |line: &&str| line.starts_with(name) && line.contains(&format!("component_id=\"{sink}\""));
    let lines: Vec<&str> = text.lines().filter(of_sink).collect();
    assert!(!lines.is_empty(), "{name} of {sink}: {text}");
    lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn its_page_shows_metrics_and_that_every_source_has_looked_at_its_files() {
    let node = Node::with_files();
    node.write("a.log", text(&requests("a", 0, 10)));
    let app = start(&node, &Registry::new()).await;
    assert_eq!(get(&app, "/healthz").await.0, 200);
    app.caught_up().await.unwrap();
    assert_eq!(get(&app, "/readyz").await.0, 200);
    let (status, metrics) = get(&app, "/metrics").await;
    assert_eq!(status, 200);
    let received = "component_received_events_total{component_id=\"files\",component_kind=\"source\",component_type=\"file\"} 10";
    assert!(metrics.contains(received), "{metrics}");
    let addr = app.addr().unwrap();
    balanced(&app.stop().await.unwrap());
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_the_key() {
    let node = Node::with_files();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = node.config();
    config.api = Some(taken.local_addr().unwrap());
    let options = Options { counts: Some(node.engine.clone()), ..Options::default() };
    let Err(error) = App::start(config, options).await else { panic!("it is taken") };
    assert!(error.to_string().ends_with("choose another api.address"), "{error}");
}

/// Until the engine has been told a newer watermark, twice: the second was sent after the call.
async fn two_heartbeats(engine: &Engine) {
    let mut looks = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..2 {
        let before = engine.watermark_ms();
        while engine.watermark_ms() == before {
            looks.tick().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_is_down_stays_where_it_was_and_the_engine_is_told() {
    const DELIVERED: &str = "component_delivered_to_timestamp_seconds";
    let mut node = Node::with_files();
    node.batch = ", batch: {timeout_secs: 1}".into();
    node.write("a.log", text(&requests("a", 0, 10)));
    let registry = Registry::new();
    let app = App::start(
        node.config(),
        Options { counts: Some(node.engine.clone()), registry: registry.clone(), ..Options::default() },
    )
    .await
    .unwrap();
    app.caught_up().await.unwrap();
    for sink in ["kept", "counted", "shown"] {
        assert!(value(&registry, DELIVERED, sink) > 1.7e9, "{sink}");
    }
    two_heartbeats(&node.engine).await;
    assert!(node.engine.archived_to_ms() > Some(1_700_000_000_000));

    std::fs::remove_dir(node.root().join("archive/.incoming")).unwrap();
    node.append("a.log", text(&requests("a", 10, 20)));
    while value(&registry, "component_errors_total", "kept") == 0.0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    two_heartbeats(&node.engine).await;
    let stuck = node.engine.archived_to_ms();
    two_heartbeats(&node.engine).await;
    assert_eq!(node.engine.archived_to_ms(), stuck);
    assert!(node.engine.watermark_ms() > stuck);
    assert_eq!(value(&registry, DELIVERED, "kept"), (stuck.unwrap() / 1000) as f64);

    std::fs::create_dir(node.root().join("archive/.incoming")).unwrap();
    app.caught_up().await.unwrap();
    two_heartbeats(&node.engine).await;
    assert!(node.engine.archived_to_ms() > stuck);
    balanced(&app.stop().await.unwrap());
    assert_eq!(node.archived().await.len(), 20);
}
