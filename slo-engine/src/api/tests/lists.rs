//! Lists come page by page, filtered, compressed, and only when they have changed.

use std::io::Read;

use serde_json::{Value, json};
use slo::counts::{CountsRequest, MinuteId};

use super::*;

/// An engine that knows `count` services of three namespaces; every fifth fails.
async fn with_services(count: usize) -> Served {
    let served = serve_with("", Limits::default()).await;
    let minute = MinuteId::of_timestamp(now()).plus(-2);
    let range = json!({ "start": 0, "end": 100 });
    let row = |at: usize, sli: &str| {
        let ladder = if sli == "latency" { json!([10, 0, 0, 0, 0, 0, 0, 0, 0, 0]) } else { json!([]) };
        json!({
            "stream": "s", "origin": "ingress", "sli": sli, "version": 1, "minute": minute.0, "range": range,
            "service": { "named": { "namespace": format!("team-{}", at % 3), "name": format!("web-{at:05}") } },
            "total": 10, "bad": if sli == "availability" && at.is_multiple_of(5) { 5 } else { 0 }, "excluded": 0, "ladder": ladder,
        })
    };
    let rows: Vec<Value> = (0..count).flat_map(|at| [row(at, "availability"), row(at, "latency")]).collect();
    let request: CountsRequest = serde_json::from_value(json!({
        "collector": "node-1", "epoch": "1", "watermark_ms": (minute.0 + 1) * 60_000,
        "edges_us": slo::counts::DEFAULT_EDGES_US,
        "streams": [{
            "stream": "s", "path": "/var/log/x", "range": range, "newest_ms": minute.0 * 60_000,
            "tally": { "lines": 1, "requests": 1, "ignored": 0, "unparsed": 0, "late": 0, "dead_lettered": 0 },
        }],
        "rows": rows,
    }))
    .unwrap();
    served.engine.ingest(request).await.unwrap();
    served.engine.tick(now()).await.unwrap();
    served
}

impl Served {
    /// The ids of a list, page by page, as `Link` leads.
    async fn walk(&self, path: &str) -> Vec<Vec<String>> {
        let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next {
            let (status, head, said) = self.ask("GET", &path, "", "").await;
            assert_eq!(status, 200, "{path}: {said}");
            let items: Vec<Value> = serde_json::from_str(&said).unwrap();
            pages.push(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect());
            let link = head.lines().find_map(|line| line.strip_prefix("link: <"));
            next = link.map(|link| link.split_once(">; rel=\"next\"").unwrap().0.to_owned());
        }
        pages
    }
}

#[tokio::test]
async fn slos_come_page_by_page_in_the_order_of_their_ids() {
    let served = with_services(60).await;
    let pages = served.walk("/v1/slos").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [100, 20]);
    let ids: Vec<String> = pages.into_iter().flatten().collect();
    assert!(ids.is_sorted() && ids[0] == "team-0.web-00000.availability", "{ids:?}");
    let some = served.walk("/v1/slos?limit=7&namespace=team-1&q=WEB-0000").await;
    assert_eq!(some.iter().map(Vec::len).collect::<Vec<_>>(), [6]);
    let burning = served.walk("/v1/slos?limit=5&state=exhausted").await.concat();
    assert_eq!(burning.len(), 12);
    assert!(burning.iter().all(|id| id.ends_with("availability")), "{burning:?}");
    assert_eq!(served.walk("/v1/slos?after=team-2.web-00059.availability").await[0].len(), 1);
}

#[tokio::test]
async fn incidents_come_page_by_page_newest_first() {
    let served = with_services(10).await;
    let all = served.walk("/v1/incidents").await.concat();
    let some = served.walk("/v1/incidents?limit=1&open=true").await;
    assert!(all.len() > 1 && some.iter().all(|page| page.len() == 1), "{some:?}");
    assert_eq!(some.concat(), all);
    assert_eq!(served.walk("/v1/incidents?open=false").await.concat(), Vec::<String>::new());
}

#[tokio::test]
async fn a_value_that_is_wrong_is_refused_with_what_is_allowed() {
    let served = serve().await;
    for (path, want) in [
        ("/v1/slos?limit=0", "1 to 1000"),
        ("/v1/slos?limit=1001", "1 to 1000"),
        ("/v1/slos?limit=x", "1 to 1000"),
        ("/v1/slos?state=bad", "one of exhausted, burning, healthy, idle, no_data"),
        ("/v1/slos?limt=3", "allowed here: limit, after, q, namespace, state"),
        ("/v1/slos?limit=1&limit=2", "twice"),
        ("/v1/incidents?open=yes", "neither true nor false"),
        ("/v1/incidents?before=x", "Link"),
        ("/v1/overview?x=1", "allowed here: none"),
        ("/?page=-1", "1 to 100000"),
    ] {
        served.check("GET", path, "", "", (400, want)).await;
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let served = with_services(3).await;
    for path in [
        "/",
        "/style.css",
        "/v1/overview",
        "/v1/slos",
        "/v1/incidents",
        "/openapi.json",
        "/v1/counts/positions",
    ] {
        let (status, head, _) = served.ask("GET", path, "", "").await;
        assert_eq!((status, header(&head, "cache-control")), (200, "private, no-cache"), "{path}");
        let tag = format!("if-none-match: {}\r\n", header(&head, "etag").replace("w/", "W/"));
        let (status, _, said) = served.ask("GET", path, &tag, "").await;
        assert_eq!((status, said.as_str()), (304, ""), "{path}");
    }
}

#[tokio::test]
async fn answers_are_packed_as_it_is_asked() {
    let served = with_services(20).await;
    let (_, _, plain) = served.ask_bytes("GET", "/v1/slos", "", b"").await;
    let (_, head, packed) = served.ask_bytes("GET", "/v1/slos", "accept-encoding: gzip\r\n", b"").await;
    assert_eq!(header(&head, "content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain && packed.len() * 4 < plain.len());
    let (_, head, packed) = served.ask_bytes("GET", "/v1/slos", "accept-encoding: gzip, zstd\r\n", b"").await;
    assert_eq!(header(&head, "content-encoding"), "zstd");
    assert!(zstd::decode_all(&packed[..]).unwrap() == plain);
}

#[tokio::test]
async fn the_page_lists_who_needs_someone_first_and_stays_small() {
    let served = with_services(1000).await;
    let (_, head, page) = served.ask("GET", "/", "", "").await;
    assert!(page.len() < 200_000, "{} bytes", page.len());
    assert_eq!(page.matches("href=\"/services/").count(), 50);
    assert!(page.contains("href=\"/services/team-0/web-00000\"") && !page.contains("web-00001"), "{page}");
    assert!(page.contains("page 1 of 20, 1000 services") && page.contains("href=\"/?page=2\""), "{page}");
    assert!(page.contains("and 180 more") && page.contains("/v1/incidents?open=true"), "{page}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "deny"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(header(&head, name), value);
    }
    let policy = header(&head, "content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.contains("<style") && !page.contains("style="), "{page}");
    let (.., some) = served.ask("GET", "/?q=web-0000&namespace=team-1&page=9", "", "").await;
    assert_eq!(some.matches("href=\"/services/").count(), 3);
    let (.., none) = served.ask("GET", "/?q=nobody", "", "").await;
    assert!(none.contains("No service is like that"), "{none}");
}

#[tokio::test]
async fn each_service_has_a_page_of_its_own() {
    let served = with_services(2).await;
    let (status, _, page) = served.ask("GET", "/services/team-0/web-00000", "", "").await;
    assert!(status == 200 && page.contains("aria-label=\"budget left over time\""), "{page}");
    assert!(!page.contains("web-00001") && !page.contains("http-equiv=\"refresh\""), "{page}");
    served.check("GET", "/services/team-0/none", "", "", (404, "team-0/none")).await;
    served.check("GET", "/services/unattributed", "", "", (404, "unattributed")).await;
}
