//! An application to put into pods: it answers as it is asked to, and writes lines that the oracle knows.
//!
//! ```text
//! headroom-demo serve [--listen ADDRESS]                       0.0.0.0:8080
//! headroom-demo lines --run ID --stream N --count N [--rate N] [--start-ms N --step-ms N]
//!                                                              logs, as many a second as said, and ends
//! headroom-demo write PATH…                                    says of each place whether it can write there
//!
//! GET  /                   200
//! GET  /fail               503
//! GET  /slow?ms=N          200, so late; 600 ms unless told otherwise
//! GET  /healthz            200
//! POST /lines?run=ID&stream=N&count=N[&from=N]     writes lines to standard output, then answers
//! ```
//!
//! ID is the run's in eight hexadecimal digits, N of `stream` its container; a caller that asks again says `from`.

use std::future::pending;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use tests::oracle::Run;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{interval, timeout};

/// What `/slow` takes, unless told otherwise: longer than the default objective for latency allows.
const SLOW_MS: u64 = 600;

/// How often lines are written where a rate is set.
const TICK: Duration = Duration::from_millis(100);

/// Which lines of the oracle.
struct Lines {
    run: Run,
    stream: u16,
    sequences: Range<u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mode, options) = arguments.split_first().context("say what: serve or lines")?;
    let work = async {
        match mode.as_str() {
            "serve" => serve(options).await,
            "lines" => write_lines(options).await,
            "write" => {
                options.iter().for_each(|path| try_to_write(path));
                Ok(())
            }
            _ => bail!("{mode} is none of: serve, lines, write"),
        }
    };
    // The first process of a container ends by no signal that it does not take.
    let mut terminate = signal(SignalKind::terminate()).context("cannot take signals")?;
    tokio::select! {
        result = work => result,
        _ = terminate.recv() => Ok(()),
    }
}

fn try_to_write(path: &str) {
    match std::fs::write(path, "x") {
        Ok(()) => println!("wrote {path}"),
        Err(error) => println!("cannot write {path}: {error}"),
    }
}

async fn serve(options: &[String]) -> anyhow::Result<()> {
    let listen = match options {
        [] => SocketAddr::from(([0, 0, 0, 0], 8080)),
        [option, address] if option == "--listen" => {
            address.parse().with_context(|| format!("{address} is not an address with a port"))?
        }
        _ => bail!("serve knows --listen ADDRESS alone"),
    };
    let router = Router::new()
        .route("/", get(|| async { "ok\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/fail", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "failed as asked\n") }))
        .route("/slow", get(slow))
        .route("/lines", post(lines));
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    axum::serve(listener, router).await.context("cannot serve")
}

async fn slow(Query(query): Query<Value>) -> &'static str {
    let asked = query["ms"].as_str().and_then(|ms| ms.parse().ok());
    let _ = timeout(Duration::from_millis(asked.unwrap_or(SLOW_MS)), pending::<()>()).await;
    "ok, late\n"
}

async fn lines(Query(query): Query<Value>) -> (StatusCode, String) {
    let lines = Lines::proven(|name| query[name].as_str());
    let written = match lines {
        // Whoever reads the other end of the pipe may be slow.
        Ok(lines) => tokio::task::spawn_blocking(move || lines.write(lines.sequences.clone()))
            .await
            .map_err(anyhow::Error::from)
            .and_then(|written| written),
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    };
    match written {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")),
    }
}

async fn write_lines(options: &[String]) -> anyhow::Result<()> {
    let value = |name: &str| {
        let at = options.iter().position(|option| option.strip_prefix("--") == Some(name))?;
        options.get(at + 1).map(String::as_str)
    };
    let lines = Lines::proven(value)?;
    let all = lines.sequences.clone();
    let Some(rate) = value("rate") else { return lines.write(all) };
    let rate: u64 = rate.parse().with_context(|| format!("rate {rate} is not a number"))?;
    let (mut next, mut ticks, mut passed) = (all.start, interval(TICK), 0);
    while next < all.end {
        ticks.tick().await;
        passed += 1;
        // Of the whole time, so that nothing is lost to rounding.
        let due = (all.start + (rate * passed).div_ceil(10)).min(all.end);
        lines.write(next..due)?;
        next = due;
    }
    Ok(())
}

// === impl Lines ===

impl Lines {
    fn proven<'a>(value: impl Fn(&str) -> Option<&'a str>) -> anyhow::Result<Self> {
        let number = |name: &str| -> anyhow::Result<u64> {
            let text = value(name).with_context(|| format!("{name} is missing"))?;
            text.parse().with_context(|| format!("{name} {text} is not a number"))
        };
        let or_zero = |name: &str| if value(name).is_some() { number(name) } else { Ok(0) };
        let id = value("run").context("run is missing")?;
        let id = u32::from_str_radix(id, 16).with_context(|| format!("run {id} is not hexadecimal"))?;
        let stream = u16::try_from(number("stream")?).context("stream is at most 65535")?;
        let (from, start, step) = (or_zero("from")?, or_zero("start-ms")?, or_zero("step-ms")?);
        // Their requests have times.
        ensure!(
            !Run::is_ingress(stream) || start > 0,
            "stream {stream} is an ingress controller's: say start-ms, or take one that 4 does not divide"
        );
        let run = Run { id, start_ms: i64::try_from(start)?, step_ms: i64::try_from(step)? };
        Ok(Self { run, stream, sequences: from..from.saturating_add(number("count")?) })
    }

    /// Writes some of them, whole, to standard output.
    fn write(&self, sequences: Range<u64>) -> anyhow::Result<()> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        for sequence in sequences {
            out.write_all(&self.run.line(self.stream, sequence))?;
            out.write_all(b"\n")?;
        }
        out.flush().context("cannot write to standard output")
    }
}
