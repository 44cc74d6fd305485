//! A double of Elasticsearch's contract, as far as the engine uses it: templates, bulk requests, lists and deletion of
//! indices. It proves what the engine does with answers, not what a server answers: that is for `tests/real`.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use search::{Client, ClientConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// How bulk requests are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// All documents are taken.
    #[default]
    Well,
    /// 503.
    Away,
    /// 200, with 429 for every other document.
    Full,
    /// 200, with 400 for each document that holds this.
    Refuses(&'static str),
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) mood: Mood,
    pub(crate) templates: BTreeMap<String, Value>,
    /// By index and id.
    pub(crate) documents: BTreeMap<(String, String), Value>,
    pub(crate) indices: Vec<String>,
    pub(crate) bulks: usize,
}

/// The double; it goes on until the test ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Double {
    held: Arc<Mutex<Held>>,
    asked: Arc<Notify>,
    pub(crate) url: String,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { url, ..Self::default() };
        let router = Router::new()
            .route("/_index_template/{name}", get(read_template).put(put_template))
            .route("/_cat/indices/{pattern}", get(indices))
            .route("/_bulk", post(bulk))
            .route("/{index}", delete(remove))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        double
    }

    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig::new(vec![self.url.clone()])
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.config()).unwrap()
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Waits, request by request, until it holds.
    pub(crate) async fn until(&self, holds: impl Fn(&Held) -> bool) {
        loop {
            let asked = self.asked.notified();
            if holds(&self.held()) {
                return;
            }
            asked.await;
        }
    }
}

async fn read_template(
    State(double): State<Double>,
    Path(name): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let template = double.held().templates.get(&name).cloned().ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({"index_templates": [{"name": name, "index_template": template}]})))
}

async fn put_template(
    State(double): State<Double>,
    Path(name): Path<String>,
    Json(mut template): Json<Value>,
) -> Json<Value> {
    // As Elasticsearch 9 gives it back.
    template["composed_of"] = json!([]);
    template["created_date_millis"] = json!(1_795_687_515_933_u64);
    double.held().templates.insert(name, template);
    Json(json!({"acknowledged": true}))
}

async fn indices(State(double): State<Double>, Path(pattern): Path<String>) -> Json<Value> {
    let stem = pattern.trim_end_matches('*').to_owned();
    let held = double.held();
    let found = held.indices.iter().filter(|index| index.starts_with(&stem));
    Json(found.map(|index| json!({"index": index})).collect())
}

async fn remove(State(double): State<Double>, Path(index): Path<String>) -> Json<Value> {
    double.held().indices.retain(|held| *held != index);
    double.asked.notify_waiters();
    Json(json!({"acknowledged": true}))
}

async fn bulk(State(double): State<Double>, body: Bytes) -> (StatusCode, Json<Value>) {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    let mut held = double.held();
    held.bulks += 1;
    let answer = match held.mood {
        Mood::Away => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "away"}))),
        mood => (StatusCode::OK, Json(take(&mut held, mood, &text))),
    };
    drop(held);
    double.asked.notify_waiters();
    answer
}

fn take(held: &mut Held, mood: Mood, text: &str) -> Value {
    let lines: Vec<&str> = text.lines().collect();
    let (mut items, mut errors) = (Vec::new(), false);
    for (at, pair) in lines.chunks(2).enumerate() {
        let action: Value = serde_json::from_str(pair[0]).unwrap();
        let name = |key: &str| action["index"][key].as_str().unwrap().to_owned();
        let error = match mood {
            Mood::Full if at % 2 == 0 => Some((429, "es_rejected_execution_exception")),
            Mood::Refuses(text) if pair[1].contains(text) => Some((400, "document_parsing_exception")),
            _ => None,
        };
        errors |= error.is_some();
        items.push(match error {
            Some((status, kind)) => {
                json!({"index": {"status": status, "error": {"type": kind, "reason": "no"}}})
            }
            None => {
                let document = serde_json::from_str(pair[1]).unwrap();
                held.documents.insert((name("_index"), name("_id")), document);
                json!({"index": {"status": 200}})
            }
        });
    }
    json!({"errors": errors, "items": items})
}
