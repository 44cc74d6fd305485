//! The engine as a service: counts in, budgets, incidents and metrics out, over real HTTP.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use prometheus::Registry;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use settings::Syntax;
use slo::counts::MinuteId;
use slo_engine::app::App;
use slo_engine::config::Config;

/// What writers must show.
pub(crate) const TOKEN: &str = "a token of the tests";

/// An engine on a port of its own, and who asks it.
pub(crate) struct Served {
    pub(crate) app: App,
    client: Client,
    url: String,
}

impl Served {
    /// Starts one with its state in `dir`.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let text = json!({
            "listen": "127.0.0.1:0",
            "data_dir": dir.join("engine"),
            "counts": { "token": "${TOKEN}" },
            "notifiers": { "journal": { "type": "log", "file": dir.join("pages.jsonl") } },
        });
        std::fs::create_dir_all(dir.join("engine"))?;
        let env = |name: &str| (name == "TOKEN").then(|| TOKEN.to_owned());
        let config = Config::parse("the test's configuration", &text.to_string(), Syntax::Yaml, &env)
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let app = App::start(config, Registry::new()).await?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build()?;
        let url = format!("http://{}", app.addr().context("it listens")?);
        Ok(Self { app, client, url })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What a page says; an error unless its status is 200.
    pub(crate) async fn text(&self, path: &str) -> Result<String> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    pub(crate) async fn json(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<(StatusCode, String)> {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let answer = request.send().await?;
        Ok((answer.status(), answer.text().await?))
    }
}

#[expect(clippy::disallowed_methods, reason = "a service lives in the time of the wall clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// The request of a collector that read `total` lines of minute `minute`, `bad` of them failed.
fn counts(minute: MinuteId, total: u64, bad: u64) -> Value {
    let range = json!({ "start": 0, "end": total * 100 });
    json!({
        "collector": "node-1", "epoch": "1", "watermark_ms": (minute.0 + 1) * 60_000,
        "edges_us": slo::counts::DEFAULT_EDGES_US,
        "streams": [{
            "stream": "s", "path": "/var/log/pods/x/0.log", "range": range, "newest_ms": minute.0 * 60_000,
            "tally": { "lines": total, "requests": total, "ignored": 0, "unparsed": 0, "late": 0, "dead_lettered": 0 },
        }],
        "rows": [{
            "stream": "s", "service": { "named": { "namespace": "shop", "name": "web" } }, "origin": "ingress",
            "sli": "availability", "version": 1, "minute": minute.0, "range": range,
            "total": total, "bad": bad, "excluded": 0,
        }],
    })
}

#[tokio::test]
async fn counts_become_budgets_and_repeats_change_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let served = Served::start(dir.path()).await?;
    let body = counts(MinuteId::of_timestamp(now()).plus(-2), 1000, 1);
    for _ in 0..2 {
        let (status, reply) = served.post("/v1/counts", Some(TOKEN), &body).await?;
        assert_eq!(status, StatusCode::OK, "{reply}");
        assert_eq!(serde_json::from_str::<Value>(&reply)?["positions"], json!({ "s": 100_000 }));
    }
    served.app.engine.tick(now()).await?;
    let slo = served.json("/v1/slos/shop.web.availability").await?;
    assert_eq!((&slo["total"], &slo["good"], &slo["sli"]), (&json!(1000), &json!(999), &json!("0.999")));
    let all = served.json("/v1/slos").await?;
    assert!(all.as_array().unwrap().contains(&slo), "{all}");
    assert_eq!(served.json("/v1/overview").await?["input"]["requests"], 1000);
    let missing = served.client.get(format!("{}/v1/slos/no.such.slo", served.url)).send().await?;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    served.app.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_writer_without_the_token_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let served = Served::start(dir.path()).await?;
    let body = counts(MinuteId::of_timestamp(now()), 10, 0);
    for token in [None, Some(""), Some("another"), Some("a token of the test")] {
        for path in ["/v1/counts", "/v1/incidents/x/acknowledge", "/v1/incidents/x/resolve"] {
            let body = if path == "/v1/counts" { body.clone() } else { json!({ "by": "someone" }) };
            let (status, said) = served.post(path, token, &body).await?;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {token:?}: {said}");
            assert!(!said.contains(TOKEN), "{said}");
        }
    }
    assert_eq!(served.json("/v1/overview").await?["input"]["lines"], 0);
    served.app.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_incident_is_acknowledged_by_its_id() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let served = Served::start(dir.path()).await?;
    let body = counts(MinuteId::of_timestamp(now()).plus(-2), 1000, 500);
    served.post("/v1/counts", Some(TOKEN), &body).await?;
    served.app.engine.tick(now()).await?;
    let incidents = served.json("/v1/incidents").await?;
    let id = incidents[0]["id"].as_str().context("a burning service is an incident")?.to_owned();
    assert_eq!((&incidents[0]["service"], &incidents[0]["severity"]), (&json!("shop/web"), &json!("page")));
    assert_eq!(incidents[0]["acknowledged_at"], Value::Null);
    let acknowledge = format!("/v1/incidents/{id}/acknowledge");
    let (status, said) = served.post(&acknowledge, Some(TOKEN), &json!({ "by": "ada" })).await?;
    assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
    let incidents = served.json("/v1/incidents").await?;
    assert!(incidents[0]["acknowledged_at"].is_string(), "{incidents}");
    let (status, said) =
        served.post("/v1/incidents/none/acknowledge", Some(TOKEN), &json!({ "by": "ada" })).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(said.contains("GET /v1/incidents lists them"), "{said}");
    served.app.stop().await;
    Ok(())
}

#[tokio::test]
async fn machines_find_metrics_health_and_the_contract() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let served = Served::start(dir.path()).await?;
    served.post("/v1/counts", Some(TOKEN), &counts(MinuteId::of_timestamp(now()).plus(-2), 1000, 1)).await?;
    served.app.engine.tick(now()).await?;
    let metrics = served.text("/metrics").await?;
    let names: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.iter().all(|name| name.starts_with("headroom_")), "{names:?}");
    for promised in ["headroom_budget_remaining_ratio", "headroom_sli_ratio", "headroom_alert_firing"] {
        let sample = format!("{promised}{{service=\"shop/web\",slo=\"availability\"}}");
        assert!(metrics.contains(&sample), "{sample} is not in\n{metrics}");
    }
    assert_eq!(
        (served.text("/healthz").await?, served.text("/readyz").await?),
        ("ok\n".into(), "ok\n".into())
    );
    let contract = served.json("/openapi.json").await?;
    let paths: Vec<&str> = contract["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let want: BTreeSet<&str> = [
        "/v1/counts",
        "/v1/counts/positions",
        "/v1/dashboards",
        "/v1/incidents",
        "/v1/incidents/{id}/acknowledge",
        "/v1/incidents/{id}/resolve",
        "/v1/overview",
        "/v1/slos",
        "/v1/slos/{id}",
    ]
    .into();
    assert_eq!(paths.into_iter().collect::<BTreeSet<_>>(), want);
    assert!(served.text("/").await?.contains("shop/web"));
    served.app.stop().await;
    Ok(())
}
