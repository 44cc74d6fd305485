//! A contract double of an API server: lists in pages, watches that are fed, cut or forgotten, over real HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

type Parameters = BTreeMap<String, String>;

/// Pieces of the answer to a watch; an error cuts the connection.
type Pieces = mpsc::UnboundedSender<Result<String, std::io::Error>>;

/// A server; dropping it ends it and all of its connections.
pub(crate) struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    known: Mutex<Known>,
    /// Grows with each request.
    requests: watch::Sender<usize>,
}

#[derive(Default)]
struct Known {
    /// Objects by plural (`pods`).
    objects: BTreeMap<String, Vec<Value>>,
    /// Statuses for the next requests, by verb and plural; the last one stays if it is 403.
    refusals: BTreeMap<(String, String), VecDeque<u16>>,
    /// Open watches, by plural.
    watches: BTreeMap<String, Vec<Pieces>>,
    /// Verb, plural and parameters of each request.
    requests: Vec<(String, String, Parameters)>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { known: Mutex::default(), requests: watch::Sender::new(0) });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a kubeconfig that leads here.
    pub(crate) fn write_kube_config(&self, file: &Path) {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "double", "user": {}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "double"}}],
        });
        std::fs::write(file, config.to_string()).unwrap();
    }

    /// What lists give from now on.
    pub(crate) fn set(&self, plural: &str, objects: Vec<Value>) {
        self.shared.known.lock().unwrap().objects.insert(plural.into(), objects);
    }

    /// Answers the next requests with these statuses; a 403 for ever.
    pub(crate) fn refuse(&self, verb: &str, plural: &str, statuses: &[u16]) {
        let statuses = statuses.iter().copied().collect();
        self.shared.known.lock().unwrap().refusals.insert((verb.into(), plural.into()), statuses);
    }

    /// Sends an event to the watches of a kind, once there is one: `ADDED`, `MODIFIED`, `DELETED`, `ERROR`.
    pub(crate) async fn send(&self, plural: &str, kind: &str, object: &Value) {
        let line = json!({"type": kind, "object": object}).to_string() + "\n";
        let sent = |known: &Known| {
            let watches = known.watches.get(plural).into_iter().flatten();
            watches.filter(|pieces| pieces.send(Ok(line.clone())).is_ok()).count() > 0
        };
        let mut requests = self.shared.requests.subscribe();
        requests.wait_for(|_| sent(&self.shared.known.lock().unwrap())).await.unwrap();
    }

    /// Ends the watches of a kind in the middle of a line.
    pub(crate) fn cut(&self, plural: &str) {
        for pieces in self.shared.known.lock().unwrap().watches.remove(plural).into_iter().flatten() {
            let _ = pieces.send(Ok("{\"type\":\"ADD".into()));
            let _ = pieces.send(Err(std::io::Error::other("cut")));
        }
    }

    /// Waits until so many requests with this verb have come for a kind.
    pub(crate) async fn asked(&self, verb: &str, plural: &str, times: usize) {
        let mut requests = self.shared.requests.subscribe();
        let enough = requests.wait_for(|_| self.requests(verb, plural).len() >= times);
        enough.await.unwrap();
    }

    /// The parameters of the requests with this verb for a kind.
    pub(crate) fn requests(&self, verb: &str, plural: &str) -> Vec<Parameters> {
        let known = self.shared.known.lock().unwrap();
        let of_kind = known.requests.iter().filter(|(v, p, _)| v == verb && p == plural);
        of_kind.map(|(_, _, parameters)| parameters.clone()).collect()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.server.abort();
        self.shared.known.lock().unwrap().watches.clear();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, Query(asked): Query<Parameters>) -> Response {
    let plural = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let verb = if asked.get("watch").is_some_and(|watch| watch == "true") { "watch" } else { "list" };
    let mut known = shared.known.lock().unwrap();
    known.requests.push((verb.into(), plural.clone(), asked.clone()));
    let answer = match known.refusal(verb, &plural) {
        Some(status) => refused(status, verb, &plural),
        None if verb == "watch" => {
            let (pieces, mut received) = mpsc::unbounded_channel();
            known.watches.entry(plural).or_default().push(pieces);
            Body::from_stream(stream::poll_fn(move |cx| received.poll_recv(cx))).into_response()
        }
        None => known.list(&plural, &asked).to_string().into_response(),
    };
    let count = known.requests.len();
    drop(known);
    shared.requests.send_replace(count);
    answer
}

impl Known {
    fn refusal(&mut self, verb: &str, plural: &str) -> Option<u16> {
        let statuses = self.refusals.get_mut(&(verb.into(), plural.into()))?;
        if statuses.front() == Some(&403) {
            return Some(403);
        }
        statuses.pop_front()
    }

    fn list(&self, plural: &str, asked: &Parameters) -> Value {
        let number = |key: &str| asked.get(key).and_then(|text| text.parse::<usize>().ok());
        let objects = self.objects.get(plural).map(Vec::as_slice).unwrap_or_default();
        let from = number("continue").unwrap_or(0);
        let limit = number("limit").unwrap_or(usize::MAX);
        let to = from.saturating_add(limit).min(objects.len());
        let rest = (to < objects.len()).then(|| to.to_string());
        json!({"kind": "List", "metadata": {"resourceVersion": "7", "continue": rest}, "items": objects[from..to]})
    }
}

fn refused(status: u16, verb: &str, plural: &str) -> Response {
    let message = format!("{plural} is forbidden: User \"x\" cannot {verb} resource \"{plural}\"");
    let status_object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Forbidden", "code": status});
    (StatusCode::from_u16(status).unwrap(), status_object.to_string()).into_response()
}
