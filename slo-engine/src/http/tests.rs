//! The server against whoever holds on to it, and TLS whose certificate changes.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use prometheus::Registry;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::TlsFiles;

/// Longer than anything here takes.
const FAR: Duration = Duration::from_secs(60);

struct Served {
    addr: SocketAddr,
    registry: Registry,
    stopper: telemetry::Stopper,
    server: JoinHandle<()>,
    /// Lets the slow route answer.
    go: Arc<Notify>,
}

async fn slow(State((began, go)): State<(Arc<Notify>, Arc<Notify>)>) -> &'static str {
    began.notify_one();
    go.notified().await;
    "done"
}

/// A server; the slow route says when it was called.
async fn serve(limits: Limits, tls: Option<Arc<Tls>>) -> (Served, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (registry, (stopper, stop)) = (Registry::new(), telemetry::stopper());
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", get(slow))
        .with_state((began.clone(), go.clone()));
    let metrics = HttpMetrics::new(&registry).unwrap();
    let server = tokio::spawn(super::serve(listener, router, Front { limits, tls, metrics }, stop));
    (Served { addr, registry, stopper, server, go }, began)
}

impl Served {
    /// A connection on which this was said.
    async fn say(&self, text: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.addr).await.unwrap();
        connection.write_all(text.as_bytes()).await.unwrap();
        connection
    }

    fn metric(&self, name: &str) -> String {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.lines().find(|line| line.starts_with(name)).unwrap().to_owned()
    }
}

/// What comes until the other end closes.
async fn rest(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut is over, too.
    let _ = tokio::time::timeout(FAR, connection.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn the_end_comes_in_time_whoever_holds_on() {
    let many = Limits { connections_per_address: 1000, shutdown: FAR, ..Limits::default() };
    let (served, began) = serve(many, None).await;
    let mut halves = Vec::new();
    for at in 0..300 {
        halves.push(served.say(if at % 2 == 0 { "GET / HTTP/1.1\r\nhost: x\r\n" } else { "" }).await);
    }
    let mut asked = served.say("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    began.notified().await;
    served.stopper.stop();
    // The halves are let go while a request is still in flight.
    for half in &mut halves {
        assert_eq!(rest(half).await, "");
    }
    served.go.notify_one();
    let answer = rest(&mut asked).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
    tokio::time::timeout(FAR, served.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_when_the_time_is_up() {
    let short = Limits { shutdown: Duration::from_millis(100), ..Limits::default() };
    let (served, began) = serve(short, None).await;
    let mut asked = served.say("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    began.notified().await;
    served.stopper.stop();
    tokio::time::timeout(FAR, served.server).await.unwrap().unwrap();
    assert_eq!(rest(&mut asked).await, "");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_given_up() {
    let (served, _) = serve(Limits { head: Duration::from_millis(50), ..Limits::default() }, None).await;
    for text in ["", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut connection = served.say(text).await;
        let answer = rest(&mut connection).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    // A connection that is kept is kept no longer than that.
    let mut kept = served.say("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(rest(&mut kept).await.ends_with("hello"));
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_counted() {
    let few = Limits { connections_per_address: 2, ..Limits::default() };
    let (served, began) = serve(few, None).await;
    let mut inside = Vec::new();
    for _ in 0..2 {
        inside.push(served.say("GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await);
        began.notified().await;
    }
    let mut outside = served.say("").await;
    assert_eq!(rest(&mut outside).await, "");
    let refused = "headroom_http_connections_refused_total{reason=\"address\"}";
    assert_eq!(served.metric(refused), format!("{refused} 1"));
    for connection in &mut inside {
        served.go.notify_one();
        assert!(rest(connection).await.ends_with("done"));
    }
}

/// Writes a new pair; gives back its certificate.
fn write_pair(files: &TlsFiles) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.crt_file, made.cert.pem()).unwrap();
    std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// What a client hears that trusts this certificate alone.
async fn hear(addr: SocketAddr, trusted: &CertificateDer<'static>) -> io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles { crt_file: dir.path().join("crt.pem"), key_file: dir.path().join("key.pem") };
    let first = write_pair(&files);
    let tls = Arc::new(Tls::open(files.clone()).unwrap());
    let (served, _) = serve(Limits::default(), Some(tls.clone())).await;
    assert!(hear(served.addr, &first).await.unwrap().ends_with("hello"));
    let second = write_pair(&files);
    assert!(hear(served.addr, &second).await.is_err());
    tls.reload();
    assert!(hear(served.addr, &second).await.unwrap().ends_with("hello"));
    assert!(hear(served.addr, &first).await.is_err());
    let key = std::fs::read(&files.key_file).unwrap();
    let third = write_pair(&files);
    std::fs::write(&files.key_file, key).unwrap();
    tls.reload();
    assert!(hear(served.addr, &second).await.unwrap().ends_with("hello"));
    assert!(hear(served.addr, &third).await.is_err());
    std::fs::remove_file(&files.crt_file).unwrap();
    tls.reload();
    assert!(hear(served.addr, &second).await.is_ok());
}

#[test]
fn files_that_are_no_pair_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles { crt_file: dir.path().join("crt.pem"), key_file: dir.path().join("key.pem") };
    let told = |files: &TlsFiles| format!("{:#}", Tls::open(files.clone()).unwrap_err());
    assert!(told(&files).contains("tls.crt_file"), "{}", told(&files));
    write_pair(&files);
    let key = std::fs::read(&files.key_file).unwrap();
    write_pair(&files);
    std::fs::write(&files.key_file, key).unwrap();
    assert!(told(&files).contains("are no pair"), "{}", told(&files));
    std::fs::write(&files.key_file, "").unwrap();
    assert!(told(&files).contains("no private key in PEM"), "{}", told(&files));
}
