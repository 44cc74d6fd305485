//! A small real HTTP server on a free loopback port that answers as it is told and remembers what it read.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{Webhook, WebhookConfig};

/// What the server does with a request that it has read.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The status line and headers, each ended by CRLF, and a body.
    Status(&'static str, &'static str),
    /// Never answers.
    Hang,
    /// Closes the connection, as a receiver does whose answer is lost.
    Close,
}

/// One request: its head as text, its body as JSON.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Value,
}

pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers in this order, then always 200.
    pub(super) async fn start(answers: impl IntoIterator<Item = Answer>) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, answers.into_iter().collect(), Arc::clone(&requests)));
        Server { address, requests, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/page", self.address)
    }

    /// A webhook to here that waits so long for an answer that a busy machine changes nothing.
    pub(super) fn webhook(&self) -> Webhook {
        self.webhook_waiting(SignedDuration::from_secs(60))
    }

    /// A webhook to here for answers that never come.
    pub(super) fn hasty_webhook(&self) -> Webhook {
        self.webhook_waiting(SignedDuration::from_millis(100))
    }

    fn webhook_waiting(&self, timeout: SignedDuration) -> Webhook {
        let (url, timeout) = (Some(self.url()), Some(timeout));
        Webhook::build(WebhookConfig { url, timeout, ..WebhookConfig::default() }).unwrap()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// `kind` of every message, in the order of arrival.
    pub(super) fn kinds(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.body["kind"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, mut answers: VecDeque<Answer>, requests: Arc<Mutex<Vec<Request>>>) {
    let mut hanging = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read(&mut stream).await;
        requests.lock().unwrap().push(request);
        match answers.pop_front().unwrap_or(Answer::Status("200 OK\r\n", "")) {
            Answer::Hang => hanging.push(stream),
            Answer::Close => {}
            Answer::Status(head, body) => {
                let length = body.len();
                let text =
                    format!("HTTP/1.1 {head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "the client closed in the middle of a request"
        );
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return Request { body: serde_json::from_str(body).unwrap(), head };
        }
    }
}
