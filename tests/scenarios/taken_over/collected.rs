//! The data directory of a collector whose servers were away: spools, staged segments, dead letters, checkpoints. The
//! servers are there now, and every line comes to each of them once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use archive::{DirectoryStore, Store};
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{head, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tests::archived::Archived;
use tests::logs::{copy, files};
use tests::program::eventually;
use tests::running::Running;
use tokio::net::TcpListener;

use super::{left, recorded};
use crate::collector;
use crate::serve::{Served, TOKEN};

/// A double of Elasticsearch as far as `create` goes: by index and id.
#[derive(Clone, Default)]
struct Search(Arc<Mutex<BTreeMap<(String, String), Value>>>);

/// A double of a bucket as far as a conditional put goes: by key.
#[derive(Clone, Default)]
struct Bucket(Arc<Mutex<BTreeMap<String, Bytes>>>);

async fn serve(router: Router) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

impl Search {
    async fn start() -> Result<(Self, String)> {
        let search = Self::default();
        let router = Router::new()
            .route("/_index_template/{name}", head(async || StatusCode::OK))
            .route("/_bulk", post(create))
            .with_state(search.clone());
        Ok((search, serve(router).await?))
    }

    fn lines(&self) -> Vec<String> {
        let documents = self.0.lock().unwrap();
        sorted(documents.values().map(|document| document["message"].as_str().unwrap().to_owned()))
    }
}

async fn create(State(search): State<Search>, body: String) -> Json<Value> {
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut documents = search.0.lock().unwrap();
    let create = |pair: &[Value]| {
        let name = |key: &str| pair[0]["create"][key].as_str().unwrap().to_owned();
        let repeated = documents.insert((name("_index"), name("_id")), pair[1].clone()).is_some();
        json!({ "create": { "status": if repeated { 409 } else { 201 } } })
    };
    let items: Vec<Value> = lines.chunks(2).map(create).collect();
    Json(json!({ "errors": false, "items": items }))
}

impl Bucket {
    async fn start() -> Result<(Self, String)> {
        let bucket = Self::default();
        Ok((bucket.clone(), serve(Router::new().fallback(keep).with_state(bucket)).await?))
    }

    /// The lines of its segments, read as an archive; an error while one of them is not whole.
    async fn lines(&self) -> Result<Vec<String>> {
        let dir = tempfile::tempdir()?;
        for (key, bytes) in &*self.0.lock().unwrap() {
            let path = dir.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap_or(dir.path()))?;
            std::fs::write(path, bytes)?;
        }
        in_directory(&dir.path().join("logs/production")).await
    }
}

async fn keep(State(bucket): State<Bucket>, headers: HeaderMap, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let key = parts.uri.path().trim_start_matches('/').to_owned();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut objects = bucket.0.lock().unwrap();
    if parts.method != Method::PUT || headers.get("if-none-match").is_none() {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if objects.contains_key(&key) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    objects.insert(key, body);
    StatusCode::OK.into_response()
}

async fn in_directory(path: &Path) -> Result<Vec<String>> {
    let archived = Archived::in_store(&Store::Directory(DirectoryStore::open(path)?)).await?;
    Ok(sorted(archived.records.into_values().map(|line| String::from_utf8(line).unwrap())))
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    lines
}

fn plain(dir: &Path) -> Result<Vec<String>> {
    Ok(sorted(std::fs::read_to_string(dir.join("plain.log"))?.lines().map(str::to_owned)))
}

/// All lines that were ever written to the pods' logs, some of them in files that are gone.
fn written() -> Result<Vec<String>> {
    let lines: BTreeMap<String, Vec<String>> = serde_json::from_value(recorded("collector/lines.json.gz")?)?;
    Ok(sorted(lines.into_values().flatten()))
}

#[tokio::test]
async fn what_a_collector_had_not_delivered_comes_to_each_sink_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    copy(&files(&left("collector"))?, &left("collector"), dir.path())?;
    let expected: Value = serde_json::from_slice(&std::fs::read(left("collector/expected.json"))?)?;
    let ((search, search_url), (bucket, bucket_url)) = (Search::start().await?, Bucket::start().await?);
    let served = Served::start(dir.path()).await?;
    let (config, state) = (dir.path().join("collector.yaml"), dir.path().display().to_string());
    let environment = [
        ("STATE", &*state),
        ("S3", &*bucket_url),
        ("ELASTICSEARCH", &*search_url),
        ("ENGINE", served.url()),
        ("KEY", "a key of the fixtures"),
        ("TOKEN", TOKEN),
    ];
    let arguments = ["--config".as_ref(), config.as_os_str()];
    let running = Running::start(&collector(), &arguments, &environment, &dir.path().join("said"))?;
    let written = written()?;
    let all = written.len();
    assert_eq!(expected["lines"], all);
    eventually("every sink has every line", async || {
        let has = |lines: Result<Vec<String>>| lines.is_ok_and(|lines| lines.len() >= all);
        let counted = served.json("/v1/overview").await?["input"].clone();
        Ok(counted["requests"] == expected["requests"]
            && search.lines().len() >= all
            && has(plain(dir.path()))
            && has(bucket.lines().await)
            && has(in_directory(&dir.path().join("archive")).await))
    })
    .await?;
    // An orderly end delivers what is in flight: a line that came twice would be seen.
    running.stop().await?;
    for (sink, found) in [
        ("search", search.lines()),
        ("bucket", bucket.lines().await?),
        ("kept", in_directory(&dir.path().join("archive")).await?),
        ("plain", plain(dir.path())?),
    ] {
        assert_eq!(found.len(), all, "{sink}");
        assert!(found == written, "{sink} has other lines than were written");
    }
    let input = served.json("/v1/overview").await?["input"].clone();
    let want = json!({
        "lines": all as u64 + expected["dead_lettered"].as_u64().unwrap(), "requests": expected["requests"],
        "ignored": all as u64 - expected["requests"].as_u64().unwrap(), "late": 0,
        "dead_lettered": expected["dead_lettered"],
    });
    assert_eq!(input, want);
    assert_eq!(
        files(&dir.path().join("data/dead_letters"))?.len() as u64,
        expected["dead_lettered"].as_u64().unwrap()
    );
    served.app.stop().await;
    Ok(())
}
