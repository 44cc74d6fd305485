//! Metrics of the HTTP server.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use telemetry::register;

use crate::config::Scope;

/// Handles of the metrics of the HTTP server.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    /// Connections that are open.
    pub(crate) connections: IntGauge,
    closed: IntCounterVec,
    /// Heavy reads that found no turn.
    pub(crate) busy: IntCounter,
    unauthorized: IntCounterVec,
}

impl HttpMetrics {
    /// Registers every metric, at zero.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters =
            |name, help, labels| register(registry, IntCounterVec::new(Opts::new(name, help), labels));
        let metrics = Self {
            connections: register(
                registry,
                IntGauge::new("headroom_http_connections", "Connections that are open."),
            )?,
            closed: counters(
                "headroom_http_connections_refused_total",
                "Connections that were closed at once: too many in all, or of one address.",
                &["reason"],
            )?,
            busy: register(
                registry,
                IntCounter::new("headroom_http_busy_total", "Heavy reads that were told to come again."),
            )?,
            unauthorized: counters(
                "headroom_http_unauthorized_total",
                "Requests that showed no token of the scope that they need.",
                &["scope"],
            )?,
        };
        for reason in [Full::All, Full::Address] {
            metrics.closed.with_label_values(&[reason.as_str()]);
        }
        for scope in [Scope::Counts, Scope::Read, Scope::Ack] {
            metrics.unauthorized.with_label_values(&[scope.as_str()]);
        }
        Ok(metrics)
    }

    /// A connection was closed at once.
    pub(crate) fn closed(&self, reason: Full) {
        self.closed.with_label_values(&[reason.as_str()]).inc();
    }

    /// A request was refused for want of a token.
    pub(crate) fn unauthorized(&self, scope: Scope) {
        self.unauthorized.with_label_values(&[scope.as_str()]).inc();
    }
}

/// Which limit a connection found reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of all connections.
    All,
    /// That of its address.
    Address,
}

impl Full {
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::Address => "address",
        }
    }
}
