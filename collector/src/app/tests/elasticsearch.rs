//! The `elasticsearch` sink against a double of a server: an account of documents that answers as the bulk API does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{head, post};
use serde_json::{Value, json};

use super::harness::{Node, balanced, requests, text};

/// What the double does with a request, in turn; then it takes everything.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The whole request is refused for now.
    Busy,
    /// Of the items each second one is refused for now.
    HalfBusy,
    /// Everything is written, but nobody learns of it.
    AnswerLost,
    /// The request is too large.
    TooLarge,
}

#[derive(Debug, Default)]
struct Cluster {
    documents: BTreeMap<(String, String), Value>,
    troubles: VecDeque<Trouble>,
    has_template: bool,
    /// How often an item was sent that was there already.
    repeats: usize,
    /// Bulk requests so far.
    asked: usize,
}

#[derive(Clone, Debug, Default)]
struct Double(Arc<Mutex<Cluster>>);

impl Double {
    /// Starts one; says its URL.
    async fn start(troubles: &[Trouble]) -> (Self, String) {
        let double = Self::default();
        {
            let mut cluster = double.0.lock().unwrap();
            cluster.troubles.extend(troubles);
            cluster.has_template = true;
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/_index_template/headroom-logs-production", head(template))
            .route("/_bulk", post(bulk))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (double, url)
    }

    fn messages(&self) -> Vec<String> {
        let cluster = self.0.lock().unwrap();
        let message = |document: &Value| document["message"].as_str().unwrap().to_owned();
        let mut messages: Vec<String> = cluster.documents.values().map(message).collect();
        messages.sort();
        messages
    }
}

async fn template(State(double): State<Double>) -> StatusCode {
    if double.0.lock().unwrap().has_template { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

async fn bulk(State(double): State<Double>, body: String) -> Response {
    let mut cluster = double.0.lock().unwrap();
    cluster.asked += 1;
    let trouble = cluster.troubles.pop_front();
    match trouble {
        Some(Trouble::Busy) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Trouble::TooLarge) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        _ => {}
    }
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let half = matches!(trouble, Some(Trouble::HalfBusy));
    let items: Vec<Value> = lines
        .chunks(2)
        .enumerate()
        .map(|(at, item)| match half && at % 2 == 1 {
            true => json!({"create": {"status": 429, "error": {"type": "es_rejected_execution_exception"}}}),
            false => cluster.create(&item[0]["create"], &item[1]),
        })
        .collect();
    match trouble {
        Some(Trouble::AnswerLost) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        _ => json!({"errors": true, "items": items}).to_string().into_response(),
    }
}

impl Cluster {
    fn create(&mut self, action: &Value, document: &Value) -> Value {
        let text = |key: &str| action[key].as_str().unwrap().to_owned();
        let place = (text("_index"), text("_id"));
        if document["message"].as_str().is_some_and(|message| message.contains("/refused/")) {
            let error = json!({"type": "document_parsing_exception", "reason": "the test does not like it"});
            return json!({"create": {"status": 400, "error": error}});
        }
        if self.documents.contains_key(&place) {
            self.repeats += 1;
            return json!({"create": {"status": 409}});
        }
        self.documents.insert(place, document.clone());
        json!({"create": {"status": 201}})
    }
}

fn node(url: &str) -> Node {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 50, timeout_secs: 0.02}".into();
    node.more =
        format!("  found: {{type: elasticsearch, inputs: [files], endpoints: [\"{url}\"]{}}}\n", node.batch);
    node
}

#[tokio::test]
async fn each_line_is_one_document_whatever_the_server_answers_on_the_way() {
    use Trouble::{AnswerLost, Busy, HalfBusy, TooLarge};
    let (double, url) = Double::start(&[HalfBusy, HalfBusy, Busy, AnswerLost, TooLarge, HalfBusy]).await;
    let node = node(&url);
    let mut lines = requests("a", 0, 300);
    node.write("a.log", text(&lines));
    node.run().await;
    lines.sort();
    assert_eq!(double.messages(), lines);
    let days: Vec<String> =
        double.0.lock().unwrap().documents.keys().map(|(index, _)| index.clone()).collect();
    assert!(days.iter().all(|day| day == "headroom-logs-production-2026.01.01"), "{days:?}");
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_alone_and_the_books_balance() {
    let (double, url) = Double::start(&[Trouble::HalfBusy]).await;
    let node = node(&url);
    let mut lines = requests("a", 0, 120);
    let refused = requests("refused", 120, 123);
    lines.splice(40..40, refused.clone());
    node.write("a.log", text(&lines));
    let books = node.run().await;
    let account = books.sinks["found"];
    assert_eq!((account.read, account.delivered, account.dead_lettered), (123, 120, 3));
    let letters: Vec<String> = node.dead_letters().into_iter().map(|letter| letter.content).collect();
    assert_eq!(letters, refused);
    // The neighbours were settled by the request that refused these: nothing was sent twice.
    assert_eq!(double.0.lock().unwrap().repeats, 0);
    assert_eq!(double.messages().len(), 120);
    // The other sinks have them all.
    assert_eq!(books.sinks["kept"].delivered, 123);
}

#[tokio::test]
async fn without_the_template_nothing_is_sent() {
    let (double, url) = Double::start(&[]).await;
    double.0.lock().unwrap().has_template = false;
    let node = node(&url);
    node.write("a.log", text(&requests("a", 0, 10)));
    let app = node.start().await;
    let mut caught_up = Box::pin(app.caught_up());
    let first_pause = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(first_pause, &mut caught_up).await.is_err());
    assert_eq!(double.0.lock().unwrap().asked, 0);
    double.0.lock().unwrap().has_template = true;
    caught_up.await.unwrap();
    balanced(&app.stop().await.unwrap());
    assert_eq!(double.messages().len(), 10);
}
