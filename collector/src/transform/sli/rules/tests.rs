//! What is a request, and what makes it bad: the law as tables.

use std::borrow::Cow;

use slo::counts::{Counts, Origin, ServiceRef};

use super::{Rules, classify};
use crate::event::{Hit, RequestHit};
use crate::transform::sli::format::{Duration, Request, Target};

const ENDED: i64 = 1_795_455_028_000;
const GOOD: Counts = Counts { total: 1, bad: 0, excluded: 0 };
const BAD: Counts = Counts { total: 1, bad: 1, excluded: 0 };
const OUT: Counts = Counts { total: 0, bad: 0, excluded: 1 };

fn request(status: u16, ms: u64) -> Request<'static> {
    Request {
        ended_ms: Some(ENDED),
        status,
        grpc_status: None,
        duration: Duration::Us(ms * 1000),
        path: Cow::Borrowed(b"/x"),
        agent: Cow::Borrowed(b"curl"),
        target: Target::Stream,
    }
}

fn judge(request: &Request<'_>, cri_ms: Option<i64>, rules: &Rules) -> Hit {
    let cri = cri_ms.map(|ms| jiff::Timestamp::from_millisecond(ms).unwrap());
    classify(request, cri, rules, || (ServiceRef::Unattributed, Origin::Ingress))
}

fn hit(request: &Request<'_>, cri_ms: Option<i64>) -> RequestHit {
    match judge(request, cri_ms, &Rules::default()) {
        Hit::Request(hit) => hit,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(request: &Request<'_>, availability: Counts, latency: Option<Counts>) {
    let hit = hit(request, None);
    assert_eq!((hit.availability, hit.latency), (availability, latency), "{request:?}");
    let is_in_latency = latency.is_some_and(|counts| counts.total == 1);
    assert_eq!(hit.duration_us, request.duration.us().filter(|_| is_in_latency), "{request:?}");
}

#[test]
fn statuses_of_500_and_over_are_bad_and_have_no_latency() {
    check(&request(200, 1), GOOD, Some(GOOD));
    check(&request(404, 1), GOOD, Some(GOOD));
    check(&request(429, 1), GOOD, Some(GOOD));
    for status in [500, 502, 503, 599, 999] {
        check(&request(status, 1), BAD, Some(OUT));
    }
}

#[test]
fn grpc_statuses_of_the_server_are_bad() {
    for status in 0..=16 {
        let request = Request { grpc_status: Some(status), ..request(200, 1) };
        match [2, 4, 12, 13, 14, 15].contains(&status) {
            true => check(&request, BAD, Some(OUT)),
            false => check(&request, GOOD, Some(GOOD)),
        }
    }
}

#[test]
fn latency_is_good_strictly_under_the_threshold() {
    check(&request(200, 499), GOOD, Some(GOOD));
    check(&Request { duration: Duration::Us(499_999), ..request(200, 0) }, GOOD, Some(GOOD));
    check(&request(200, 500), GOOD, Some(BAD));
    check(&request(404, 60_000), GOOD, Some(BAD));
}

#[test]
fn a_client_that_left_counts_only_where_it_had_waited() {
    check(&request(499, 499), OUT, Some(OUT));
    check(&request(499, 500), OUT, Some(BAD));
    check(&request(499, 9_999), OUT, Some(BAD));
    check(&request(499, 10_000), BAD, Some(BAD));
    check(&Request { duration: Duration::NotLogged, ..request(499, 0) }, OUT, None);
}

#[test]
fn a_websocket_is_good_when_it_opened_and_has_no_latency() {
    let hour = request(101, 3_600_000);
    check(&hour, GOOD, Some(OUT));
    assert_eq!(hit(&hour, None).counted_ms, ENDED - 3_600_000);
    assert_eq!(hit(&hour, None).ended_ms, ENDED);
    check(&request(403, 1), GOOD, Some(GOOD));
    let forever = Request { duration: Duration::Us(u64::MAX), ..request(101, 0) };
    assert!(hit(&forever, None).counted_ms < 0);
    let combined = Request { duration: Duration::NotLogged, ..request(101, 0) };
    assert_eq!(hit(&combined, None).counted_ms, ENDED);
}

#[test]
fn without_a_duration_there_is_no_latency() {
    check(&Request { duration: Duration::NotLogged, ..request(200, 0) }, GOOD, None);
    check(&Request { duration: Duration::NotLogged, ..request(500, 0) }, BAD, None);
    check(&Request { duration: Duration::Unreadable, ..request(200, 0) }, GOOD, Some(OUT));
}

#[test]
fn health_checks_are_no_requests() {
    for agent in ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"] {
        let request = Request { agent: Cow::Borrowed(agent.as_bytes()), ..request(503, 1) };
        assert_eq!(judge(&request, None, &Rules::default()), Hit::Ignored, "{agent}");
    }
    for path in ["/healthz", "/readyz", "/livez", "/xrpc/_health"] {
        let request = Request { path: Cow::Borrowed(path.as_bytes()), ..request(200, 1) };
        assert_eq!(judge(&request, None, &Rules::default()), Hit::Ignored, "{path}");
    }
    for path in ["/healthz/", "/healthzx", "/x/healthz", "/health"] {
        check(&Request { path: Cow::Borrowed(path.as_bytes()), ..request(200, 1) }, GOOD, Some(GOOD));
    }
    check(&Request { agent: Cow::Borrowed(b"not kube-probe/1"), ..request(200, 1) }, GOOD, Some(GOOD));
}

#[test]
fn streaming_endpoints_are_left_out_of_latency_only() {
    let rules =
        Rules { streaming_paths: vec!["/events/*".to_owned(), "/tail".to_owned()], ..Rules::default() };
    for (path, want) in [("/events/1", OUT), ("/tail", OUT), ("/tail/1", BAD), ("/x", BAD)] {
        let request = Request { path: Cow::Borrowed(path.as_bytes()), ..request(200, 90_000) };
        let Hit::Request(hit) = judge(&request, None, &rules) else { panic!("{path}") };
        assert_eq!((hit.availability, hit.latency), (GOOD, Some(want)), "{path}");
    }
}

#[track_caller]
fn check_time(own: Option<i64>, cri: Option<i64>, want: Option<(i64, bool)>) {
    let request = Request { ended_ms: own, ..request(200, 1) };
    let got = match judge(&request, cri, &Rules::default()) {
        Hit::Request(hit) => Some((hit.ended_ms, hit.late)),
        other => {
            assert_eq!(other, Hit::Unparsed);
            None
        }
    };
    assert_eq!(got, want);
}

#[test]
fn a_line_counts_at_its_own_time_unless_that_is_far_from_its_cri_time() {
    check_time(Some(ENDED), None, Some((ENDED, false)));
    check_time(Some(ENDED), Some(ENDED + 300_000), Some((ENDED, false)));
    check_time(Some(ENDED), Some(ENDED - 300_000), Some((ENDED, false)));
    check_time(Some(ENDED), Some(ENDED + 300_001), Some((ENDED + 300_001, true)));
    check_time(Some(ENDED), Some(ENDED - 300_001), Some((ENDED - 300_001, true)));
    check_time(None, Some(ENDED), Some((ENDED, false)));
    check_time(None, None, None);
}
