//! The request of every panel on real servers, compared with numbers that are computed here from the same documents.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use dashboards::queries::{LastValue, PanelQuery, Range, queries};
use dashboards::{Auth, Config, Kibana, ServiceDashboard, Workload};
use jiff::Timestamp;
use reqwest::Method;
use search::{Environment, Kind, day_of, template};
use serde_json::{Value, json};
use slo::objective::SloSpec;
use tests::servers::{Flavor, Search};

/// What a panel shows: for each bucket, by its keys, the values of its columns.
type Rows = BTreeMap<Vec<String>, Vec<(String, Option<Cell>)>>;

/// Numbers are compared to nine digits.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Number(String),
    Word(String),
}

#[derive(Clone, Copy)]
enum Op {
    Sum,
    Min,
    Max,
    Last,
    Count,
}

/// Buckets of a panel, outer before inner: a field, or `hour`.
type Buckets = &'static [&'static str];
/// Column, operation, field.
type Columns = &'static [(&'static str, Op, &'static str)];

const SERVICES: [&str; 3] = ["shop/web", "shop/api", "say \"hi\"/wörld*"];
const MINUTES: usize = 180;
/// 2026-11-25T10:00:00Z.
const START: i64 = 1_795_600_800;

const STATES: [&str; 5] = ["healthy", "burning", "exhausted", "idle", "no_data"];

const BURN: Columns = &[
    ("burn_rate_5m", Op::Max, "burn_rate_5m"),
    ("burn_rate_30m", Op::Max, "burn_rate_30m"),
    ("burn_rate_1h", Op::Max, "burn_rate_1h"),
    ("burn_rate_2h", Op::Max, "burn_rate_2h"),
    ("burn_rate_6h", Op::Max, "burn_rate_6h"),
    ("burn_rate_1d", Op::Max, "burn_rate_1d"),
    ("burn_rate_3d", Op::Max, "burn_rate_3d"),
];

fn number(value: f64) -> Cell {
    Cell::Number(format!("{value:.9}"))
}

fn cell(value: &Value) -> Option<Cell> {
    match value {
        Value::String(word) => Some(Cell::Word(word.clone())),
        other => other.as_f64().map(number),
    }
}

/// Documents of the results: every value differs, some are absent, the newest of one service lacks a burn rate.
fn results(environment: &str, seed: u64) -> Vec<Value> {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut documents = Vec::new();
    for (minute, service, slo) in cases() {
        let (total, at) = (next(500), START + 60 * minute as i64);
        let bad = next(total / 10 + 1);
        let mut document = json!({
            "@timestamp": Timestamp::from_second(at).unwrap().to_string(), "environment": environment,
            "service": service, "slo": slo, "objective": 99.9, "total": total, "good": total - bad, "bad": bad,
            "excluded": 0, "minute_state": "read", "sli": 1.0 - next(1000) as f64 / 1e6,
            "budget_remaining": next(2000) as f64 / 1000.0 - 1.0, "coverage": next(1001) as f64 / 1000.0,
            "state": STATES[next(4) as usize],
        });
        for (field, ..) in BURN {
            let is_absent =
                next(5) == 0 || (minute == MINUTES - 1 && service == SERVICES[0] && *field == "burn_rate_1h");
            if !is_absent {
                document[*field] = (next(30_000) as f64 / 1000.0).into();
            }
        }
        documents.push(document);
    }
    documents
}

fn cases() -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    let slos = |minute, service| ["availability", "latency"].map(move |slo| (minute, service, slo));
    (0..MINUTES).flat_map(move |minute| SERVICES.into_iter().flat_map(move |service| slos(minute, service)))
}

/// Log lines, each with whether it is an error line of shop/web.
fn lines() -> Vec<(Value, bool)> {
    let kinds = [
        ("shop", "web-7d9f-x", "nginx", "stderr", "started", true),
        ("shop", "web-7d9f-x", "nginx", "stdout", "an error, by its word", true),
        ("shop", "web-7d9f-x", "nginx", "stdout", "Fatal: gone", true),
        ("shop", "web-7d9f-x", "nginx", "stdout", "no errors here", false),
        ("shop", "frontend-1", "web", "stderr", "x", true),
        ("shop", "webhook-1", "webhook", "stderr", "another's", false),
        ("social", "web-1", "web", "stderr", "another namespace's", false),
    ];
    let line = |n: usize| {
        let (namespace, pod, container, stream, message, is_error) = kinds[n % kinds.len()];
        let at = Timestamp::from_second(START + 97 * n as i64).unwrap();
        let line = json!({
            "@timestamp": at.to_string(), "message": message, "stream": stream,
            "kubernetes": { "pod_namespace": namespace, "pod_name": pod, "container_name": container },
        });
        (line, is_error)
    };
    (0..100).map(line).collect()
}

async fn write(server: &Search, kind: Kind, environment: &str, documents: &[Value]) -> Result<()> {
    let environment = Environment::new(environment)?;
    let daily = kind.daily(&environment);
    let path = format!("/_index_template/{}", daily.alias());
    server.ask(Method::PUT, &path, Some(template(kind, &environment, server.flavor().product()))).await?;
    let mut bulk = String::new();
    for document in documents {
        let at: Timestamp = document["@timestamp"].as_str().context("a time")?.parse()?;
        bulk += &format!("{}\n{document}\n", json!({ "index": { "_index": daily.index(day_of(at)) } }));
    }
    let said = server.ask(Method::POST, "/_bulk?refresh=true", Some(bulk.into())).await?;
    assert_eq!(said["errors"], false, "{said}");
    Ok(())
}

/// What the documents come to.
fn computed(documents: &[&Value], buckets: Buckets, columns: Columns) -> Rows {
    let key = |document: &Value, bucket: &str| match bucket {
        "hour" => {
            let at: Timestamp = document["@timestamp"].as_str().unwrap().parse().unwrap();
            (at.as_second().div_euclid(3600) * 3_600_000).to_string()
        }
        field => document[field].as_str().unwrap().to_owned(),
    };
    let mut groups: BTreeMap<Vec<String>, Vec<&Value>> = BTreeMap::new();
    for document in documents {
        let keys = buckets.iter().map(|bucket| key(document, bucket)).collect();
        groups.entry(keys).or_default().push(document);
    }
    let row = |group: &[&Value]| {
        let column = |(id, op, field): &(&str, Op, &str)| ((*id).to_owned(), reduced(group, *op, field));
        columns.iter().map(column).collect()
    };
    groups.into_iter().map(|(keys, group)| (keys, row(&group))).collect()
}

fn reduced(group: &[&Value], op: Op, field: &str) -> Option<Cell> {
    let numbers = || group.iter().filter_map(|document| document[field].as_f64());
    match op {
        Op::Sum => Some(number(numbers().sum())),
        Op::Min => numbers().reduce(f64::min).map(number),
        Op::Max => numbers().reduce(f64::max).map(number),
        Op::Last => cell(&group.iter().max_by_key(|document| document["@timestamp"].as_str())?[field]),
        Op::Count => Some(number(group.len() as f64)),
    }
}

/// What the server answered.
fn answered(query: &PanelQuery, answer: &Value) -> Rows {
    let mut rows = Rows::new();
    let whole = json!({ "doc_count": answer["hits"]["total"]["value"] });
    gather(query, &query.buckets, &answer["aggregations"], &whole, Vec::new(), &mut rows);
    rows
}

fn gather(
    query: &PanelQuery,
    buckets: &[String],
    at: &Value,
    own: &Value,
    keys: Vec<String>,
    rows: &mut Rows,
) {
    let Some((bucket, inner)) = buckets.split_first() else {
        let value = |id: &String| {
            let value = &at[id.as_str()];
            if value.is_null() {
                return own["doc_count"].as_f64().map(number);
            }
            match value["hits"]["hits"][0]["_source"].as_object() {
                Some(source) => source.values().next().and_then(cell),
                None => cell(&value["value"]),
            }
        };
        rows.insert(keys, query.values.iter().map(|id| (id.clone(), value(id))).collect());
        return;
    };
    for found in
        at[bucket.as_str()]["buckets"].as_array().into_iter().flatten().filter(|it| it["doc_count"] != 0)
    {
        let key = found["key"].as_str().map_or_else(|| found["key"].to_string(), str::to_owned);
        let keys = keys.iter().cloned().chain([key]).collect();
        gather(query, inner, found, found, keys, rows);
    }
}

/// What each panel of the overview, or of a service, must show.
fn wanted(panel: &str, is_overview: bool) -> Option<(Option<&'static str>, Buckets, Columns)> {
    const BUDGET: Columns = &[("budget", Op::Min, "budget_remaining")];
    const COVERAGE: Columns = &[("coverage", Op::Min, "coverage")];
    const LEFT: Columns = &[("budget", Op::Last, "budget_remaining")];
    const BAD: Columns = &[("bad", Op::Sum, "bad")];
    const REQUESTS: Columns = &[("good", Op::Sum, "good"), ("bad", Op::Sum, "bad")];
    Some(match (is_overview, panel) {
        (true, "need") => (
            None,
            &["service", "slo"],
            &[
                ("budget", Op::Last, "budget_remaining"),
                ("state", Op::Last, "state"),
                ("burn", Op::Last, "burn_rate_1h"),
                ("sli", Op::Last, "sli"),
                ("coverage", Op::Last, "coverage"),
                ("lowest", Op::Min, "budget_remaining"),
                ("bad", Op::Sum, "bad"),
            ],
        ),
        (true, "budget") => (None, &["service", "hour"], BUDGET),
        (true, "coverage") => (None, &["service", "hour"], COVERAGE),
        (true, "failed") => (Some("availability"), &["service", "hour"], BAD),
        (true, "slow") => (Some("latency"), &["service", "hour"], BAD),
        (false, "now") => (
            None,
            &["slo"],
            &[
                ("budget", Op::Last, "budget_remaining"),
                ("state", Op::Last, "state"),
                ("sli", Op::Last, "sli"),
                ("burn-5m", Op::Last, "burn_rate_5m"),
                ("burn-1h", Op::Last, "burn_rate_1h"),
                ("burn-6h", Op::Last, "burn_rate_6h"),
                ("coverage", Op::Last, "coverage"),
                ("total", Op::Sum, "total"),
                ("bad", Op::Sum, "bad"),
            ],
        ),
        (false, "budget-availability") => (Some("availability"), &[], LEFT),
        (false, "budget-latency") => (Some("latency"), &[], LEFT),
        (false, "burn-availability") => (Some("availability"), &["hour"], BURN),
        (false, "burn-latency") => (Some("latency"), &["hour"], BURN),
        (false, "requests-availability") => (Some("availability"), &["hour"], REQUESTS),
        (false, "requests-latency") => (Some("latency"), &["hour"], REQUESTS),
        (false, "budget") => (None, &["slo", "hour"], BUDGET),
        (false, "sli") => (None, &["slo", "hour"], &[("sli", Op::Last, "sli")]),
        (false, "coverage") => (None, &["slo", "hour"], COVERAGE),
        _ => return None,
    })
}

fn service(name: &str) -> ServiceDashboard {
    let (namespace, own) = name.split_once('/').unwrap();
    ServiceDashboard {
        service: name.to_owned(),
        workload: Some(Workload { namespace: namespace.to_owned(), name: own.to_owned() }),
        slos: SloSpec::defaults().to_vec(),
        runbook_url: None,
    }
}

/// Runs a panel; what it must show is computed from the documents. Whether it was a panel of results.
async fn check(server: &Search, query: &PanelQuery, results: &[Value], errors: &[&Value]) -> Result<bool> {
    let path = format!("/{}/_search", query.index);
    let answer = server.ask(Method::POST, &path, Some(query.body.clone())).await?;
    assert_eq!(answer["_shards"]["failed"], 0, "{answer}");
    let is_web = query.dashboard.contains("shop/web");
    match query.panel.as_str() {
        "errors" if is_web => {
            assert_eq!(answered(query, &answer), computed(errors, &["hour"], &[("lines", Op::Count, "")]))
        }
        "error-lines" if is_web => {
            let found: Vec<&Value> =
                answer["hits"]["hits"].as_array().unwrap().iter().map(|hit| &hit["_source"]).collect();
            assert_eq!(found, errors.iter().rev().copied().collect::<Vec<_>>());
        }
        "errors" | "error-lines" => assert_eq!(answer["hits"]["total"]["value"], 0, "{}", query.dashboard),
        panel => {
            let is_overview = query.dashboard.contains("services");
            let (slo, buckets, columns) =
                wanted(panel, is_overview).with_context(|| format!("{panel} is new"))?;
            let its = |it: &&Value| {
                slo.is_none_or(|slo| it["slo"] == slo)
                    && (is_overview
                        || query
                            .dashboard
                            .contains(&format!("Headroom: {} (", it["service"].as_str().unwrap())))
            };
            let documents: Vec<&Value> = results.iter().filter(its).collect();
            assert!(!documents.is_empty());
            assert_eq!(
                answered(query, &answer),
                computed(&documents, buckets, columns),
                "{} {panel}",
                query.dashboard
            );
            return Ok(true);
        }
    }
    Ok(false)
}

async fn panels_show_what_the_documents_come_to(server: &Search) -> Result<()> {
    let (results, lines) = (results("boards", 1), lines());
    write(server, Kind::Results, "boards", &results).await?;
    // An environment whose name begins alike must not show.
    write(server, Kind::Results, "boards-eu", &self::results("boards-eu", 2)).await?;
    let all: Vec<Value> = lines.iter().map(|(line, _)| line.clone()).collect();
    write(server, Kind::Logs, "boards", &all).await?;
    let errors: Vec<&Value> = lines.iter().filter(|(_, is_error)| *is_error).map(|(line, _)| line).collect();
    let objects = dashboards::render(&SERVICES.map(service), "boards", "default");
    let range = Range { from: "2026-11-25T00:00:00Z", to: "2026-11-25T23:59:59Z", interval: "1h" };
    let queries = queries(&dashboards::ndjson(&objects), range, LastValue::TopHits);
    let mut of_results = 0;
    for query in &queries {
        of_results += usize::from(check(server, query, &results, &errors).await?);
    }
    assert_eq!((queries.len(), of_results), (5 + 3 * 12, 5 + 3 * 10));
    Ok(())
}

#[tokio::test]
async fn every_panel_shows_what_the_documents_come_to() -> Result<()> {
    for flavor in Flavor::ALL {
        let Some(server) = Search::shared(flavor).await? else { return Ok(()) };
        panels_show_what_the_documents_come_to(server).await.with_context(|| format!("{flavor:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn services_in_need_come_first() -> Result<()> {
    let Some(server) = Search::shared(Flavor::Elasticsearch9).await? else { return Ok(()) };
    let results = results("boards-order", 3);
    write(server, Kind::Results, "boards-order", &results).await?;
    let objects = dashboards::render(&SERVICES.map(service), "boards-order", "default");
    let range = Range { from: "2026-11-25T00:00:00Z", to: "2026-11-25T23:59:59Z", interval: "1h" };
    let queries = queries(&dashboards::ndjson(&objects), range, LastValue::TopHits);
    let need = queries.iter().find(|query| query.panel == "need").context("the table")?;
    let answer =
        server.ask(Method::POST, &format!("/{}/_search", need.index), Some(need.body.clone())).await?;
    let buckets = answer["aggregations"]["service"]["buckets"].as_array().context("services")?;
    let lowest: Vec<f64> = buckets.iter().filter_map(|bucket| bucket["lowest"]["value"].as_f64()).collect();
    assert_eq!(lowest.len(), SERVICES.len());
    assert!(lowest.is_sorted(), "{lowest:?}");
    Ok(())
}

/// What the client is told by a server of this authority that is no Kibana.
async fn told(server: &Search, ca: Option<Vec<u8>>, password: &str) -> Result<String> {
    let auth = Auth::Basic { user: "admin".to_owned(), password: password.to_owned() };
    let config = Config { auth: Some(auth), ca, ..Config::new(server.url()) };
    let told = Kibana::new(&config)?.import(&dashboards::render(&[], "boards", "default")).await;
    Ok(told.err().context("it is no Kibana")?.to_string())
}

#[tokio::test]
async fn an_own_authority_is_trusted_and_who_asks_is_told() -> Result<()> {
    let password = "a password of the tests";
    let Some(server) = Search::start_secured(Flavor::Elasticsearch9, password).await? else { return Ok(()) };
    let ca = Some(std::fs::read(server.ca_file().context("it has one")?)?);
    let strange = told(&server, None, password).await?;
    assert!(
        strange.starts_with("cannot reach Kibana at https://") && strange.contains("certificate"),
        "{strange}"
    );
    let unknown = told(&server, ca.clone(), "another password").await?;
    assert!(unknown.contains("answers 401 Unauthorized"), "{unknown}");
    let known = told(&server, ca, password).await?;
    assert!(known.contains("answers 4") && !known.contains("401"), "{known}");
    Ok(())
}
