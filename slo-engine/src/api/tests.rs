//! The API over a real socket: every refusal is JSON that says what to do.

use std::collections::BTreeSet;

use alerts::{ChannelName, PoliciesConfig};
use prometheus::Registry;
use settings::Syntax;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Config;
use crate::engine::Clock;
use crate::metrics::Metrics;
use crate::specs::Specs;
use crate::store::Store;

/// A served API with the token `t`, in a state of its own.
struct Served {
    addr: std::net::SocketAddr,
    _dir: tempfile::TempDir,
}

async fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let parts = crate::engine::Parts {
        store: Store::open(&dir.path().join("engine.db")).await.unwrap(),
        specs: Specs::default(),
        services: BTreeSet::new(),
        policies: PoliciesConfig::default().prove(&[ChannelName::from("log")]).unwrap(),
        clock: Clock::Wall,
        metrics: Metrics::new(&Registry::new()).unwrap(),
        exports: false,
        limits: crate::engine::Limits::default(),
    };
    let engine = Arc::new(Engine::open(parts).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let config = "data_dir: /nowhere\nenvironment: staging";
    let config = Config::parse("engine.yaml", config, Syntax::Yaml, &|_| None).unwrap();
    let dashboards = Arc::new(Target::of(&config));
    let router = router(Api { engine, token: Some("t".into()), dashboards });
    tokio::spawn(async move { axum::serve(listener, router).await });
    Served { addr, _dir: dir }
}

impl Served {
    /// Status, headers and body of the answer.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut connection = TcpStream::connect(self.addr).await.unwrap();
        let length = if headers.to_lowercase().contains("content-length") {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}{headers}\r\n");
        connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
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

#[tokio::test]
async fn what_is_not_there_says_so_in_json() {
    let served = serve().await;
    served.check("GET", "/v1/nothing", "", "", (404, "/openapi.json")).await;
    served.check("GET", "/v1/slos/none", "", "", (404, "GET /v1/slos lists them")).await;
    served.check("DELETE", "/v1/slos", "", "", (405, "/openapi.json")).await;
}

#[tokio::test]
async fn dashboards_come_as_a_file_that_kibana_imports() {
    let (status, head, said) = serve().await.ask("GET", "/v1/dashboards", "", "").await;
    assert_eq!(status, 200, "{said}");
    assert!(head.contains("application/x-ndjson") && head.contains("headroom.ndjson"), "{head}");
    let objects: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().any(|object| object["type"] == "dashboard"), "{said}");
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
