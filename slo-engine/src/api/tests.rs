//! The API over a real socket: every refusal is JSON that says what to do.

use std::collections::BTreeSet;
use std::io::Write;

use alerts::{ChannelName, PoliciesConfig};
use prometheus::Registry;
use settings::Syntax;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Config;
use crate::engine::Clock;
use crate::http::{self, Front};
use crate::metrics::Metrics;
use crate::specs::Specs;
use crate::store::Store;

mod access;
mod lists;

/// A served API in a state of its own.
struct Served {
    addr: std::net::SocketAddr,
    engine: Arc<Engine>,
    api: Api,
    registry: Registry,
    _stopper: telemetry::Stopper,
    _dir: tempfile::TempDir,
}

/// With the token `t`, as it was before there were scopes.
async fn serve() -> Served {
    serve_with("counts: {token: '${TOKEN}'}", Limits::default()).await
}

async fn serve_with(config: &str, limits: Limits) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let parts = crate::engine::Parts {
        store: Store::open(&dir.path().join("engine.db")).await.unwrap(),
        specs: Specs::default(),
        services: BTreeSet::new(),
        policies: PoliciesConfig::default().prove(&[ChannelName::from("log")]).unwrap(),
        clock: Clock::Wall,
        metrics: Metrics::new(&registry).unwrap(),
        exports: false,
        caps: crate::engine::Caps::default(),
        refused: crate::refused::RefusedWriters::default(),
    };
    let engine = Arc::new(Engine::open(parts).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let config = format!("data_dir: /nowhere\nenvironment: staging\n{config}");
    let env = |name: &str| Some(name.to_lowercase().trim_end_matches("oken").to_owned());
    let config = Config::parse("engine.yaml", &config, Syntax::Yaml, &env).unwrap();
    let shown = (engine.clone(), Arc::new(Target::of(&config)));
    let access = (Arc::new(Access::new(&config.access)), RefusedWriters::default());
    let metrics = HttpMetrics::new(&registry).unwrap();
    let api = Api::new(shown, access, &limits, metrics.clone());
    let (stopper, stop) = telemetry::stopper();
    let front = Front { limits, tls: None, metrics };
    tokio::spawn(http::serve(listener, router(api.clone()), front, stop));
    Served { addr, engine, api, registry, _stopper: stopper, _dir: dir }
}

impl Served {
    /// Status, headers and body of the answer.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let (status, head, body) = self.ask_bytes(method, path, headers, body.as_bytes()).await;
        (status, head, String::from_utf8(body).unwrap())
    }

    async fn ask_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> (u16, String, Vec<u8>) {
        let mut connection = TcpStream::connect(self.addr).await.unwrap();
        let length = if headers.to_lowercase().contains("content-length") {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}{headers}\r\n");
        connection.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let (head, body) = (head.to_lowercase(), &answer[end + 4..]);
        let body = if head.contains("transfer-encoding: chunked") { whole(body) } else { body.to_vec() };
        (head[9..12].parse().unwrap(), head, body)
    }

    async fn check(&self, method: &str, path: &str, headers: &str, body: &str, want: (u16, &str)) {
        let (status, head, said) = self.ask(method, path, headers, body).await;
        assert_eq!(status, want.0, "{method} {path}: {said}");
        assert!(head.contains("content-type: application/json"), "{method} {path}: {head}");
        let problem: serde_json::Value = serde_json::from_str(&said).unwrap();
        let error = problem["error"].as_str().unwrap();
        assert!(error.contains(want.1), "{method} {path}: {error}");
    }
}

/// A body that came in pieces, each with its length before it.
fn whole(mut pieces: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = pieces.windows(2).position(|bytes| bytes == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&pieces[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&pieces[end + 2..end + 2 + length]);
        pieces = &pieces[end + 4 + length..];
    }
    whole
}

/// A header of an answer.
#[track_caller]
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {head}"))
}

const JSON: &str = "content-type: application/json\r\nauthorization: Bearer t\r\n";

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_with_its_cause() {
    let served = serve().await;
    let counts = "/v1/counts";
    served.check("POST", counts, JSON, "{", (400, "EOF while parsing")).await;
    served.check("POST", counts, JSON, "{}", (400, "missing field `collector`")).await;
    served.check("POST", counts, "authorization: Bearer t\r\n", "{}", (415, "application/json")).await;
    let large = format!("{JSON}content-length: 100000000\r\n");
    served.check("POST", counts, &large, "", (413, "64 MiB")).await;
    served.check("POST", "/v1/incidents/x/resolve", JSON, "{}", (400, "missing field `by`")).await;
}

/// What a collector sends, packed.
fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Counts of one stream, `name` of which are as long as it says.
fn request(collector: &str, path: &str) -> String {
    serde_json::json!({
        "collector": collector, "epoch": "1", "watermark_ms": null, "edges_us": slo::counts::DEFAULT_EDGES_US,
        "streams": [{
            "stream": "s", "path": path, "range": { "start": 0, "end": 0 },
            "tally": { "lines": 0, "requests": 0, "ignored": 0, "unparsed": 0, "late": 0, "dead_lettered": 0 },
        }],
        "rows": [],
    })
    .to_string()
}

#[tokio::test]
async fn counts_may_come_packed_and_nothing_else() {
    let served = serve().await;
    let plain = request("node-1", "/var/log/x");
    for (coding, bytes) in [
        ("gzip", gzip(&plain)),
        ("zstd", zstd::encode_all(plain.as_bytes(), 3).unwrap()),
        ("identity", plain.clone().into()),
    ] {
        let headers = format!("{JSON}content-encoding: {coding}\r\n");
        let (status, _, said) = served.ask_bytes("POST", "/v1/counts", &headers, &bytes).await;
        assert_eq!(status, 200, "{coding}: {}", String::from_utf8_lossy(&said));
    }
    let headers = format!("{JSON}content-encoding: br\r\n");
    served.check("POST", "/v1/counts", &headers, &plain, (415, "allowed: gzip, zstd, or none")).await;
    served
        .check("POST", "/v1/counts", &format!("{JSON}content-encoding: gzip\r\n"), &plain, (400, "unpacked"))
        .await;
    let headers = format!("{JSON}content-encoding: gzip\r\n");
    served.check("POST", "/v1/incidents/x/resolve", &headers, "", (415, "allowed: none")).await;
    let large = format!("{JSON}content-length: 70000\r\n");
    served.check("POST", "/v1/incidents/x/resolve", &large, "", (413, "64 KiB")).await;
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused_by_its_field() {
    let served = serve().await;
    let (long, longer) = ("x".repeat(513), "x".repeat(4097));
    served
        .check("POST", "/v1/counts", JSON, &request(&long, "/x"), (400, "collector is 513 bytes long"))
        .await;
    served
        .check("POST", "/v1/counts", JSON, &request("a", &longer), (400, "streams[0].path is 4097 bytes"))
        .await;
    let (status, _, said) = served.ask("POST", "/v1/counts", JSON, &request(&long[1..], &longer[1..])).await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let served = serve_with("", Limits { body: Duration::from_millis(50), ..Limits::default() }).await;
    let mut connection = TcpStream::connect(served.addr).await.unwrap();
    let head =
        "POST /v1/counts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("did not come within"), "{answer}");
}

#[tokio::test]
async fn what_is_not_there_says_so_in_json() {
    let served = serve().await;
    served.check("GET", "/v1/nothing", "", "", (404, "/openapi.json")).await;
    served.check("GET", "/v1/slos/none", "", "", (404, "GET /v1/slos lists them")).await;
    served.check("DELETE", "/v1/slos", "", "", (405, "/openapi.json")).await;
}

#[tokio::test]
async fn dashboards_come_as_a_file_that_kibana_imports() {
    let served = serve().await;
    let (status, head, said) = served.ask("GET", "/v1/dashboards", "", "").await;
    assert_eq!(status, 200, "{said}");
    assert!(head.contains("application/x-ndjson") && head.contains("headroom.ndjson"), "{head}");
    let objects: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().any(|object| object["type"] == "dashboard"), "{said}");
    let tag = header(&head, "etag").replace("w/", "W/");
    let held = served.ask("GET", "/v1/dashboards", &format!("if-none-match: {tag}\r\n"), "").await;
    assert_eq!((held.0, held.2.as_str()), (304, ""));
}

#[tokio::test]
async fn whoever_writes_shows_the_token_before_the_body_is_read() {
    let served = serve().await;
    let strangers =
        ["", "authorization: Bearer\r\n", "authorization: Bearer tt\r\n", "authorization: Basic t\r\n"];
    for headers in strangers {
        for path in ["/v1/counts", "/v1/incidents/x/acknowledge", "/v1/incidents/x/resolve"] {
            let large = format!("{headers}content-length: 60000000\r\n");
            served.check("POST", path, &large, "", (401, "Authorization: Bearer")).await;
        }
        served.check("GET", "/v1/counts/positions", headers, "", (401, "Bearer")).await;
    }
    for headers in ["authorization: bearer t\r\n", "authorization: Bearer t\r\n"] {
        let (status, _, said) = served.ask("GET", "/v1/counts/positions", headers, "").await;
        assert!(status == 200 && said.ends_with("\"positions\":{}}"), "{status} {said}");
    }
}

#[tokio::test]
async fn the_contract_names_every_route() {
    let source = include_str!("../api.rs");
    let routes: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next())
        .filter(|route| route.starts_with("/v1/"))
        .collect();
    let contract = Contract::openapi();
    let named: BTreeSet<&str> = contract.paths.paths.keys().map(String::as_str).collect();
    assert_eq!(routes, named);
    let served = serve().await;
    for (path, item) in &contract.paths.paths {
        let (allowed, other) = if item.get.is_some() { ("GET", "POST") } else { ("POST", "GET") };
        let path = path.replace(['{', '}'], "");
        assert_ne!(served.ask(allowed, &path, "", "").await.0, 405, "{allowed} {path}");
        assert_eq!(served.ask(other, &path, "", "").await.0, 405, "{other} {path}");
    }
}
