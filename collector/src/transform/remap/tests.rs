//! What programs do to events, and what is said of their mistakes.

use std::sync::Arc;

use bytes::Bytes;
use settings::{Problems, Syntax, Table};
use vrl::value::Value;

use super::*;
use crate::event::{Place, Pod, Stdio, Stream};

fn line(offset: u64, text: &[u8]) -> Event {
    let pod = Pod {
        namespace: "shop".to_owned(),
        name: "cart-1".to_owned(),
        uid: "u-1".to_owned(),
        container: "app".to_owned(),
        restart: 0,
    };
    let stream =
        Stream { id: "s".into(), path: "/var/log/pods/x/0.log".to_owned(), pod: Some(pod), metadata: None };
    Event {
        place: Place { stream: Arc::new(stream), offset, index: 0 },
        time: Some("2026-01-02T03:04:05.000000006Z".parse().unwrap()),
        stdio: Some(Stdio::Stderr),
        body: Body::Line(Bytes::copy_from_slice(text)),
    }
}

/// Proves the transform of `config`; returns it, or what was said.
fn prove(config: &str) -> Result<RemapConfig, String> {
    let problems = Problems::default();
    let root = settings::parse("c.yaml", config, Syntax::Yaml, &|_| None).unwrap();
    let mut table = Table::new(&root, &problems);
    let config = RemapConfig::prove(&mut table);
    table.finish();
    config.ok_or_else(|| problems.to_string())
}

fn remap(source: &str, more: &str, events: Vec<Event>) -> Vec<Event> {
    let indented = source.replace('\n', "\n  ");
    let config = prove(&format!("source: |\n  {indented}\n{more}")).unwrap();
    Remap::new(&config).apply(Batch { events, spans: Vec::new() }).events
}

fn json(event: &Event) -> String {
    serde_json::to_string(&event.to_value()).unwrap()
}

#[track_caller]
fn check(source: &str, more: &str, text: &str, want: &[&str]) {
    let events = remap(source, more, vec![line(0, text.as_bytes())]);
    assert_eq!(events.iter().map(json).collect::<Vec<_>>(), want, "{source}");
}

#[track_caller]
fn check_refused(config: &str, want: &str) {
    assert_eq!(prove(config).err().as_deref(), Some(want));
}

#[test]
fn a_program_sees_the_fields_that_vector_gives() {
    check(
        "x = 1",
        "",
        "hello",
        &[
            r#"{"file":"/var/log/pods/x/0.log","kubernetes":{"container_name":"app","pod_name":"cart-1","pod_namespace":"shop","pod_uid":"u-1"},"message":"hello","source_type":"kubernetes_logs","stream":"stderr","timestamp":"2026-01-02T03:04:05.000000006Z"}"#,
        ],
    );
}

#[test]
fn a_program_changes_the_event() {
    check(". = parse_json!(string!(.message))", "", r#"{"a":1}"#, &[r#"{"a":1}"#]);
    check(". = {\"up\": upcase(string!(.message))}", "", "x", &[r#"{"up":"X"}"#]);
    check(". = {\"is\": .message == \"x\"}", "", "x", &[r#"{"is":true}"#]);
}

#[test]
fn a_list_gives_one_event_for_each_item() {
    check(". = [{\"a\": 1}, \"text\"]", "", "x", &[r#"{"a":1}"#, r#"{"message":"text"}"#]);
    check(". = []", "", "x", &[]);
    let events = remap(". = [{\"a\": 1}, {\"a\": 2}]", "", vec![line(0, b"x"), line(9, b"y")]);
    let places: Vec<_> = events.iter().map(|event| (event.place.offset, event.place.index)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (9, 0), (9, 1)]);
    let again = remap(". = [., .]", "", events);
    let places: Vec<_> = again.iter().map(|event| (event.place.offset, event.place.index)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (0, 2), (0, 3), (9, 0), (9, 1), (9, 2), (9, 3)]);
}

#[test]
fn failed_and_aborted_events_stay_or_go_as_configured() {
    let fails = ".changed = true\n. = parse_json!(string!(.message))";
    let aborts = ".changed = true\nif starts_with(string!(.message), \"n\") { abort }";
    let kept = |events: Vec<Event>| events.len() == 1 && matches!(events[0].body, Body::Line(_));
    let gone = |events: Vec<Event>| events.is_empty();
    assert!(kept(remap(fails, "", vec![line(0, b"no json")])));
    assert!(gone(remap(fails, "drop_on_error: true", vec![line(0, b"no json")])));
    assert!(gone(remap(aborts, "", vec![line(0, b"no")])));
    assert!(kept(remap(aborts, "drop_on_abort: false", vec![line(0, b"no")])));
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let events = remap(".seen = true", "", vec![line(0, b"\xff\x00a")]);
    let Body::Fields(fields) = &events[0].body else { panic!("{events:?}") };
    let Value::Object(fields) = &**fields else { panic!("{fields:?}") };
    assert_eq!(fields["message"], Value::Bytes(Bytes::from_static(b"\xff\x00a")));
}

#[test]
fn spans_pass_untouched() {
    let stream = line(0, b"x").place.stream;
    let span = crate::event::Span {
        stream,
        start: 0,
        end: 2,
        lines: 1,
        dead_lettered: 0,
        times: None,
        ended: true,
        broken: None,
    };
    let batch = Batch { events: vec![line(0, b"x")], spans: vec![span] };
    let out = Remap::new(&prove("source: abort").unwrap()).apply(batch);
    assert_eq!((out.events.len(), out.spans.len(), out.spans[0].end), (0, 1, 2));
}

#[test]
fn a_time_without_a_zone_is_utc_unless_configured() {
    let source = ". = {\"t\": parse_timestamp!(\"2026-07-01 12:00:00\", \"%Y-%m-%d %H:%M:%S\")}";
    check(source, "", "x", &[r#"{"t":"2026-07-01T12:00:00Z"}"#]);
    check(source, "timezone: Europe/Berlin", "x", &[r#"{"t":"2026-07-01T10:00:00Z"}"#]);
}

#[test]
fn mistakes_of_a_program_name_its_line() {
    check_refused(
        "drop_on_error: true\nsource: |\n  .a = 1\n\n  .b = parse_json(.message)\n",
        "c.yaml:5: source: VRL error E103: unhandled fallible assignment; this expression is fallible because at least one argument's type cannot be verified to be valid; `.message` argument type is `any` and this function expected a parameter `value` of type `string`; update the expression to be infallible by adding a `!`: `parse_json!(.message)`; or change this to an infallible assignment: .b, err = parse_json(.message)",
    );
    check_refused(
        "source: \".a = nope(1)\"",
        "c.yaml:1: source: VRL error E105: call to undefined function; undefined function; did you mean \"now\"?",
    );
}

#[test]
fn a_program_stands_in_the_configuration_or_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    std::fs::write(file.path(), ". = {\"cost\": \"5 $\"}\n").unwrap();
    assert!(prove(&format!("file: {path}")).is_ok());
    std::fs::write(file.path(), "\n\n.a = \n").unwrap();
    let problems = prove(&format!("file: {path}")).unwrap_err();
    assert!(problems.starts_with(&format!("{path}:")) && problems.contains("VRL error"), "{problems}");
    check_refused("source: x\nfile: y", "c.yaml:2: file: source and file are both set; keep one");
    check_refused(
        "drop_on_error: true",
        "c.yaml:1: source: this key is missing; expected a VRL program, or file with the path of one",
    );
}

#[test]
fn what_is_not_there_is_refused() {
    let problems = Problems::default();
    let text = "source: x = 1\nreroute_dropped: true\ntimezone: Mars\n";
    let root = settings::parse("c.yaml", text, Syntax::Yaml, &|_| None).unwrap();
    let mut table = Table::new(&root, &problems);
    RemapConfig::prove(&mut table);
    table.finish();
    assert_eq!(
        problems.to_string(),
        "c.yaml:2: reroute_dropped: there is no output for dropped events here; leave this out, and set drop_on_error or drop_on_abort to false to keep the event as it was\n\
         c.yaml:3: timezone: \"Mars\" is no time zone; use a name as \"Europe/Berlin\" or \"local\""
    );
}
