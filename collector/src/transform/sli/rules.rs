//! What a request is, and when it was good: every rule that counting follows, in one place.

use jiff::Timestamp;
use slo::counts::{Counts, DEFAULT_EDGES_US, Origin, ServiceRef};

use super::format::{Duration, Request};
use crate::event::{Hit, RequestHit};

/// A line whose own time is further than this from its CRI time counts at its CRI time.
const LATE_MS: u64 = 5 * 60 * 1000;

/// gRPC statuses that are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
/// DATA_LOSS.
const GRPC_BAD: [u8; 6] = [2, 4, 12, 13, 14, 15];

/// WebSocket: the connection changed its protocol.
const SWITCHING_PROTOCOLS: u16 = 101;

/// nginx: the client closed the connection before the first byte of the answer.
const CLIENT_CLOSED: u16 = 499;

/// What is counted as a request, and what of it is bad. Fixed are: a status of 500 and over and the gRPC statuses
/// 2 4 12 13 14 15 are bad, every other status is good; 101 and bad answers are never counted for latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Beginnings of user agents that are health checks: no requests. Default: kube-probe/, GoogleHC,
    /// ELB-HealthChecker.
    pub health_check_agents: Vec<String>,
    /// Paths (without query) of health checks: no requests. A `*` at the end stands for any ending.
    /// Default: /healthz, /readyz, /livez, /xrpc/_health.
    pub health_check_paths: Vec<String>,
    /// Paths (without query) of endpoints that answer for as long as the client listens: never counted for latency.
    /// A `*` at the end stands for any ending. Default: none.
    pub streaming_paths: Vec<String>,
    /// A 499 that was open for this long, in microseconds, is bad for availability; a shorter one leaves that total.
    /// Default: 10 s.
    pub client_closed_after_us: u64,
    /// A request is good for latency strictly under this, in microseconds; one of `edges_us`. A 499 that is not
    /// leaves that total. Default: 500 ms.
    pub threshold_us: u64,
    /// Edges of the latency ladder in microseconds, strictly ascending.
    /// Default: 50 100 250 500 750 1000 2500 5000 10000 ms.
    pub edges_us: Vec<u64>,
}

/// How one SLI takes a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
    Excluded,
}

/// Judges one request. `cri_time` is when the container runtime took the line; `service` is asked only for what counts.
pub fn classify(
    request: &Request<'_>,
    cri_time: Option<Timestamp>,
    rules: &Rules,
    service: impl FnOnce() -> (ServiceRef, Origin),
) -> Hit {
    if rules.is_health_check(request) {
        return Hit::Ignored;
    }
    let Some((ended_ms, late)) = ended(request.ended_ms, cri_time.map(Timestamp::as_millisecond)) else {
        return Hit::Unparsed;
    };
    let latency = rules.latency(request);
    let (service, origin) = service();
    Hit::Request(RequestHit {
        service,
        origin,
        counted_ms: counted(request, ended_ms),
        ended_ms,
        availability: rules.availability(request).counts(),
        latency: latency.map(Verdict::counts),
        duration_us: request
            .duration
            .us()
            .filter(|_| latency.is_some_and(|verdict| verdict != Verdict::Excluded)),
        late,
    })
}

/// When a request ended, and whether its line is late.
fn ended(own_ms: Option<i64>, cri_ms: Option<i64>) -> Option<(i64, bool)> {
    match (own_ms, cri_ms) {
        (Some(own), Some(cri)) if own.abs_diff(cri) > LATE_MS => Some((cri, true)),
        (own, cri) => own.or(cri).map(|ended| (ended, false)),
    }
}

/// A WebSocket counts when it opened: for hours after that, its end says nothing of availability.
fn counted(request: &Request<'_>, ended_ms: i64) -> i64 {
    match (request.status, request.duration) {
        (SWITCHING_PROTOCOLS, Duration::Us(us)) => ended_ms.saturating_sub_unsigned(us / 1000),
        _ => ended_ms,
    }
}

fn matches_path(rule: &str, path: &[u8]) -> bool {
    match rule.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning.as_bytes()),
        None => path == rule.as_bytes(),
    }
}

// === impl Rules ===

impl Rules {
    fn is_health_check(&self, request: &Request<'_>) -> bool {
        self.health_check_agents.iter().any(|agent| request.agent.starts_with(agent.as_bytes()))
            || self.health_check_paths.iter().any(|path| matches_path(path, &request.path))
    }

    fn availability(&self, request: &Request<'_>) -> Verdict {
        if is_server_error(request) {
            return Verdict::Bad;
        }
        match (request.status, request.duration.us()) {
            (CLIENT_CLOSED, Some(us)) if us >= self.client_closed_after_us => Verdict::Bad,
            (CLIENT_CLOSED, _) => Verdict::Excluded,
            _ => Verdict::Good,
        }
    }

    /// Nothing where the format has no duration at all.
    fn latency(&self, request: &Request<'_>) -> Option<Verdict> {
        let us = match request.duration {
            Duration::NotLogged => return None,
            Duration::Unreadable => return Some(Verdict::Excluded),
            Duration::Us(us) => us,
        };
        let is_streaming = self.streaming_paths.iter().any(|path| matches_path(path, &request.path));
        if is_server_error(request) || request.status == SWITCHING_PROTOCOLS || is_streaming {
            return Some(Verdict::Excluded);
        }
        Some(match us < self.threshold_us {
            false => Verdict::Bad,
            true if request.status == CLIENT_CLOSED => Verdict::Excluded,
            true => Verdict::Good,
        })
    }
}

impl Default for Rules {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            health_check_agents: texts(&["kube-probe/", "GoogleHC", "ELB-HealthChecker"]),
            health_check_paths: texts(&["/healthz", "/readyz", "/livez", "/xrpc/_health"]),
            streaming_paths: Vec::new(),
            client_closed_after_us: 10_000_000,
            threshold_us: 500_000,
            edges_us: DEFAULT_EDGES_US.to_vec(),
        }
    }
}

fn is_server_error(request: &Request<'_>) -> bool {
    request.status >= 500 || request.grpc_status.is_some_and(|status| GRPC_BAD.contains(&status))
}

// === impl Verdict ===

impl Verdict {
    fn counts(self) -> Counts {
        match self {
            Self::Good => Counts { total: 1, bad: 0, excluded: 0 },
            Self::Bad => Counts { total: 1, bad: 1, excluded: 0 },
            Self::Excluded => Counts { total: 0, bad: 0, excluded: 1 },
        }
    }
}

#[cfg(test)]
mod tests;
