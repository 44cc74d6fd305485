//! The receiver: a contract double of Elasticsearch's `_bulk` that counts documents and keeps none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, header};
use axum::response::IntoResponse;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A receiver on a free port; gone on drop.
pub(crate) struct Receiver {
    address: SocketAddr,
    counted: Arc<Counted>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Counted {
    documents: AtomicU64,
    changed: Notify,
}

impl Receiver {
    /// Starts one.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on loopback")?;
        let (address, counted) = (listener.local_addr()?, Arc::new(Counted::default()));
        let router =
            Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(counted.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the receiver ended: {error}");
            }
        });
        Ok(Self { address, counted, server })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Documents so far.
    pub(crate) fn documents(&self) -> u64 {
        self.counted.documents.load(Ordering::Relaxed)
    }

    /// Waits for so many documents.
    pub(crate) async fn has(&self, documents: u64) {
        while self.documents() < documents {
            self.counted.changed.notified().await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A `_bulk` is counted; whatever else is asked is there.
async fn answer(State(counted): State<Arc<Counted>>, method: Method, body: Bytes) -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    if method != Method::POST {
        return (json, "{\"index_templates\":[{}]}".to_owned());
    }
    let documents = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count() / 2;
    let items = vec![
        "{\"create\":{\"_index\":\"bench\",\"_id\":\"0000000000000000000000\",\"status\":201}}";
        documents
    ];
    counted.documents.fetch_add(documents as u64, Ordering::Relaxed);
    counted.changed.notify_one();
    (json, format!("{{\"took\":1,\"errors\":false,\"items\":[{}]}}", items.join(",")))
}
