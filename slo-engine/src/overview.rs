//! What is shown: one value that the JSON of `up`, the API, the table and the page are all made from.
//!
//! [`Overview`] is the contract of `up --once --output json`; [`Detail`] adds what a chart needs. Counts are integers,
//! ratios are decimal strings rounded down (a figure never looks better than it is), times are RFC 3339 in UTC.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every service with its SLOs, every alert, and the books of the input.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Overview {
    /// The rolling window that `total` and `good` are summed over.
    pub window: WindowView,
    /// Services by name.
    pub services: Vec<ServiceView>,
    /// Alerts, oldest first.
    pub alerts: Vec<AlertView>,
    /// What became of the lines.
    pub input: InputView,
    /// What keeps the cluster from saying more, and what is wrong with what it says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WindowView {
    /// First instant.
    #[schema(example = "2026-10-24T12:00:00Z")]
    pub from: String,
    /// Behind the last instant: the end of the newest minute.
    pub to: String,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServiceView {
    /// `namespace/name`; `unattributed`; or nginx's raw upstream name where it has several readings.
    #[schema(example = "shop/web")]
    pub service: String,
    /// Its SLOs: availability, then latency.
    pub slos: Vec<SloView>,
    /// Quantiles of the latency in milliseconds; a sketch for display, within 1.6 %.
    pub latency_ms: LatencyView,
    /// What the cluster says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterView>,
}

/// What the cluster says of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClusterView {
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Whom to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Address of what to do when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// How its pods are: `serving`, `starting`, `not_ready`, `crash_looping`, `scaled_to_zero`, `no_pods`, `no_selector` or
    /// `gone`; nothing while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The same in words, with the pod and the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_detail: Option<String>,
}

/// An SLO over the rolling window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SloView {
    /// `availability` or `latency`.
    pub slo: String,
    /// Target in percent.
    #[schema(example = "99.9")]
    pub objective: String,
    /// Requests that are judged.
    pub total: u64,
    /// Those of them that were good.
    pub good: u64,
    /// Requests that the rules leave out.
    pub excluded: u64,
    /// good / total; nothing without requests.
    #[schema(example = "0.999625")]
    pub sli: Option<String>,
    /// Share of the minutes since the service was first seen that were read.
    #[schema(example = "1")]
    pub coverage: String,
    /// Share of the error budget that is left; below 0 when overspent, 1 when idle; nothing without data.
    #[schema(example = "0.625")]
    pub budget_remaining: Option<String>,
    /// `healthy`, `burning`, `exhausted`, `idle` (it was listened and there was no request) or `no_data`.
    pub state: String,
}

/// Quantiles in milliseconds; nothing without durations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct LatencyView {
    /// Median.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// An alert that paged, or opened a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlertView {
    /// The service.
    pub service: String,
    /// `availability` or `latency`.
    pub slo: String,
    /// `page` or `ticket`.
    pub severity: String,
    /// When it fired.
    pub fired_at: String,
    /// When it resolved; nothing while it is open.
    pub resolved_at: Option<String>,
}

/// The books of the input: `lines = requests + ignored + dead_lettered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputView {
    /// Records that were read.
    pub lines: u64,
    /// Those that are requests.
    pub requests: u64,
    /// Those that are not: health checks, messages, unparsed lines.
    pub ignored: u64,
    /// Requests whose own time was over five minutes from their CRI time.
    pub late: u64,
    /// Lines in the dead-letter store.
    pub dead_lettered: u64,
}

/// An SLO with everything that the page and the report show of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Detail {
    /// `namespace.name.sli`.
    #[schema(example = "shop.web.availability")]
    pub id: String,
    /// The service.
    pub service: String,
    /// The figures over the rolling window.
    #[serde(flatten)]
    pub rolling: SloView,
    /// The same over the calendar month so far.
    pub month: SloView,
    /// Share of the budget that is left when the window is full, if traffic stays as it was and nothing more goes wrong; of a
    /// window that is young.
    pub projected: Option<String>,
    /// Threshold of a latency SLO in milliseconds.
    pub threshold_ms: Option<u64>,
    /// Lowest and highest value that the SLI can have, when every missing minute is charged as all bad or all good.
    pub sli_interval: Option<(String, String)>,
    /// Which log it is counted from: `ingress` or `application`.
    pub source: String,
    /// Burn rate now, by window.
    pub burn: Vec<BurnView>,
    /// Budget left over time, oldest first: at most 120 points.
    pub burn_down: Vec<PointView>,
    /// Where and when it hurt: the span that was measured in at most 120 slices, oldest first.
    pub hurt: Vec<SliceView>,
    /// Minutes with requests, and those of them in which the target share was met: the other reading of the objective.
    pub slices: SlicesView,
}

/// Burn rate of a pair of windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BurnView {
    /// `page` or `ticket`.
    pub severity: String,
    /// Long window in minutes.
    pub long_minutes: i64,
    /// Short window in minutes.
    pub short_minutes: i64,
    /// Burn rate over the long window: 1 spends the budget in exactly the period. Nothing without requests.
    pub long: Option<String>,
    /// Burn rate over the short window.
    pub short: Option<String>,
    /// Above this in both windows it alerts.
    pub factor: String,
}

/// Budget left at an instant.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PointView {
    /// When.
    pub at: String,
    /// Share of the budget that was left; for charts.
    pub remaining: f64,
}

/// Counts of a slice of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SliceView {
    /// First instant.
    pub from: String,
    /// Length in minutes.
    pub minutes: i64,
    /// Requests.
    pub total: u64,
    /// Bad ones.
    pub bad: u64,
}

/// Time slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SlicesView {
    /// Minutes with requests.
    pub total: u64,
    /// Minutes that met the target on their own.
    pub good: u64,
}

/// An incident with whom it was told to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct IncidentView {
    /// Id of the incident.
    pub id: String,
    /// What fired.
    #[serde(flatten)]
    pub alert: AlertView,
    /// Since when and by whom it is acknowledged.
    pub acknowledged_at: Option<String>,
    /// What was wrong, in words.
    pub summary: String,
    /// Who was told, when and how, in order.
    pub notified: Vec<NoticeView>,
}

/// One notice of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NoticeView {
    /// Deterministic id; the key a repeat is known by.
    pub id: String,
    /// `trigger`, `acknowledge` or `resolve`.
    pub kind: String,
    /// Whom.
    pub target: String,
    /// By which channel.
    pub channel: String,
    /// When it was decided.
    pub at: String,
    /// Whether the receiver has taken it.
    pub delivered: bool,
}

/// Everything that the page shows.
pub struct PageModel {
    /// Figures, alerts and books.
    pub overview: Overview,
    /// Every SLO with its charts, in the order of the overview.
    pub details: Vec<Detail>,
    /// Incidents, newest first.
    pub incidents: Vec<IncidentView>,
}
