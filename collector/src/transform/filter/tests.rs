//! Which events pass, and what is said of conditions that are none.

use std::sync::Arc;

use bytes::Bytes;
use settings::{Problems, Syntax, Table};

use super::*;
use crate::event::{Body, Event, Place, Stream};

fn prove(config: &str) -> Result<FilterConfig, String> {
    let problems = Problems::default();
    let root = settings::parse("c.yaml", config, Syntax::Yaml, &|_| None).unwrap();
    let mut table = Table::new(&root, &problems);
    let config = FilterConfig::prove(&mut table);
    table.finish();
    config.ok_or_else(|| problems.to_string())
}

#[track_caller]
fn check(condition: &str, want: &[&str]) {
    let config = prove(&format!("condition: {condition}")).unwrap();
    let stream = Arc::new(Stream { id: "s".into(), path: "/x.log".to_owned(), pod: None, metadata: None });
    let event = |line: &'static str| Event {
        place: Place { stream: stream.clone(), offset: 0, index: 0 },
        time: None,
        stdio: None,
        body: Body::Line(Bytes::from(line)),
    };
    let events = ["one", "two", "{}"].map(event).to_vec();
    let kept = Filter::new(&config).apply(Batch { events, spans: Vec::new() }).events;
    let text = |event: &Event| match &event.body {
        Body::Line(line) => String::from_utf8_lossy(line).into_owned(),
        other => panic!("the body changed: {other:?}"),
    };
    assert_eq!(kept.iter().map(text).collect::<Vec<_>>(), want, "{condition}");
}

#[track_caller]
fn check_refused(config: &str, want: &str) {
    assert_eq!(prove(config).err().as_deref(), Some(want));
}

#[test]
fn events_stay_as_they_are_where_the_condition_holds() {
    check("'.message == \"one\"'", &["one"]);
    check("'.file == \"/x.log\" && .source_type == \"file\"'", &["one", "two", "{}"]);
    check("{type: vrl, source: '.message != \"one\"'}", &["two", "{}"]);
    check("{source: 'exists(.none)'}", &[]);
}

#[test]
fn a_condition_that_fails_drops_the_event() {
    check("'is_object(parse_json!(string!(.message)))'", &["{}"]);
}

#[test]
fn what_is_no_condition_is_refused() {
    check_refused("{}", "c.yaml:1: condition: this key is missing; expected a condition in VRL");
    check_refused(
        "condition: 5",
        "c.yaml:1: condition: expected a condition (VRL as text, or a table of type and source), found the number 5",
    );
    check_refused(
        "condition:\n  type: is_log\n  source: 'true'",
        "c.yaml:2: condition.type: \"is_log\" is not one of vrl",
    );
    check_refused("condition: {type: vrl}", "c.yaml:1: condition.source: this key is missing; expected text");
    check_refused(
        "condition: |\n  x = 1\n  upcase(\"a\")\n",
        "c.yaml:3: condition: a condition must end in true or false; this one gives string",
    );
    check_refused(
        "condition: '.a = true'",
        "c.yaml:1: condition: VRL error E315: mutation of read-only value",
    );
}
