//! The collector's own page: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;

use anyhow::Context;
use prometheus::Registry;
use telemetry::Readiness;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Listens; port 0 takes a free one. The task runs until it is cancelled.
pub(super) async fn serve(
    address: SocketAddr,
    registry: Registry,
    readiness: Readiness,
) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another api.address"))?;
    let address = listener.local_addr()?;
    let router = telemetry::router(registry, readiness);
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the collector's own page ended");
        }
    });
    Ok((address, server))
}
