//! Lines of every format, real and hostile.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{Duration, Format, Line, Reading, Request, Target, read};

const TIME: i64 = 1_795_455_028_000;
const TAIL: &str = "10.0.0.1:80, 10.0.0.2:80 0, 16 0.001, 0.133 502, 200 531a67da";

fn request(line: &[u8]) -> Request<'_> {
    match read(line).line {
        Line::Request(request) => request,
        other => panic!("no request but {other:?}: {}", String::from_utf8_lossy(line)),
    }
}

#[track_caller]
fn check(line: &str, format: Format, want: &Line<'_>) {
    assert_eq!(read(line.as_bytes()), Reading { format, line: want.clone() }, "{line}");
}

#[track_caller]
fn check_format(line: &str, format: Format) {
    assert_eq!(read(line.as_bytes()).format, format, "{line}");
    assert!(matches!(read(line.as_bytes()).line, Line::Request(_)), "{line}");
}

/// Status, duration, path and user agent.
#[track_caller]
fn check_request(line: &str, status: u16, duration: Duration, path: &str, agent: &str) {
    let request = request(line.as_bytes());
    let (got_path, got_agent) =
        (String::from_utf8_lossy(&request.path), String::from_utf8_lossy(&request.agent));
    assert_eq!(
        (request.status, request.duration, &*got_path, &*got_agent),
        (status, duration, path, agent),
        "{line}"
    );
    assert_eq!(request.ended_ms, Some(TIME), "{line}");
}

fn upstreaminfo(request: &str, status: &str, agent: &str) -> String {
    format!(
        "10.0.0.9 - - [23/Nov/2026:17:30:28 +0000] \"{request}\" {status} 157 \"-\" \"{agent}\" \
         134 0.134 [shop-web-80] [] {TAIL}"
    )
}

#[test]
fn an_upstreaminfo_line_is_read_whole() {
    let line = upstreaminfo("GET /a?b=1 HTTP/1.1", "200", "curl/8.5.0");
    let want = Request {
        ended_ms: Some(TIME),
        status: 200,
        grpc_status: None,
        duration: Duration::Us(134_000),
        path: Cow::Borrowed(b"/a"),
        agent: Cow::Borrowed(b"curl/8.5.0"),
        target: Target::Upstream(Cow::Borrowed(b"shop-web-80")),
    };
    check(&line, Format::Upstreaminfo, &Line::Request(want));
}

#[test]
fn odd_requests_and_agents_are_read() {
    let us = Duration::Us(134_000);
    check_request(&upstreaminfo("", "400", "-"), 400, us, "", "-");
    check_request(&upstreaminfo("\\x16\\x03\\x01", "400", "-"), 400, us, "", "-");
    check_request(&upstreaminfo("hello", "400", "-"), 400, us, "", "-");
    check_request(&upstreaminfo("GET /", "200", "-"), 200, us, "/", "-");
    check_request(&upstreaminfo("GET /a b c HTTP/1.1", "200", "-"), 200, us, "/a b c", "-");
    check_request(
        &upstreaminfo("GET /\\x22q\\x22 HTTP/2.0", "404", "a\\x22b"),
        404,
        us,
        "/\\x22q\\x22",
        "a\\x22b",
    );
    check_request(&upstreaminfo("GET / HTTP/1.1", "200", "a\\\"b\\\\"), 200, us, "/", "a\\\"b\\\\");
    check_request(&upstreaminfo("GET / HTTP/1.1", "200", "] [x] \\x22 200"), 200, us, "/", "] [x] \\x22 200");
    check_request(&format!("{}\r", upstreaminfo("GET / HTTP/1.1", "101", "")), 101, us, "/", "");
}

#[test]
fn clients_and_users_of_every_kind_are_read() {
    let rest = upstreaminfo("GET / HTTP/1.1", "200", "-").split_off(9);
    for client in ["2001:db8::1", "unix:", "-", "proxy.example.com", "10.0.0.1,"] {
        check_format(&format!("{client} {}", &rest), Format::Upstreaminfo);
    }
    let fake = "[01/Jan/1999:00:00:00 +0000] \\x22GET /fake HTTP/1.1\\x22 500";
    let line = upstreaminfo("GET / HTTP/1.1", "200", "-").replacen("- - ", &format!("- {fake} "), 1);
    check_request(&line, 200, Duration::Us(134_000), "/", "-");
}

#[test]
fn upstream_lists_and_missing_values_do_not_matter() {
    let base = "10.0.0.9 - - [23/Nov/2026:17:30:28 +0000] \"GET / HTTP/1.1\" 502 157 \"-\" \"-\" 0 0.000 ";
    for (tail, upstream) in [
        ("[] [] - - - - fb448d71", ""),
        ("[-] [] - - - - fb448d71", "-"),
        ("[a-b-80] [] 1.1.1.1:80 : 2.2.2.2:80 0 : 0 0.000 : 0.001 502 : 502 ff", "a-b-80"),
        ("[a-b-80] [a-canary-80] [2001:db8::1]:80 0 0.000 502 ff", "a-b-80"),
        ("[a-b-http]", "a-b-http"),
    ] {
        let line = format!("{base}{tail}");
        assert_eq!(
            request(line.as_bytes()).target,
            Target::Upstream(Cow::Borrowed(upstream.as_bytes())),
            "{line}"
        );
    }
}

#[test]
fn combined_and_common_lines_have_no_duration() {
    let common = "1.2.3.4 - bob [23/Nov/2026:17:30:28 +0000] \"GET /x HTTP/1.1\" 200 -";
    check_request(common, 200, Duration::NotLogged, "/x", "");
    check_request(&format!("{common} \"http://r/\" \"a\""), 200, Duration::NotLogged, "/x", "a");
    for tail in ["0.134", "0.134 0.133 .", "\"-\"", "134 0.134", "rt=0.134 uct=\"0.000\""] {
        check_request(&format!("{common} \"-\" \"a\" {tail}"), 200, Duration::NotLogged, "/x", "a");
        check_format(&format!("{common} \"-\" \"a\" {tail}"), Format::Combined);
    }
}

#[test]
fn what_looks_like_a_request_but_cannot_be_read_is_unparsed() {
    for status in ["-", "000", "009", "20", "2000", "2x0"] {
        check(&upstreaminfo("GET / HTTP/1.1", status, "-"), Format::Upstreaminfo, &Line::Unparsed);
    }
    let whole = upstreaminfo("GET / HTTP/1.1", "200", "agent");
    for end in ["28 +0000] \"GE", "\" 20", "\"ag", "[shop-"] {
        let cut = whole.find(end).unwrap() + end.len();
        let line = read(&whole.as_bytes()[..cut]).line;
        assert_ne!(line, Line::Message, "{}", &whole[..cut]);
        assert!(!matches!(line, Line::Request(_)) || end == "\" 20", "{}", &whole[..cut]);
    }
}

#[test]
fn messages_are_messages() {
    for line in [
        "",
        "hello",
        "[",
        "2026/11/23 17:30:26 [notice] 31317#31317: using the \"epoll\" event method",
        "[23/Nov/2026:17:30:28 +0000] \"GET / HTTP/1.1\" 200",
        "I1123 17:30:28.123 controller.go:190] \"Configuration changes detected\" status=ok",
        "[10.0.0.1] [23/Nov/2026:17:30:28 +0000] TCP 200 1 2 0.001",
        "{",
        "{}",
        "{\"msg\":\"hello\"}",
        "{\"status\":\"ok\",\"uri\":\"/x\"}",
        "{\"status\":200}",
        "{\"res\":{\"statusCode\":200},\"msg\":\"answer of a peer\"}",
        "{ status: 'of an inspected object' }",
        "[{\"status\":200,\"request\":\"GET / HTTP/1.1\"}]",
    ] {
        check(line, Format::Other, &Line::Message);
    }
}

const PINO: &str = r#"{"level":30,"time":1795455028000,"name":"pds","req":{"id":1,"method":"GET","url":"/x?y","headers":{"user-agent":"a\"b"}},"res":{"statusCode":200,"headers":{}},"responseTime":35,"msg":"request completed"}"#;

#[test]
fn pino_lines_are_read() {
    check_request(PINO, 200, Duration::Us(35_000), "/x", "a\"b");
    check_format(PINO, Format::Pino);
    assert_eq!(request(PINO.as_bytes()).target, Target::Name(Cow::Borrowed(b"pds")));
    let with = |from: &str, to: &str| PINO.replacen(from, to, 1);
    check_request(&with(":35,", ":0.4567,"), 200, Duration::Us(456), "/x", "a\"b");
    check_request(&with(":35,", ":-3,"), 200, Duration::Unreadable, "/x", "a\"b");
    check_request(&with(":35,", ":1e999,"), 200, Duration::Unreadable, "/x", "a\"b");
    check_request(&with("200", "null"), 499, Duration::Us(35_000), "/x", "a\"b");
    check(&with("200", "0"), Format::Pino, &Line::Unparsed);
    check(&with("200", "\"-\""), Format::Pino, &Line::Unparsed);
}

#[test]
fn of_a_repeated_key_the_last_one_counts() {
    let line = PINO.replacen("\"level\":30", "\"responseTime\":1,\"name\":\"child\",\"res\":7", 1);
    check_request(&line, 200, Duration::Us(35_000), "/x", "a\"b");
}

#[test]
fn values_of_unexpected_types_are_no_values() {
    let line = PINO.replacen("\"/x?y\"", "[1]", 1).replacen("\"pds\"", "{}", 1).replacen(
        "{\"user-agent\"",
        "{\"n\"",
        1,
    );
    check_request(&line, 200, Duration::Us(35_000), "", "");
    assert_eq!(request(line.as_bytes()).target, Target::Stream);
    let line =
        PINO.replacen("{\"id\":1", "{\"id\":\"\\ud800\",\"\\u00fc\":1", 1).replacen("a\\\"b", "\\ud800", 1);
    check_request(&line, 200, Duration::Us(35_000), "/x", "\\ud800");
}

#[test]
fn ecs_lines_are_read_nested_and_dotted() {
    let nested = r#"{"@timestamp":"2026-11-23T17:30:28.000Z","event":{"duration":134567890},"http":{"request":{"method":"GET"},"response":{"status_code":200}},"url":{"path":"/x"},"user_agent":{"original":"a"},"service":{"name":"web"}}"#;
    let dotted = r#"{"@timestamp":"2026-11-23T17:30:28.000Z","event.duration":"134567890","http.response.status_code":"200","url.original":"/x?y","user_agent.original":"a","service.name":"web"}"#;
    for line in [nested, dotted] {
        check_request(line, 200, Duration::Us(134_567), "/x", "a");
        check_format(line, Format::Ecs);
        assert_eq!(request(line.as_bytes()).target, Target::Name(Cow::Borrowed(b"web")));
    }
    let start = nested.replacen("17:30:28.000Z", "17:30:27Z", 1);
    let both = start.replacen("{\"duration\"", "{\"end\":\"2026-11-23T17:30:28Z\",\"duration\"", 1);
    check_request(&both, 200, Duration::Us(134_567), "/x", "a");
    let without = nested.replacen("duration", "action", 1);
    check_request(&without, 200, Duration::NotLogged, "/x", "a");
}

#[test]
fn nginx_json_lines_are_read() {
    let line = r#"{"time":"2026-11-23T17:30:28+00:00","request":"GET /x?y HTTP/1.1","status":200,"request_time":0.134,"upstream_status":"502, 200","http_user_agent":"a"}"#;
    check_request(line, 200, Duration::Us(134_000), "/x", "a");
    check_format(line, Format::NginxJson);
    let other = r#"{"msec":"1795455028.000","request_uri":"/x?y","status":"200","request_time":"0.134","http_user_agent":"a","grpc_status":"14","proxy_upstream_name":"shop-web-80"}"#;
    check_request(other, 200, Duration::Us(134_000), "/x", "a");
    assert_eq!(request(other.as_bytes()).grpc_status, Some(14));
    assert_eq!(request(other.as_bytes()).target, Target::Upstream(Cow::Borrowed(b"shop-web-80")));
    check(&line.replacen("200", "\"-\"", 1), Format::NginxJson, &Line::Unparsed);
    check(&line.replacen("200", "", 1), Format::Other, &Line::Unparsed);
    check(&line[..100], Format::Other, &Line::Unparsed);
}

#[test]
fn json_that_is_not_utf8_is_read() {
    let line = b"{\"status\":200,\"request\":\"GET /\xff HTTP/1.1\",\"http_user_agent\":\"\xc3\xa4 \xfe\",\"\xf0\":1}";
    let request = request(line);
    assert_eq!((request.status, &*request.path), (200, "/\u{fffd}".as_bytes()));
    assert_eq!(&*request.agent, "ä \u{fffd}".as_bytes());
}

#[test]
fn a_deep_or_long_object_is_no_danger() {
    let deep = format!("{{\"status\":200,\"uri\":{}", "[".repeat(100_000));
    assert_eq!(read(deep.as_bytes()).line, Line::Unparsed);
    let closed = format!("{{\"status\":200,\"uri\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(read(closed.as_bytes()).line, Line::Request(_) | Line::Unparsed));
    let brackets = "[".repeat(1_000_000);
    assert_eq!(read(brackets.as_bytes()), Reading::OTHER);
    let backslashes = upstreaminfo(&"\\".repeat(1_000_001), "200", "-");
    assert_eq!(read(backslashes.as_bytes()), Reading::BROKEN);
    let quotes = upstreaminfo(&"\\\"".repeat(500_000), "200", "-");
    check_format(&quotes, Format::Upstreaminfo);
}

#[test]
fn a_byte_order_mark_and_spaces_before_an_object_are_skipped() {
    check_format(&format!("\u{feff}{PINO}"), Format::Pino);
    check_format(&format!("  {PINO}\r"), Format::Pino);
    check_format(&format!("\u{feff}{}", upstreaminfo("GET / HTTP/1.1", "200", "-")), Format::Upstreaminfo);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&line);
    }

    #[test]
    fn a_line_with_bytes_changed_or_cut_is_read_without_panic(
        which in 0..3_usize,
        at in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let nginx = "{\"status\":200,\"request\":\"GET / HTTP/1.1\",\"request_time\":0.134}".to_owned();
        let lines = [upstreaminfo("GET / HTTP/1.1", "200", "-"), PINO.to_owned(), nginx];
        let mut line = lines[which].clone().into_bytes();
        let at = at.index(line.len());
        let until = (at + bytes.len()).min(line.len());
        line.splice(at..until, bytes);
        line.truncate(end.index(line.len()) + 1);
        read(&line);
    }

    #[test]
    fn whatever_the_agent_holds_once_escaped_the_line_reads_the_same(agent in "[^\"\\\\\\r\\n]{0,40}") {
        let line = upstreaminfo("GET /x HTTP/1.1", "200", &agent);
        let request = request(line.as_bytes());
        prop_assert_eq!(&*request.agent, agent.as_bytes());
        prop_assert_eq!(request.duration, Duration::Us(134_000));
    }
}
