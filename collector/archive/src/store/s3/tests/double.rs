//! A double of S3: one bucket in memory, path style, two keys a page. No signature is looked at.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::task::JoinHandle;

/// Keys that one answer of a list holds.
const PAGE: usize = 2;

/// What is kept: bytes and, as S3 writes it, the checksum.
type Objects = BTreeMap<String, (Vec<u8>, Option<String>)>;

#[derive(Default)]
struct Bucket {
    objects: Objects,
    next: Option<Response>,
    requests: usize,
    hangs: bool,
}

type Shared = Arc<Mutex<Bucket>>;

pub(super) struct Double {
    pub(super) url: String,
    bucket: Shared,
    server: JoinHandle<()>,
}

impl Double {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Shared::default();
        let router = Router::new().fallback(answer).with_state(bucket.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, bucket, server }
    }

    /// The next request is answered so, whatever it is.
    pub(super) fn answer_next(&self, status: u16, code: &str, headers: &[(&'static str, &'static str)]) {
        let mut answer = refusal(status, code);
        for &(name, value) in headers {
            answer.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        self.bucket.lock().unwrap().next = Some(answer);
    }

    pub(super) fn hang(&self) {
        self.bucket.lock().unwrap().hangs = true;
    }

    /// Somebody else puts an object.
    pub(super) fn keep(&self, key: &str, bytes: &[u8], sha256: Option<&str>) {
        let object = (bytes.to_vec(), sha256.map(super::super::to_base64));
        self.bucket.lock().unwrap().objects.insert(key.to_owned(), object);
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.bucket.lock().unwrap().objects.keys().cloned().collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.bucket.lock().unwrap().requests
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(bucket): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let hangs = bucket.lock().unwrap().hangs;
    if hangs {
        std::future::pending::<()>().await;
    }
    let mut bucket = bucket.lock().unwrap();
    bucket.requests += 1;
    if let Some(answer) = bucket.next.take() {
        return answer;
    }
    let key = parts.uri.path().strip_prefix("/logs/").unwrap_or_default().to_owned();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    match parts.method {
        Method::PUT => {
            assert_eq!(header("if-none-match").as_deref(), Some("*"));
            put(&mut bucket.objects, key, body, header("x-amz-checksum-sha256").unwrap())
        }
        Method::GET if key.is_empty() => list(&bucket.objects, &query),
        Method::HEAD | Method::GET => {
            assert_eq!(header("x-amz-checksum-mode").as_deref(), Some("ENABLED"));
            match bucket.objects.get(&key) {
                None => refusal(404, "NoSuchKey"),
                Some((bytes, None)) => bytes.clone().into_response(),
                Some((bytes, Some(sha256))) => {
                    ([("x-amz-checksum-sha256", sha256.clone())], bytes.clone()).into_response()
                }
            }
        }
        _ => refusal(405, "MethodNotAllowed"),
    }
}

fn put(objects: &mut Objects, key: String, body: Bytes, sha256: String) -> Response {
    if objects.contains_key(&key) {
        return refusal(412, "PreconditionFailed");
    }
    objects.insert(key, (body.to_vec(), Some(sha256)));
    StatusCode::OK.into_response()
}

fn list(objects: &Objects, query: &HashMap<String, String>) -> Response {
    assert_eq!(query.get("list-type").map(String::as_str), Some("2"));
    let prefix = query.get("prefix").map_or("", String::as_str);
    let after = query.get("continuation-token").map_or("", String::as_str);
    let found = objects.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after);
    let found: Vec<&String> = found.collect();
    let page = &found[..found.len().min(PAGE)];
    let contents: String = page.iter().map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
    let next = match page.last().filter(|_| found.len() > PAGE) {
        Some(last) => {
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>")
        }
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    format!("<ListBucketResult>{contents}{next}</ListBucketResult>").into_response()
}

fn refusal(status: u16, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code></Error>");
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}
