//! What release 0.1 left behind is taken over: figures, incidents, pages that are due, the ledger, sealed months.

mod collected;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use serde_json::{Value, json};
use slo_engine::app::App;
use slo_engine::config::Config;
use slo_engine::engine::Clock;
use tempfile::TempDir;
use tests::logs::{content, copy, files};
use tests::root;
use tests::servers::Inbox;

use crate::engine;

/// What that release left.
fn left(part: &str) -> PathBuf {
    root().join("tests/fixtures/state-0.1").join(part)
}

/// A document that was recorded with it.
fn recorded(part: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&content(&left(part))?)?)
}

/// The instant at which its engine was ended.
fn ended() -> Result<Timestamp> {
    Ok(std::fs::read_to_string(left("engine/now"))?.trim().parse()?)
}

/// A copy of the engine's state.
struct State {
    dir: TempDir,
    environment: BTreeMap<&'static str, String>,
}

impl State {
    /// A copy whose notifiers call below `url`.
    fn copy(url: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let engine = dir.path().join("engine");
        copy(&files(&left("engine/reports"))?, &left("engine"), &engine)?;
        std::fs::write(engine.join("engine.db"), content(&left("engine/engine.db.gz"))?)?;
        std::fs::copy(left("engine/pages.jsonl"), engine.join("pages.jsonl"))?;
        let environment = [
            ("STATE", dir.path().display().to_string()),
            ("PORT", "0".to_owned()),
            ("TOKEN", "a token of the fixtures".to_owned()),
            ("ELASTICSEARCH", url.to_owned()),
            ("ALERTMANAGER", url.to_owned()),
            ("PAGER", format!("{url}/pager")),
        ];
        Ok(Self { dir, environment: environment.into() })
    }

    /// Opened as it was served.
    async fn open(&self) -> Result<App> {
        let env = |name: &str| self.environment.get(name).cloned();
        let config = Config::load(&left("engine/engine.yaml"), &env);
        App::open(config.map_err(|problems| anyhow::anyhow!("{problems}"))?, Clock::Wall, &Registry::new())
            .await
    }

    /// What the program prints for `arguments`.
    async fn print(&self, arguments: &[&str]) -> Result<String> {
        let config = left("engine/engine.yaml");
        let mut command = engine().command(arguments);
        let output = command.arg("--config").arg(config).envs(&self.environment).output().await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// As it is read back: floats then went the same way as those that were recorded.
fn printed(value: &Value) -> Result<Value> {
    Ok(serde_json::from_str(&value.to_string())?)
}

/// Everything that was recorded is said again; more may be said beside it.
#[track_caller]
fn check_holds(at: &str, recorded: &Value, said: &Value) {
    match (recorded, said) {
        (Value::Object(recorded), Value::Object(said)) => {
            for (key, value) in recorded {
                check_holds(&format!("{at}.{key}"), value, said.get(key).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(recorded), Value::Array(said)) if recorded.len() == said.len() => {
            for (index, (recorded, said)) in recorded.iter().zip(said).enumerate() {
                check_holds(&format!("{at}[{index}]"), recorded, said);
            }
        }
        _ => assert_eq!(said, recorded, "{at}"),
    }
}

#[tokio::test]
async fn figures_incidents_and_positions_are_what_they_were() -> Result<()> {
    let state = State::copy(NOWHERE)?;
    let app = state.open().await?;
    let engine = &app.engine;
    check_holds(
        "slos",
        &recorded("engine/slos.json.gz")?,
        &printed(&serde_json::to_value(engine.details())?)?,
    );
    check_holds(
        "overview",
        &recorded("engine/overview.json.gz")?,
        &printed(&serde_json::to_value(engine.overview().await?)?)?,
    );
    let incidents = recorded("engine/incidents.json.gz")?;
    check_holds("incidents", &incidents, &printed(&serde_json::to_value(engine.incidents().await?)?)?);
    check_holds(
        "positions",
        &recorded("engine/positions.json.gz")?,
        &printed(&serde_json::to_value(engine.positions().await?)?)?,
    );
    app.stop().await;
    // The record holds what this test is about.
    let count = |holds: &dyn Fn(&Value) -> bool| {
        incidents.as_array().unwrap().iter().filter(|one| holds(one)).count()
    };
    assert!(count(&|one| one["resolved_at"].is_string()) > 0, "none was resolved");
    assert!(
        count(&|one| one["resolved_at"].is_null() && one["acknowledged_at"].is_string()) > 0,
        "none was taken"
    );
    assert!(
        count(&|one| one["resolved_at"].is_null() && one["acknowledged_at"].is_null()) > 0,
        "none is open"
    );
    Ok(())
}

#[tokio::test]
async fn pages_that_were_due_are_sent_once_under_their_own_keys() -> Result<()> {
    let inbox = Inbox::start().await?;
    let state = State::copy(inbox.url())?;
    let app = state.open().await?;
    // Behind every pause between two tries.
    app.dispatcher.drain_once(ended()? + SignedDuration::from_hours(1)).await?;
    app.stop().await;
    let pages = inbox.received().into_iter().filter(|received| received.path == "/pager");
    let mut sent: Vec<String> = pages.filter_map(|received| received.key).collect();
    sent.sort_unstable();
    let outbox = recorded("engine/outbox.json.gz")?;
    let pending = outbox.as_array().context("the outbox is a list")?.iter();
    let pending =
        pending.filter(|entry| entry["state"] == "pending").filter_map(|entry| entry["id"].as_str());
    let mut pending: Vec<String> = pending.map(str::to_owned).collect();
    pending.sort_unstable();
    assert!(!pending.is_empty(), "nothing was due");
    assert_eq!(sent, pending);
    let journal = std::fs::read(state.dir.path().join("engine/pages.jsonl"))?;
    assert!(journal == std::fs::read(left("engine/pages.jsonl"))?, "what was told is told again");
    Ok(())
}

#[tokio::test]
async fn the_chain_holds_and_goes_on() -> Result<()> {
    let state = State::copy(NOWHERE)?;
    let ledger = async || -> Result<Value> {
        Ok(serde_json::from_str(&state.print(&["ledger", "--output", "json"]).await?)?)
    };
    let before = ledger().await?;
    assert_eq!(before, recorded("engine/ledger.json.gz")?);
    let app = state.open().await?;
    let held = app.engine.positions().await?;
    let (stream, end) = held.positions.first_key_value().context("streams were read")?;
    let range = json!({ "start": end, "end": end + 100 });
    let tally =
        json!({ "lines": 1, "requests": 0, "ignored": 1, "unparsed": 0, "late": 0, "dead_lettered": 0 });
    let now = ended()? + SignedDuration::from_mins(20);
    let said = |collector: &str, streams: Value| {
        let request = json!({
            "collector": collector, "epoch": "1", "store": held.store, "watermark_ms": now.as_millisecond(),
            "edges_us": slo::counts::DEFAULT_EDGES_US, "streams": streams, "rows": [],
        });
        serde_json::from_value(request)
    };
    let report = json!([{ "stream": stream, "path": "0.log", "range": range, "tally": tally }]);
    let reply = app.engine.ingest(said("node-1-a1b2", report)?).await?;
    assert_eq!(reply.positions[stream], end + 100);
    app.engine.ingest(said("node-2-a1b2", json!([]))?).await?;
    app.engine.tick(now).await?;
    app.stop().await;
    let after = ledger().await?;
    assert!(after["blocks"].as_u64() > before["blocks"].as_u64(), "{} blocks", after["blocks"]);
    Ok(())
}

#[tokio::test]
async fn a_sealed_month_stays_as_it_was_sealed() -> Result<()> {
    let state = State::copy(NOWHERE)?;
    let reports = state.dir.path().join("engine/reports");
    let sealed = |folder: &Path| -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let file = |path: PathBuf| Ok((path.strip_prefix(folder)?.to_owned(), std::fs::read(&path)?));
        files(folder)?.into_iter().map(file).collect()
    };
    let before = sealed(&reports)?;
    assert_eq!(before.keys().filter(|path| path.ends_with("seal.json")).count(), 2, "one, and one said anew");
    let said = state.print(&["report", "--month", "2026-09", "--seal"]).await?;
    assert_eq!(said, "2026-09 is sealed already, and its figures are the same\n");
    assert!(sealed(&reports)? == before, "other files than those that were sealed");
    let report = state.print(&["report", "--month", "2026-09", "--output", "json"]).await?;
    let anew = before.iter().find(|(path, _)| path.ends_with("restatements/1/report.json"));
    let (_, anew) = anew.context("the month was said anew")?;
    assert_eq!(serde_json::from_str::<Value>(&report)?, serde_json::from_slice::<Value>(anew)?);
    Ok(())
}
