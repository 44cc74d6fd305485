//! `up --once --output json` is a contract: these keys with these types, and nothing else on standard output.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use tests::program::Ended;

use crate::engine;

/// What a value must look like.
enum Shape {
    Count,
    Number,
    /// A decimal number as text: `0.999625`, `-1.5`, `1`.
    Decimal,
    /// An instant as RFC 3339 in UTC.
    Instant,
    Text,
    OneOf(&'static [&'static str]),
    /// That, or null.
    Maybe(Box<Shape>),
    Each(Box<Shape>),
    /// Exactly these keys.
    Keys(Vec<(&'static str, Shape)>),
}

use Shape::{Count, Decimal, Each, Instant, Keys, Maybe, Number, OneOf, Text};

fn maybe(shape: Shape) -> Shape {
    Maybe(Box::new(shape))
}

fn each(shape: Shape) -> Shape {
    Each(Box::new(shape))
}

const SLOS: &[&str] = &["availability", "latency"];

fn contract() -> Shape {
    let slo = Keys(vec![
        ("slo", OneOf(SLOS)),
        ("objective", Decimal),
        ("total", Count),
        ("good", Count),
        ("excluded", Count),
        ("sli", maybe(Decimal)),
        ("coverage", Decimal),
        ("budget_remaining", maybe(Decimal)),
        ("state", OneOf(&["healthy", "burning", "exhausted", "idle", "no_data"])),
    ]);
    let latency = ["p50", "p95", "p99"].map(|quantile| (quantile, maybe(Number)));
    let service =
        Keys(vec![("service", Text), ("slos", each(slo)), ("latency_ms", Keys(Vec::from(latency)))]);
    let alert = Keys(vec![
        ("service", Text),
        ("slo", OneOf(SLOS)),
        ("severity", OneOf(&["page", "ticket"])),
        ("fired_at", Instant),
        ("resolved_at", maybe(Instant)),
    ]);
    let input = ["lines", "requests", "ignored", "late", "dead_lettered"].map(|count| (count, Count));
    Keys(vec![
        ("window", Keys(vec![("from", Instant), ("to", Instant)])),
        ("services", each(service)),
        ("alerts", each(alert)),
        ("input", Keys(Vec::from(input))),
    ])
}

fn check(value: &Value, shape: &Shape, at: &str) {
    let text = value.as_str().unwrap_or_default();
    match shape {
        Count => assert!(value.is_u64(), "{at}: {value} is no count"),
        Number => assert!(value.is_number(), "{at}: {value} is no number"),
        Decimal => assert!(is_decimal(text), "{at}: {value} is no decimal as text"),
        Instant => {
            let parsed = text.parse::<jiff::Timestamp>();
            assert!(parsed.is_ok() && text.ends_with('Z'), "{at}: {value} is no instant in UTC");
        }
        Text => assert!(!text.is_empty(), "{at}: {value} is no text"),
        OneOf(allowed) => assert!(allowed.contains(&text), "{at}: {value} is none of {allowed:?}"),
        Maybe(_) if value.is_null() => {}
        Maybe(shape) => check(value, shape, at),
        Each(shape) => {
            let items = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no list"));
            items.iter().enumerate().for_each(|(index, item)| check(item, shape, &format!("{at}[{index}]")));
        }
        Keys(keys) => {
            let object = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
            let (mut found, mut want): (Vec<&str>, Vec<&str>) =
                (object.keys().map(String::as_str).collect(), keys.iter().map(|(key, _)| *key).collect());
            found.sort_unstable();
            want.sort_unstable();
            assert_eq!(found, want, "{at}: other keys");
            keys.iter().for_each(|(key, shape)| check(&object[*key], shape, &format!("{at}.{key}")));
        }
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    unsigned.split_once('.').map_or(digits(unsigned), |(whole, part)| digits(whole) && digits(part))
}

/// An hour of requests to one service in the ingress controller's format; every tenth fails between minutes 20 and 40.
fn an_hour() -> String {
    let line = |second: u32| {
        let (minute, rest) = (second / 60, second % 60);
        let status = if second.is_multiple_of(10) && (20..40).contains(&minute) { 502 } else { 200 };
        format!(
            "192.0.2.7 - - [23/Nov/2026:19:{minute:02}:{rest:02} +0000] \"GET /cart HTTP/1.1\" {status} 12 \"-\" \
             \"Mozilla/5.0\" 120 0.0{:02} [shop-web-80] [] 10.0.0.1:80 12 0.010 {status} \
             0123456789abcdef0123456789abcdef\n",
            second % 97,
        )
    };
    (0..3600).map(line).collect()
}

async fn up(dir: &Path, text: &str) -> Result<Ended> {
    let log = dir.join("access.log");
    std::fs::write(&log, text)?;
    engine().up(&dir.join("data"), &[log]).await
}

#[tokio::test]
async fn an_hour_of_logs_gives_the_contract_and_nothing_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let value = up(dir.path(), &an_hour()).await?.json()?;
    check(&value, &contract(), "$");
    let service = &value["services"][0];
    assert_eq!(
        (&value["services"].as_array().map(Vec::len), &service["service"]),
        (&Some(1), &"shop/web".into())
    );
    let names: Vec<&Value> = [0, 1].iter().map(|index: &usize| &service["slos"][index]["slo"]).collect();
    assert_eq!(names, ["availability", "latency"]);
    let availability = &service["slos"][0];
    assert_eq!((&availability["total"], &availability["good"]), (&3600.into(), &3480.into()));
    assert_eq!(availability["sli"], "0.966666");
    assert_eq!(availability["state"], "exhausted");
    assert_eq!(value["window"]["to"], "2026-11-23T20:00:00Z");
    assert_eq!(value["window"]["from"], "2026-10-24T20:00:00Z");
    assert_eq!(value["alerts"][0]["severity"], "page", "{}", value["alerts"]);
    Ok(())
}

#[tokio::test]
async fn a_second_run_prints_the_same_bytes_and_pages_nobody_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pages = || std::fs::read_to_string(dir.path().join("data/pages.jsonl"));
    let first = up(dir.path(), &an_hour()).await?.success()?;
    let paged = pages()?;
    let second = up(dir.path(), &an_hour()).await?.success()?;
    assert_eq!(first, second);
    assert_eq!(first.trim_end().lines().count(), 1);
    assert_eq!(paged, pages()?);
    assert!(!paged.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_collector_that_lost_its_state_counts_nothing_twice() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let first = up(dir.path(), &an_hour()).await?.success()?;
    std::fs::remove_dir_all(dir.path().join("data/collector"))?;
    assert_eq!(first, up(dir.path(), &an_hour()).await?.success()?);
    Ok(())
}

#[tokio::test]
async fn no_input_is_no_services() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let value = up(dir.path(), "").await?.json()?;
    assert_eq!((&value["services"], &value["alerts"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert!(value["input"].as_object().unwrap().values().all(|count| count == 0), "{value}");
    Ok(())
}

#[tokio::test]
async fn logs_that_are_not_there_are_an_error_that_says_what_to_give() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let ended = engine().up(&dir.path().join("data"), &[PathBuf::from("/there/is/nothing")]).await?;
    assert!(!ended.status.success());
    assert_eq!(ended.stdout, "");
    for part in ["/there/is/nothing", "give a file, a folder or a /var/log/pods tree", "No such file"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    assert!(!dir.path().join("data").exists());
    Ok(())
}

#[tokio::test]
async fn the_program_reads_the_recorded_logs_where_none_are_given() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let given = engine().up(&dir.path().join("given"), &[tests::recorded()]).await?.success()?;
    assert_eq!(engine().up(&dir.path().join("default"), crate::NO_LOGS).await?.success()?, given);
    check(&serde_json::from_str(&given)?, &contract(), "$");
    Ok(())
}
