//! A proxy on the way to a server that damages what goes through or loses what comes back.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The last byte of what the client sends at once, its body, has another bit.
    FlipBit,
    /// The server gets the request and answers; the connection breaks before the answer.
    LoseAnswer,
}

type Shared = Arc<Mutex<Option<Fault>>>;

/// Listens on loopback until it is dropped.
pub(super) struct Proxy {
    url: String,
    fault: Shared,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(server: &str) -> Result<Self> {
        let server = server.strip_prefix("http://").context("the server speaks plain HTTP")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let fault = Shared::default();
        let faults = fault.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, faults) = (server.clone(), faults.clone());
                // A connection that breaks is what it is for.
                tokio::spawn(async move { drop(pass(client, &server, &faults).await) });
            }
        });
        Ok(Self { url, fault, task })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// From now on.
    pub(super) fn fail(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, server: &str, fault: &Shared) -> Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let now = || *fault.lock().unwrap();
    let requests = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_server.shutdown().await;
            }
            let part = &mut buffer[..read];
            // The end of a head is left alone.
            if now() == Some(Fault::FlipBit) && !part.ends_with(b"\r\n\r\n") {
                part[read - 1] ^= 1;
            }
            to_server.write_all(part).await?;
        }
    };
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 || now() == Some(Fault::LoseAnswer) {
                return Ok(());
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    tokio::select! {
        ended = requests => Ok(ended?),
        ended = answers => ended,
    }
}
