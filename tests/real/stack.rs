//! What a cluster runs, on this machine: collector and engine as programs of their own, with real servers behind them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archive::Store;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::oracle::{Found, Producer, Run, Verdict, found, judge};
use tests::program::{Program, within};
use tests::running::Running;
use tests::seeded::Random;
use tests::servers::{Alertmanager, Inbox, S3, Search, free_port};

/// What writers of counts must show.
const TOKEN: &str = "a token of the tests";

/// The variables that the configurations name.
const ENVIRONMENT: [(&str, &str); 3] =
    [("TOKEN", TOKEN), ("S3_ID", S3::ACCESS_KEY_ID), ("S3_SECRET", S3::SECRET_ACCESS_KEY)];

/// Long enough for anything that is to happen soon, on two cores that others use too.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A node with its containers, a collector, an engine, and whom it tells.
pub(crate) struct Stack {
    /// The node's containers.
    pub(crate) node: Producer,
    /// Where lines are archived.
    pub(crate) s3: S3,
    /// A webhook that is told.
    pub(crate) inbox: Inbox,
    /// Another who is told.
    pub(crate) alertmanager: Alertmanager,
    /// What depends on chance.
    pub(crate) random: Random,
    environment: String,
    dir: TempDir,
    engine_url: String,
    collector: Option<Running>,
    engine: Option<Running>,
}

impl Stack {
    /// Sets one up whose documents go to `search`, under an `environment` that no other test has; nothing runs yet.
    /// Nothing, said loudly, where a server cannot be had.
    pub(crate) async fn new(search: &Search, environment: &str, containers: u16) -> Result<Option<Self>> {
        // Of the last minutes, so that what is wrong now is told now.
        Self::of_lines(search, environment, containers, Duration::from_secs(180), 7).await
    }

    /// The same with lines that begin so long ago and follow each other after so many milliseconds.
    pub(crate) async fn of_lines(
        search: &Search,
        environment: &str,
        containers: u16,
        ago: Duration,
        step_ms: i64,
    ) -> Result<Option<Self>> {
        let inbox = Inbox::start().await?;
        let (s3, alertmanager) = tokio::try_join!(S3::start(), Alertmanager::start(None))?;
        let (Some(s3), Some(alertmanager)) = (s3, alertmanager) else { return Ok(None) };
        s3.create_bucket("lines").await?;
        let dir = tempfile::tempdir()?;
        let mut random = Random::seeded();
        let run = Run::new(&mut random, now_ms() - i64::try_from(ago.as_millis())?, step_ms);
        let node = Producer::new(run, &dir.path().join("pods"), containers)?;
        let engine_url = format!("http://127.0.0.1:{}", free_port()?);
        let environment = environment.to_owned();
        let stack = Self {
            node,
            s3,
            inbox,
            alertmanager,
            random,
            environment,
            dir,
            engine_url,
            collector: None,
            engine: None,
        };
        stack.configure(search)?;
        Ok(Some(stack))
    }

    fn configure(&self, search: &Search) -> Result<()> {
        let (data, soon) = (|name: &str| self.dir.path().join(name), json!({ "timeout_secs": 1 }));
        let bucket = json!({
            "type": "aws_s3", "inputs": ["pods"], "batch": soon, "endpoint": self.s3.url(), "bucket": "lines",
            "region": S3::REGION, "key_prefix": "production/",
            "auth": { "access_key_id": "${S3_ID}", "secret_access_key": "${S3_SECRET}" },
        });
        let documents = json!({
            "type": "elasticsearch", "inputs": ["pods"], "batch": soon, "endpoints": [search.url()],
            "bulk": { "index": format!("headroom-logs-{}-%Y.%m.%d", self.environment) },
        });
        let counts = json!({
            "type": "slo_engine", "inputs": ["requests"], "batch": soon, "endpoint": self.engine_url,
            "token": "${TOKEN}",
        });
        let collector = json!({
            "data_dir": data("collector"),
            "sources": { "pods": {
                "type": "kubernetes_logs", "root": data("pods"), "glob_minimum_cooldown_ms": 100,
            } },
            "transforms": { "requests": { "type": "sli", "inputs": ["pods"] } },
            "sinks": { "search": documents, "bucket": bucket, "engine": counts },
        });
        let told = json!([
            { "name": "on-call", "channels": ["hook"] },
            { "name": "cluster", "channels": ["alertmanager"] },
        ]);
        let policy = |name: &str| json!({ "name": name, "steps": [{ "targets": told }] });
        let engine = json!({
            "listen": self.engine_url.trim_start_matches("http://"),
            "data_dir": data("engine"),
            "environment": self.environment,
            "elasticsearch": { "endpoints": [search.url()] },
            "archive": {
                "type": "aws_s3", "endpoint": self.s3.url(), "bucket": "lines", "region": S3::REGION,
                "key_prefix": "production/",
                "auth": { "access_key_id": "${S3_ID}", "secret_access_key": "${S3_SECRET}" },
            },
            "counts": { "token": "${TOKEN}" },
            "notifiers": {
                "hook": { "type": "webhook", "url": self.inbox.url(), "timeout": "2s" },
                "alertmanager": { "type": "alertmanager", "url": self.alertmanager.url() },
            },
            "escalation": { "page": policy("page"), "ticket": policy("ticket") },
        });
        for (name, config) in [("collector", collector), ("engine", engine)] {
            fs::create_dir_all(data(name))?;
            fs::write(self.dir.path().join(format!("{name}.yaml")), config.to_string())?;
        }
        Ok(())
    }

    /// Starts the collector; it is killed first where it runs.
    pub(crate) fn start_collector(&mut self) -> Result<()> {
        let program = Program::new(env!("CARGO_BIN_EXE_headroom-collector"));
        let arguments = [PathBuf::from("--config"), self.dir.path().join("collector.yaml")];
        let log = self.dir.path().join("collector.log");
        self.collector = None;
        self.collector = Some(Running::start(&program, &arguments, &ENVIRONMENT, &log)?);
        Ok(())
    }

    /// Starts the engine; it is killed first where it runs.
    pub(crate) fn start_engine(&mut self) -> Result<()> {
        let program = Program::new(env!("CARGO_BIN_EXE_headroom-slo-engine"));
        let arguments = ["serve".into(), PathBuf::from("--config"), self.dir.path().join("engine.yaml")];
        let log = self.dir.path().join("engine.log");
        self.engine = None;
        self.engine = Some(Running::start(&program, &arguments, &ENVIRONMENT, &log)?);
        Ok(())
    }

    /// Kills the collector by SIGKILL after `delay`.
    pub(crate) async fn kill_collector(&mut self, delay: Duration) -> Result<()> {
        self.collector.take().context("it runs")?.kill_after(delay).await.context("the collector")
    }

    /// Kills the engine by SIGKILL after `delay`.
    pub(crate) async fn kill_engine(&mut self, delay: Duration) -> Result<()> {
        self.engine.take().context("it runs")?.kill_after(delay).await.context("the engine")
    }

    /// Ends both in order, the collector first, so that what it holds is delivered.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.collector.take().context("it runs")?.stop().await.context("the collector")?;
        self.engine.take().context("it runs")?.stop().await.context("the engine")
    }

    /// Kills the engine and takes its disk away.
    pub(crate) async fn lose_the_engine(&mut self) -> Result<()> {
        self.kill_engine(Duration::ZERO).await?;
        Ok(fs::remove_dir_all(self.dir.path().join("engine"))?)
    }

    /// What `slo-engine ledger` prints of the engine's state, beside it while it runs.
    pub(crate) async fn ledger(&self) -> Result<Value> {
        let program = Program::new(env!("CARGO_BIN_EXE_headroom-slo-engine"));
        let config = self.dir.path().join("engine.yaml");
        let mut command = program.command(&["ledger".as_ref(), "--config".as_ref(), config.as_os_str()]);
        let output = command.args(["--output", "json"]).envs(ENVIRONMENT).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What the engine, in all of its runs, has logged with a message: the fields, as JSON.
    pub(crate) fn engine_logged(&self, message: &str) -> Result<Vec<Value>> {
        let said = self.engine.as_ref().context("it runs")?.said()?;
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(lines.filter(|fields| fields["message"] == message).collect())
    }

    /// What the engine says at a path.
    pub(crate) async fn engine(&self, path: &str) -> Result<Value> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(format!("{}{path}", self.engine_url)).send().await?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }

    /// Waits until the engine has counted every request that was written.
    pub(crate) async fn counted(&self) -> Result<()> {
        let want = self.node.requests().total;
        let counted = async || match self.engine("/v1/overview").await {
            Ok(overview) => Ok(overview["input"]["requests"] == want),
            // It may be starting.
            Err(_) => Ok(false),
        };
        within(SOON, &format!("the engine has counted {want} requests"), counted).await.context(self.said())
    }

    /// Waits until the archive has every line that was written.
    pub(crate) async fn archived(&self) -> Result<()> {
        let want = self.node.lines().iter().sum::<u64>();
        let archived = async || Ok(found::count_in_archive(&self.store()).await? >= want);
        within(SOON, &format!("the archive has {want} lines"), archived).await.context(self.said())
    }

    /// Waits until the search server has every line that was written.
    pub(crate) async fn indexed(&self, search: &Search) -> Result<()> {
        let want = self.node.lines().iter().sum::<u64>();
        let index = self.index();
        let indexed =
            async || Ok(found::count_in_search(search, &index).await.is_ok_and(|count| count >= want));
        within(2 * SOON, &format!("the search server has {want} lines"), indexed).await.context(self.said())
    }

    /// Waits until the minutes that the engine wrote to the search server add up to the requests that were written.
    pub(crate) async fn exported(&self, search: &Search) -> Result<()> {
        let (written, sum) = (self.node.requests(), |field: &str| json!({ "sum": { "field": field } }));
        let path = format!("/headroom-results-{}/_search?size=0", self.environment);
        let body = json!({
            "query": { "term": { "slo": "availability" } },
            "aggs": { "total": sum("total"), "bad": sum("bad") },
        });
        let exported = async || {
            let Ok(said) = search.ask(Method::POST, &path, Some(body.clone())).await else {
                return Ok(false);
            };
            let value = |name: &str| said["aggregations"][name]["value"].as_f64();
            Ok(value("total") == Some(written.total as f64) && value("bad") == Some(written.failed as f64))
        };
        let what = format!("the results add up to {written:?}");
        within(2 * SOON, &what, exported).await.context(self.said())
    }

    /// Waits until the engine has written to the search server how every line was counted, as it does once a minute.
    pub(crate) async fn counts_exported(&self, search: &Search) -> Result<()> {
        let want = self.node.lines().iter().sum::<u64>();
        let path = format!("/headroom-counts-{}/_search?size=1000&q=kind:tally", self.environment);
        let exported = async || {
            let Ok(said) = search.ask(Method::GET, &path, None).await else { return Ok(false) };
            let tallies = said["hits"]["hits"].as_array().into_iter().flatten();
            Ok(tallies.filter_map(|hit| hit["_source"]["lines"].as_u64()).sum::<u64>() == want)
        };
        let what = format!("the search server knows how {want} lines were counted");
        within(2 * SOON, &what, exported).await.context(self.said())
    }

    /// Waits until each notice that the engine decided on is in the inbox, and says them by key: none is lost, and what
    /// came again came with the same key and content. There are `at_least` so many.
    pub(crate) async fn told(&self, at_least: usize) -> Result<BTreeMap<String, Value>> {
        let told = async || match self.engine("/v1/incidents").await {
            Ok(incidents) => Ok(self.inbox.told(&incidents, "hook", at_least)?.is_some()),
            // It may be starting.
            Err(_) => Ok(false),
        };
        within(SOON, "the webhook is told everything", told).await.context(self.said())?;
        let told = self.inbox.told(&self.engine("/v1/incidents").await?, "hook", at_least)?;
        told.context("what was told stays told")
    }

    /// Judges what lies in Elasticsearch or OpenSearch.
    pub(crate) async fn judge_search(&self, search: &Search) -> Result<Verdict> {
        let found = self.in_search(search).await?;
        self.judge("the search server", "search", found)
    }

    /// Judges what lies in the archive.
    pub(crate) async fn judge_archive(&self) -> Result<Verdict> {
        let found = self.in_archive().await?;
        self.judge("the archive", "bucket", found)
    }

    fn judge(&self, place: &str, component: &str, found: Vec<Found>) -> Result<Verdict> {
        let dead = found::in_dead_letters(&self.dir.path().join("collector"), component)?;
        let verdict = judge(&self.node.run(), &self.node.lines(), found, &dead);
        println!("{place} of {}: {verdict}", self.environment);
        Ok(verdict)
    }

    async fn in_search(&self, search: &Search) -> Result<Vec<Found>> {
        found::in_search(search, &self.index(), json!({ "match_all": {} })).await
    }

    fn index(&self) -> String {
        format!("headroom-logs-{}-*", self.environment)
    }

    async fn in_archive(&self) -> Result<Vec<Found>> {
        found::in_archive(&self.store()).await
    }

    fn store(&self) -> Store {
        self.s3.archive("lines", "production/")
    }

    /// Whether the collector, in any of its runs, has said this.
    pub(crate) fn collector_said(&self, text: &str) -> Result<bool> {
        Ok(self.collector.as_ref().context("it runs")?.said()?.contains(text))
    }

    /// What the programs said last, for a test that fails.
    fn said(&self) -> String {
        let end = |running: &Option<Running>| {
            let said = running.as_ref().and_then(|running| running.said().ok()).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            lines[lines.len().saturating_sub(15)..].join("\n")
        };
        format!("the collector said:\n{}\nthe engine said:\n{}", end(&self.collector), end(&self.engine))
    }
}

#[expect(clippy::disallowed_methods, reason = "the programs live in the time of the wall clock")]
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
