//! The transform as a whole: formats, rules and the formats that were seen.

use std::path::PathBuf;
use std::sync::Arc;

use slo::counts::{Counts, DEFAULT_EDGES_US, Origin, ServiceRef, Sli as Kind, Tally};
use vrl::value::Value;

use super::fold::{Folded, fold};
use super::format::{Format, Line, Reading, read};
use super::{FormatsSeen, Sli, SliConfig};
use crate::event::{Batch, Body, Event, Hit, Place, Pod, Span, Stream};

/// A file of the real data beside the repository, or nothing, loudly.
fn shared(path: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    let content = std::fs::read(&path);
    if content.is_err() {
        eprintln!("SKIPPED: no real data at {}", path.display());
    }
    content.ok()
}

fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.strip_suffix(b"\n").unwrap_or(content).split(|&byte| byte == b'\n').collect()
}

fn batch(lines: &[&[u8]], pod: Option<&str>) -> Batch {
    let pod = pod.map(|name| Pod {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid of {name}"),
        container: "c".to_owned(),
        restart: 0,
    });
    let stream = Arc::new(Stream { id: "s".into(), path: "/s.log".to_owned(), pod, metadata: None });
    let event = |(at, line): (usize, &&[u8])| Event {
        place: Place { stream: stream.clone(), offset: at as u64, index: 0 },
        time: None,
        stdio: None,
        body: Body::Line(bytes::Bytes::copy_from_slice(line)),
    };
    let span = Span {
        stream: stream.clone(),
        start: 0,
        end: lines.len() as u64,
        lines: lines.len() as u64,
        dead_lettered: 0,
        times: None,
        ended: true,
        broken: None,
    };
    Batch { events: lines.iter().enumerate().map(event).collect(), spans: vec![span] }
}

fn sli() -> (Sli, Arc<FormatsSeen>) {
    let seen = Arc::new(FormatsSeen::default());
    (Sli::new(SliConfig::default(), seen.clone()), seen)
}

fn count(lines: &[&[u8]], pod: Option<&str>) -> Folded {
    let judged = sli().0.apply(batch(lines, pod));
    assert_eq!(judged.events.len(), lines.len());
    fold(&judged, &DEFAULT_EDGES_US, 1)
}

fn total(folded: &Folded, kind: Kind) -> Counts {
    let mut sum = Counts::default();
    folded.rows.iter().filter(|row| row.key.sli == kind).for_each(|row| sum += row.counts);
    sum
}

fn tally(lines: u64, requests: u64) -> Tally {
    Tally { lines, requests, ignored: lines - requests, ..Tally::default() }
}

/// The status by the plainest means: nginx escapes quotes, so it is the first word behind the second one.
fn plain_status(line: &[u8]) -> u16 {
    let line = String::from_utf8_lossy(line);
    line.split('"').nth(2).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

fn is_probe(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).contains("\"kube-probe/")
}

/// Undoes nginx's `\xHH`, and shows bytes that are not UTF-8 as the JSON reader does.
fn unescaped(text: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\' && tail.first() == Some(&b'x') {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[1..3]).unwrap(), 16).unwrap());
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn the_same_real_requests_in_three_formats_read_the_same() {
    let files = ["upstreaminfo", "combined", "json"].map(|name| shared(&format!("nginx-real/{name}.log")));
    let [Some(upstreaminfo), Some(combined), Some(json)] = files else { return };
    let [upstreaminfo, combined, json] = [&upstreaminfo, &combined, &json].map(|content| lines(content));
    assert_eq!((upstreaminfo.len(), combined.len(), json.len()), (416, 416, 416));
    let request = |line, format| match read(line) {
        Reading { line: Line::Request(request), format: read } if format == read => request,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(line)),
    };
    for ((first, second), third) in upstreaminfo.iter().zip(&combined).zip(&json) {
        let long = request(first, Format::Upstreaminfo);
        let short = request(second, Format::Combined);
        let object = request(third, Format::NginxJson);
        assert_eq!(long.status, plain_status(first));
        assert_eq!((long.status, long.ended_ms), (short.status, short.ended_ms));
        assert_eq!(
            (long.status, long.ended_ms, long.duration),
            (object.status, object.ended_ms, object.duration)
        );
        assert_eq!((&long.path, &long.agent), (&short.path, &short.agent));
        assert_eq!(unescaped(&long.path), String::from_utf8_lossy(&object.path));
        let agent = if &*long.agent == b"-" { String::new() } else { unescaped(&long.agent) };
        assert!(agent == String::from_utf8_lossy(&object.agent) || unescaped(&long.agent) == "-", "{agent}");
    }
}

#[test]
fn real_ingress_lines_are_counted_as_a_plain_count_has_them() {
    let Some(content) = shared("nginx-real/upstreaminfo.log") else { return };
    let lines = lines(&content);
    let requests: Vec<_> = lines.iter().filter(|line| !is_probe(line)).collect();
    let bad = requests.iter().filter(|line| plain_status(line) >= 500).count() as u64;
    let folded = count(&lines, None);
    let requests = requests.len() as u64;
    assert_eq!(folded.streams[0].tally, tally(416, requests));
    assert_eq!(total(&folded, Kind::Availability), Counts { total: requests, bad, excluded: 0 });
    assert_eq!(total(&folded, Kind::Latency).excluded, bad);
    let web = ServiceRef::Upstream("shop-web-80".to_owned());
    assert!(
        folded.rows.iter().all(|row| row.key.service == web || row.key.service == ServiceRef::Unattributed)
    );
}

#[test]
fn real_error_logs_and_status_documents_hold_no_requests() {
    for file in ["nginx-real/error.log", "elastic-examples/nginxplus_status_500.ndjson"] {
        let Some(content) = shared(file) else { continue };
        let lines = lines(&content);
        let want = tally(lines.len() as u64, 0);
        assert_eq!(count(&lines, None).streams[0].tally, want, "{file}");
    }
}

#[test]
fn real_combined_lines_are_counted_without_latency() {
    let Some(content) = shared("elastic-examples/apache_combined_first2000.log") else { return };
    let lines = lines(&content);
    let folded = count(&lines, None);
    assert_eq!(folded.streams[0].tally, tally(2000, 2000));
    let bad = lines.iter().filter(|line| plain_status(line) >= 500).count() as u64;
    assert_eq!(total(&folded, Kind::Availability), Counts { total: 2000, bad, excluded: 0 });
    assert_eq!(total(&folded, Kind::Latency), Counts::default());
}

#[test]
fn real_pino_lines_are_counted() {
    let Some(content) = shared("pino-real/pds-pino.ndjson") else { return };
    let folded = count(&lines(&content), None);
    assert_eq!(folded.streams[0].tally, tally(162, 140));
    assert_eq!(total(&folded, Kind::Availability), Counts { total: 120, bad: 20, excluded: 20 });
    assert_eq!(total(&folded, Kind::Latency), Counts { total: 100, bad: 0, excluded: 40 });
    let pds = ServiceRef::Named { namespace: "local".to_owned(), name: "pds".to_owned() };
    assert!(folded.rows.iter().all(|row| row.key.service == pds && row.key.origin == Origin::Application));
}

#[test]
fn hostile_lines_do_no_harm() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/hostile/JSONTestSuite");
    let Ok(files) = std::fs::read_dir(&directory) else {
        return eprintln!("SKIPPED: no real data at {}", directory.display());
    };
    for file in files {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        for hostile in [content.clone(), [b"{\"status\":200,\"uri\":", &content[..], b"}"].concat()] {
            read(&hostile);
        }
    }
    let strings: Vec<String> = serde_json::from_slice(&shared("hostile/blns.json").unwrap()).unwrap();
    for string in strings {
        read(string.as_bytes());
        let line = format!("1 - - [23/Nov/2026:17:30:28 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"{string}\"");
        assert_ne!(read(line.as_bytes()).line, Line::Message, "{line}");
        let line = serde_json::json!({"status": 200, "request": "GET / HTTP/1.1", "http_user_agent": string});
        assert!(matches!(read(line.to_string().as_bytes()).line, Line::Request(_)), "{line}");
    }
}

const ACCESS: &[u8] =
    b"10.0.0.9 - - [23/Nov/2026:17:30:28 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\" 134 0.134 [shop-web-80] [] - - - - f";
const COMBINED: &[u8] = b"10.0.0.9 - - [23/Nov/2026:17:30:28 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"";

#[test]
fn every_event_becomes_one_hit_and_its_format_is_told() {
    let (mut sli, seen) = sli();
    let judged = sli.apply(batch(&[ACCESS, b"hello", COMBINED, b"{"], None));
    let hits: Vec<_> = judged
        .events
        .iter()
        .map(|event| match &event.body {
            Body::Hit(hit) => matches!(**hit, Hit::Request(_)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(hits, [true, false, true, false]);
    let want = [(Format::Upstreaminfo, 1), (Format::Combined, 1), (Format::Other, 2)].into();
    assert_eq!(seen.by_stream()["s"], want);
    assert_eq!(seen.totals(), want);
    let again = sli.apply(judged);
    assert_eq!(again.events.len(), 4);
    assert_eq!(seen.totals(), want);
}

#[test]
fn fields_are_judged_by_their_message() {
    let fields = |key: &str, line: &[u8]| {
        let line = Value::Bytes(bytes::Bytes::copy_from_slice(line));
        Body::Fields(Box::new(Value::Object([(key.into(), line)].into())))
    };
    let mut batch = batch(&[b"", b"", b""], None);
    batch.events[0].body = fields("message", ACCESS);
    batch.events[1].body = fields("other", ACCESS);
    batch.events[2].body = Body::Fields(Box::new(Value::Null));
    let folded = fold(&sli().0.apply(batch), &DEFAULT_EDGES_US, 1);
    assert_eq!(folded.streams[0].tally, tally(3, 1));
}

#[test]
fn plain_access_lines_of_an_ingress_controller_reached_no_service() {
    let services = |lines: &[&[u8]]| {
        let folded = count(lines, Some("controller-7799c6795f-wbzjk"));
        let mut keys: Vec<_> = folded.rows.into_iter().map(|row| (row.key.service, row.key.origin)).collect();
        keys.dedup();
        keys
    };
    let named = ServiceRef::Named { namespace: "shop".to_owned(), name: "controller".to_owned() };
    let web = ServiceRef::Upstream("shop-web-80".to_owned());
    assert_eq!(services(&[COMBINED]), [(named, Origin::Application)]);
    let want = [(web, Origin::Ingress), (ServiceRef::Unattributed, Origin::Ingress)];
    assert_eq!(services(&[ACCESS, COMBINED]), want);
}
