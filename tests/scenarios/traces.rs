//! Own traces: a line's way and a page's way are one trace each, over both programs and a restart. What takes them is a
//! double of an OTLP receiver: it keeps the JSON and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::program::{Program, eventually};
use tests::servers::{Answer, Inbox};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::production::{configure, requests};
use crate::serve::TOKEN;

/// A program that tells its traces.
struct Running {
    child: Child,
    url: String,
}

/// A span as the double was told it.
#[derive(Clone, Debug)]
struct Told {
    trace: String,
    id: String,
    parent: String,
    name: String,
    service: String,
    component: String,
    failed: bool,
}

impl Running {
    /// The engine, once it serves.
    async fn engine(config: &Path, receiver: &Inbox) -> Result<Self> {
        let mut running =
            Self::start(&crate::engine(), &["serve".as_ref(), "--config".as_ref(), config], receiver)?;
        let mut lines = BufReader::new(running.child.stderr.take().context("it is piped")?).lines();
        while let Some(line) = lines.next_line().await? {
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if let ("serving", Some(addr)) = (said["message"].as_str().unwrap_or(""), said["addr"].as_str()) {
                running.url = format!("http://{addr}");
                break;
            }
        }
        ensure!(!running.url.is_empty(), "the engine ended before it served");
        // Somebody must read what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(running)
    }

    fn start(program: &Program, arguments: &[&Path], receiver: &Inbox) -> Result<Self> {
        let mut command = program.command(arguments);
        command.env("HEADROOM_TOKEN", TOKEN).env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url());
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50").stderr(Stdio::piped());
        Ok(Self { child: command.spawn()?, url: String::new() })
    }

    /// Ends it as Kubernetes does.
    async fn stop(self) -> Result<()> {
        let process = rustix::process::Pid::from_raw(self.child.id().context("it runs")?.cast_signed());
        rustix::process::kill_process(process.context("a child has an id")?, rustix::process::Signal::TERM)?;
        let ended = self.child.wait_with_output().await?;
        ensure!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
        Ok(())
    }

    async fn incident(&self) -> Result<Option<String>> {
        let answer = client()?.get(format!("{}/v1/incidents", self.url)).send().await?.error_for_status()?;
        let incidents: Value = serde_json::from_str(&answer.text().await?)?;
        Ok(incidents[0]["id"].as_str().map(str::to_owned))
    }
}

fn client() -> Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

fn engine_config(dir: &Path, pager: &Inbox) -> Result<std::path::PathBuf> {
    let config = json!({
        "listen": "127.0.0.1:0",
        "data_dir": dir.join("engine"),
        "counts": { "token": "${HEADROOM_TOKEN}" },
        "notifiers": { "pager": { "type": "webhook", "url": pager.url() } },
    });
    let path = dir.join("engine.yaml");
    fs::write(&path, config.to_string())?;
    Ok(path)
}

/// Every span that came.
fn told(receiver: &Inbox) -> Vec<Told> {
    let mut told = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let attribute = |attributes: &Value, name: &str| {
        let found = list(attributes).into_iter().find(|attribute| attribute["key"] == name);
        found.and_then(|found| found["value"]["stringValue"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    for request in receiver.received().into_iter().filter(|request| request.path == "/v1/traces") {
        for resource in list(&request.body["resourceSpans"]) {
            let service = attribute(&resource["resource"]["attributes"], "service.name");
            for span in list(&resource["scopeSpans"]).iter().flat_map(|scope| list(&scope["spans"])) {
                let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
                told.push(Told {
                    trace: text("traceId"),
                    id: text("spanId"),
                    parent: text("parentSpanId"),
                    name: text("name"),
                    service: service.clone(),
                    component: attribute(&span["attributes"], "headroom.component"),
                    failed: span["status"]["code"] == 2,
                });
            }
        }
    }
    told
}

fn names(told: &[Told]) -> BTreeSet<(&str, &str, &str)> {
    told.iter().map(|told| (&*told.service, &*told.name, &*told.component)).collect()
}

/// The spans by trace; every parent must be a span of the same trace.
fn traces(told: &[Told]) -> BTreeMap<String, Vec<Told>> {
    let mut traces: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    told.iter().for_each(|span| traces.entry(span.trace.clone()).or_default().push(span.clone()));
    for spans in traces.values() {
        let ids: BTreeSet<&str> = spans.iter().map(|span| &*span.id).collect();
        let lost = spans.iter().find(|span| !span.parent.is_empty() && !ids.contains(&*span.parent));
        assert!(lost.is_none(), "{lost:?} in {spans:?}");
    }
    traces
}

#[tokio::test]
async fn a_lines_way_and_a_pages_way_are_one_trace_each_over_both_programs_and_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (receiver, pager) = (Inbox::start().await?, Inbox::start().await?);
    let config = engine_config(dir.path(), &pager)?;
    pager.answer(Answer::Status(503));
    let engine = Running::engine(&config, &receiver).await?;
    fs::write(dir.path().join("access.log"), requests(300, "/", 2))?;
    let collecting = configure(dir.path(), &engine.url)?;
    let collector = Running::start(&crate::collector(), &["--config".as_ref(), &collecting], &receiver)?;
    eventually("the pager was asked in vain", async || Ok(!pager.received().is_empty())).await?;
    pager.answer(Answer::Status(200));
    eventually("the pager knows", async || Ok(!pager.taken().is_empty())).await?;
    collector.stop().await?;
    let incident = engine.incident().await?.context("a page has an incident")?;
    engine.stop().await?;

    let engine = Running::engine(&config, &receiver).await?;
    let resolve = client()?.post(format!("{}/v1/incidents/{incident}/resolve", engine.url));
    resolve.bearer_auth(TOKEN).json(&json!({ "by": "ada" })).send().await?.error_for_status()?;
    eventually("the pager knows the end", async || {
        Ok(pager.received().iter().any(|got| got.body["kind"] == "resolve"))
    })
    .await?;
    engine.stop().await?;

    let traces = traces(&told(&receiver));
    let with = |name: &str| {
        traces.values().filter(|spans| spans.iter().any(|span| span.name == name)).collect::<Vec<_>>()
    };
    let (lines, pages) = (with("read"), with("notify"));
    assert_eq!((lines.len(), with("ingest").len()), (1, 1), "one file, one trace");
    let want = [
        ("collector", "post counts", ""),
        ("collector", "queue", "archive"),
        ("collector", "queue", "engine"),
        ("collector", "read", ""),
        ("collector", "send", "archive"),
        ("collector", "send", "engine"),
        ("collector", "transform", "logs"),
        ("slo-engine", "ingest", ""),
    ];
    assert_eq!(names(lines[0]), want.into());
    // The minutes of the collector's silence may page too, in traces of their own.
    let page = pages.iter().find(|spans| spans.iter().any(|span| span.name == "incident"));
    let page = page.context("no page's trace has its end")?;
    let want = ["commit", "incident", "judge", "notify"].map(|name| ("slo-engine", name, ""));
    assert_eq!(names(page), want.into());
    assert!(page.iter().any(|span| span.name == "notify" && span.failed), "the attempt in vain: {page:?}");
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_refuses_or_hangs_holds_up_nothing_and_what_is_lost_is_counted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (receiver, pager) = (Inbox::start().await?, Inbox::start().await?);
    receiver.answer(Answer::Status(503));
    let engine = Running::engine(&engine_config(dir.path(), &pager)?, &receiver).await?;
    fs::write(dir.path().join("access.log"), requests(300, "/", 2))?;
    let collecting = configure(dir.path(), &engine.url)?;
    let collector = Running::start(&crate::collector(), &["--config".as_ref(), &collecting], &receiver)?;
    eventually("the pager knows", async || Ok(!pager.taken().is_empty())).await?;
    let metrics = || async {
        let answer = client()?.get(format!("{}/metrics", engine.url)).send().await?;
        anyhow::Ok(answer.error_for_status()?.text().await?)
    };
    let failed = "headroom_traces_spans_total{outcome=\"failed\"} ";
    eventually("lost spans are counted", async || {
        let metrics = metrics().await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix(failed)).context("no such metric")?;
        Ok(count != "0")
    })
    .await?;
    receiver.answer(Answer::Hang);
    collector.stop().await?;
    engine.stop().await
}
