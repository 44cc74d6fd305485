//! Connections to one address go on to another: pods reach a server on loopback by the address of their bridge.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Forwards until it is dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Forward {
    /// Listens on `ip`, at a port that is free, for the server at `url` (`http://127.0.0.1:PORT`).
    ///
    /// # Errors
    /// Nothing can listen there, or `url` names no port.
    pub async fn start(ip: IpAddr, url: &str) -> anyhow::Result<Self> {
        let to = url.split("://").nth(1).context("a URL has a scheme")?;
        let to = to.split('/').next().unwrap_or(to).to_owned();
        let listener = TcpListener::bind((ip, 0)).await.with_context(|| format!("cannot listen on {ip}"))?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let to = to.clone();
                tokio::spawn(async move {
                    // A server that is stopped refuses; whoever connected sees that as an end of the connection.
                    if let Ok(mut server) = TcpStream::connect(&to).await {
                        let _ = copy_bidirectional(&mut from, &mut server).await;
                    }
                });
            }
        });
        Ok(Self { address, serving })
    }

    /// Where it listens: `http://IP:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
