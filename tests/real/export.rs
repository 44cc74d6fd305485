//! The engine and Elasticsearch or OpenSearch: bootstrap, results equal to sums made by other means, a server that goes and
//! comes back, and old days.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::{Timestamp, ToSpan};
use prometheus::Registry;
use reqwest::Method;
use search::Environment;
use serde_json::{Value, json};
use settings::Syntax;
use slo::counts::{
    ByteRange, CountRow, Counts, CountsRequest, DEFAULT_EDGES_US, MinuteId, Origin, RowKey, ServiceRef, Sli,
    StreamReport, Tally,
};
use slo::sketch::Sketch;
use slo_engine::app::App;
use slo_engine::config::Config;
use slo_engine::export::document::CountDocument;
use tests::program::{Program, eventually, within};
use tests::servers::{Flavor, Search};

const FLAVORS: [Flavor; 2] = [Flavor::Elasticsearch9, Flavor::OpenSearch3];

/// Longer than the pause that an engine makes before it asks a server again that was away.
const BACK: Duration = Duration::from_secs(150);

/// Minutes of requests, the last of which is the one before the current one.
const MINUTES: i64 = 120;

fn config_text(search: &Search, environment: &str, data_dir: &Path) -> String {
    format!(
        "listen: 127.0.0.1:0\ndata_dir: {}\nenvironment: {environment}\nelasticsearch:\n  endpoints: [{}]\n",
        data_dir.display(),
        search.url()
    )
}

fn config(text: &str) -> Result<Config> {
    Config::parse("engine.yaml", text, Syntax::Yaml, &|_| None).map_err(|problems| anyhow!("{problems}"))
}

async fn bootstraps(search: &Search, environment: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("engine.yaml");
    std::fs::write(&file, config_text(search, environment, dir.path()))?;
    let engine = Program::new(env!("CARGO_BIN_EXE_headroom-slo-engine"));
    let run = async |more: &[&str]| {
        let file = file.display().to_string();
        let arguments = [&["bootstrap", "--config", &file], more].concat();
        engine.run(&arguments).await?.success()
    };
    let found = async || -> Result<Vec<Value>> {
        let told: Value = serde_json::from_str(&run(&["--dry-run", "--output", "json"]).await?)?;
        Ok(told.as_array().context("a list")?.iter().map(|template| template["found"].clone()).collect())
    };
    assert_eq!(found().await?, ["missing"; 3]);
    assert_eq!(found().await?, ["missing"; 3], "a dry run changes nothing");
    run(&[]).await?;
    assert_eq!(found().await?, ["as_wanted"; 3]);
    assert!(run(&[]).await?.ends_with("\nnothing to do\n"));
    let path = format!("/_index_template/headroom-results-{environment}");
    let mut template =
        search::template(search::Kind::Results, &Environment::new(environment)?, search.flavor().product());
    template["template"]["mappings"]["properties"]["sli"]["type"] = json!("keyword");
    search.ask(Method::PUT, &path, Some(template)).await?;
    assert_eq!(found().await?, ["as_wanted", "as_wanted", "different"]);
    let told = run(&[]).await?;
    assert!(told.contains("\n  template.mappings.properties.sli.type: \"keyword\" → \"double\"\n"), "{told}");
    assert_eq!(found().await?, ["as_wanted"; 3]);
    Ok(())
}

#[tokio::test]
async fn bootstrap_installs_what_is_missing_mends_what_differs_and_then_has_nothing_to_do() -> Result<()> {
    for flavor in FLAVORS {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        bootstraps(search, "bootstrap").await?;
    }
    Ok(())
}

/// Requests of the availability SLO by minute: (total, bad).
type Table = BTreeMap<i64, (u64, u64)>;

fn traffic(first: MinuteId) -> Table {
    let numbers = |at: i64| (100 + at as u64 % 7, if (30..33).contains(&at) { 40 } else { at as u64 % 2 });
    (0..MINUTES).filter(|at| at % 11 != 0).map(|at| (first.0 + at, numbers(at))).collect()
}

fn request(first: MinuteId, minute: i64, (total, bad): (u64, u64)) -> CountsRequest {
    let start = (minute - first.0) as u64 * 1000;
    let range = ByteRange { start, end: start + 1000 };
    let key = RowKey {
        stream: "s".to_owned(),
        service: ServiceRef::Upstream("shop-web-80".to_owned()),
        origin: Origin::Ingress,
        sli: Sli::Availability,
        version: 1,
        minute: MinuteId(minute),
    };
    let counts = Counts { total, bad, excluded: 0 };
    let end = MinuteId(minute + 1).start().as_millisecond();
    CountsRequest {
        collector: "node".to_owned(),
        epoch: "e".to_owned(),
        watermark_ms: Some(end),
        node: None,
        archived_to_ms: None,
        store: None,
        edges_us: DEFAULT_EDGES_US.to_vec(),
        streams: vec![StreamReport {
            stream: "s".to_owned(),
            path: "/var/log/pods/x".to_owned(),
            namespace: None,
            pod: None,
            container: None,
            range,
            tally: Tally { lines: total, requests: total, ..Tally::default() },
            newest_ms: Some(end),
            oldest_ms: None,
            ended: false,
            broken: None,
        }],
        rows: vec![CountRow { key, range, counts, ladder: Vec::new(), sketch: Sketch::default() }],
    }
}

/// Whether the results of every minute before `end` are what sums made one by one say.
async fn results_are(search: &Search, environment: &str, table: &Table, end: i64) -> Result<bool> {
    let alias = format!("headroom-results-{environment}");
    let (refreshed, _) = search.request(Method::POST, &format!("/{alias}/_refresh"), None).await?;
    if !refreshed.is_success() {
        return Ok(false);
    }
    let query = json!({
        "size": 1000,
        "query": {"bool": {"filter": [{"term": {"service": "shop/web"}}, {"term": {"slo": "availability"}}]}},
        "sort": [{"@timestamp": "asc"}],
        "aggs": {"total": {"sum": {"field": "total"}}, "bad": {"sum": {"field": "bad"}}},
    });
    let found = search.ask(Method::POST, &format!("/{alias}/_search"), Some(query)).await?;
    let hits = found["hits"]["hits"].as_array().context("hits")?;
    let first = *table.keys().next().context("traffic")?;
    if hits.len() < usize::try_from(end - first)? {
        return Ok(false);
    }
    for (hit, minute) in hits.iter().zip(first..end) {
        let result = &hit["_source"];
        let at: Timestamp = result["@timestamp"].as_str().context("a time")?.parse()?;
        ensure!(at == MinuteId(minute).start(), "{result} is not of minute {minute}");
        if !is_right(result, table, minute) {
            return Ok(false);
        }
    }
    let sum = |field: &str| found["aggregations"][field]["value"].as_f64();
    let shown = hits.iter().fold((0, 0), |(total, bad), hit| {
        let number = |field: &str| hit["_source"][field].as_u64().unwrap_or_default();
        (total + number("total"), bad + number("bad"))
    });
    ensure!((sum("total"), sum("bad")) == (Some(shown.0 as f64), Some(shown.1 as f64)), "{found}");
    Ok(true)
}

fn is_right(result: &Value, table: &Table, minute: i64) -> bool {
    let sum = |length: i64| {
        let window = table.range(minute - length + 1..=minute);
        window.fold((0, 0), |(total, bad), (_, numbers)| (total + numbers.0, bad + numbers.1))
    };
    let share = |length: i64| match sum(length) {
        (0, _) => None,
        (total, bad) => Some(bad as f64 / total as f64),
    };
    let close = |field: &str, want: Option<f64>| match (result[field].as_f64(), want) {
        (Some(found), Some(want)) => (found - want).abs() < 1e-9 * want.abs().max(1.0),
        (found, want) => found.is_none() && want.is_none(),
    };
    let windows = [("5m", 5), ("30m", 30), ("1h", 60), ("2h", 120), ("6h", 360), ("1d", 1440), ("3d", 4320)];
    let burn = |(name, length): (&str, i64)| {
        close(&format!("burn_rate_{name}"), share(length).map(|share| share / 0.001))
    };
    let whole = share(43_200);
    windows.into_iter().all(burn)
        && close("sli", whole.map(|share| 1.0 - share))
        && close("budget_remaining", whole.map(|share| 1.0 - share / 0.001))
        && (result["total"].as_u64(), result["bad"].as_u64()) == (Some(sum(1).0), Some(sum(1).1))
        && result["minute_state"] == "read"
}

/// Whether the count index holds every row, a tally to the last byte, and a watermark behind the last minute.
async fn counts_are(search: &Search, environment: &str, table: &Table) -> Result<bool> {
    let client = search::Client::new(&search::ClientConfig::new(vec![search.url().to_owned()]))?;
    let alias = format!("headroom-counts-{environment}");
    if !client.exists(&alias).await? {
        return Ok(false);
    }
    client.refresh(&alias).await?;
    let mut walk = client.walk(&alias, &json!({"match_all": {}}), "id", 50);
    let (mut rows, mut to, mut watermark) = (Table::new(), 0, None);
    loop {
        let page = walk.next().await?;
        if page.is_empty() {
            break;
        }
        for document in page {
            match CountDocument::read(document)? {
                CountDocument::Row(row) => {
                    rows.insert(row.minute.0, (row.counts.total, row.counts.bad));
                }
                CountDocument::Tally(tally) => to = to.max(tally.range_end),
                CountDocument::Collector(collector) => watermark = watermark.max(collector.watermark_ms),
                CountDocument::Stream(_) => {}
            }
        }
    }
    let last = *table.keys().next_back().context("traffic")?;
    let first = last + 1 - MINUTES;
    let whole = u64::try_from(last + 1 - first)? * 1000;
    let end = MinuteId(last + 1).start().as_millisecond();
    Ok(rows == *table && to == whole && watermark == Some(end))
}

async fn exports(search: &mut Search, environment: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let text = config_text(search, environment, dir.path());
    let app = App::start(config(&text)?, Registry::new()).await?;
    let end = MinuteId::of_timestamp(Timestamp::now());
    let first = end.plus(-MINUTES);
    let table = traffic(first);
    let half = first.0 + MINUTES / 2;
    for (&minute, &numbers) in table.range(..half) {
        app.engine.ingest(request(first, minute, numbers)).await?;
    }
    eventually("results are written", async || {
        let path = format!("/headroom-results-{environment}/_count");
        let (_, said) = search.request(Method::GET, &path, None).await?;
        Ok(said["count"].as_u64().is_some_and(|count| count > 0))
    })
    .await?;
    search.stop().await?;
    for (&minute, &numbers) in table.range(half..) {
        app.engine.ingest(request(first, minute, numbers)).await?;
    }
    let total: u64 = table.values().map(|(total, _)| total).sum();
    assert_eq!(app.engine.overview().await?.services[0].slos[0].total, total);
    app.stop().await;
    // What was not written by then is written by the next process, when the server is back.
    let app = App::start(config(&text)?, Registry::new()).await?;
    search.start_again().await?;
    let last = end.plus(-1).0;
    within(BACK, "every result is right", async || results_are(search, environment, &table, last).await)
        .await?;
    within(BACK, "every count is there", async || counts_are(search, environment, &table).await).await?;
    app.stop().await;
    Ok(())
}

#[tokio::test]
async fn results_are_exact_though_elasticsearch_was_away() -> Result<()> {
    let Some(mut search) = Search::start(Flavor::Elasticsearch9, &[]).await? else { return Ok(()) };
    exports(&mut search, "export").await
}

#[tokio::test]
async fn results_are_exact_though_opensearch_was_away() -> Result<()> {
    let Some(mut search) = Search::start(Flavor::OpenSearch3, &[]).await? else { return Ok(()) };
    exports(&mut search, "export").await
}

#[tokio::test]
async fn old_days_go_and_nothing_else_does() -> Result<()> {
    for flavor in FLAVORS {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        let environment = Environment::new("retention")?;
        let today = search::day_of(Timestamp::now());
        let index = |kind: search::Kind, ago: i64| {
            anyhow::Ok(kind.daily(&environment).index(today.checked_sub(ago.days())?))
        };
        let (logs, counts) = (search::Kind::Logs, search::Kind::Counts);
        let other = "headroom-logs-retention-eu-2020.01.01".to_owned();
        let kept = [index(logs, 0)?, index(logs, 30)?, index(counts, 31)?, other];
        let gone = [index(logs, 31)?, index(logs, 400)?, index(counts, 33)?];
        for index in kept.iter().chain(&gone) {
            search.ask(Method::PUT, &format!("/{index}"), None).await?;
        }
        let dir = tempfile::tempdir()?;
        let text = config_text(search, "retention", dir.path());
        let app = App::start(config(&text)?, Registry::new()).await?;
        let is_there = async |index: &String| -> Result<bool> {
            Ok(search.request(Method::HEAD, &format!("/{index}"), None).await?.0.is_success())
        };
        for index in &gone {
            eventually("an old day is gone", async || Ok(!is_there(index).await?)).await?;
        }
        app.stop().await;
        for index in &kept {
            ensure!(is_there(index).await?, "{index} is gone");
        }
    }
    Ok(())
}
