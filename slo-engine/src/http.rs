//! The HTTP server: connections within limits, and an end that comes in time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use telemetry::Stop;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::api::{HttpMetrics, Peer};
use crate::config::Limits;

mod doors;
mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod underway;

use doors::Doors;
use stream::Impatient;
use tls::Tls;
use underway::{Guarded, Underway};

/// Most bytes of a head: so much each of the connections can hold without a word being said.
const HEAD_BYTES: usize = 32 << 10;

/// How long a connection on which nothing is asked has to say goodbye at the end.
const GOODBYE: Duration = Duration::from_secs(1);

/// When connections are accepted again after that failed: no file descriptor is left, say.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// What the server is made of beside its routes.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) limits: Limits,
    /// Nothing: plain HTTP.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) metrics: HttpMetrics,
}

/// Serves until it is stopped, then within the limit for that: whoever has asked is answered, all others are let go.
pub(crate) async fn serve(listener: TcpListener, router: Router, front: Front, stop: Stop) {
    let doors = Doors::new(&front.limits, front.metrics.clone());
    let shutdown = front.limits.shutdown;
    let (front, mut connections) = (Arc::new(front), JoinSet::new());
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.wait() => break,
            Some(ended) = connections.join_next() => {
                tell_panic(ended);
                continue;
            }
            accepted = accept(&listener) => accepted,
        };
        // Dropped, and with it closed, where the doors are full.
        let Some(pass) = doors.enter(peer.ip()) else { continue };
        let (router, front, stop) = (router.clone(), front.clone(), stop.clone());
        connections.spawn(async move {
            let _pass = pass;
            welcome(stream, peer, router, &front, stop).await;
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(shutdown, all).await.is_err() {
        tracing::warn!(
            left = connections.len(),
            "requests in flight took too long to end; their connections are cut"
        );
        connections.shutdown().await;
    }
}

fn tell_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended badly");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, again_in = ?ACCEPT_AGAIN, "cannot accept connections");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// The client was gone before it was welcome.
fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn welcome(stream: TcpStream, peer: SocketAddr, router: Router, front: &Front, stop: Stop) {
    // An answer is written at once, in as few pieces as it is made of.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &front.tls else { return talk(stream, peer, router, &front.limits, stop).await };
    let shaken = tokio::select! {
        () = stop.wait() => return,
        shaken = timeout(front.limits.head, tls.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => talk(stream, peer, router, &front.limits, stop).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS connection"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

/// Answers what is asked on one connection.
async fn talk<S>(stream: S, peer: SocketAddr, router: Router, limits: &Limits, stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let underway = Underway::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (held, router) = (underway.begin(), router.clone());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        async move {
            let answer: Response<Body> = match router.oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            Ok::<_, Infallible>(answer.map(|body| Guarded::new(body, held)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Impatient::new(stream, limits.write)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.wait() => None,
    };
    if let Some(ended) = ended {
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
        return;
    }
    connection.as_mut().graceful_shutdown();
    // A head that has only begun is not waited for.
    while timeout(GOODBYE, connection.as_mut()).await.is_err() {
        if underway.is_none() {
            return;
        }
    }
}
