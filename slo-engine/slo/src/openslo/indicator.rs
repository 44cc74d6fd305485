//! Indicators: a ratio metric whose source is what Headroom counts.

use settings::{Node, Table, Value};

use super::{Slis, metadata, required};
use crate::counts::Sli;

/// What is counted, and what is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indicator {
    pub(super) sli: Sli,
    pub(super) threshold_us: Option<u64>,
}

/// `metricSource.type` of our counts.
const SOURCE: &str = "headroom";

/// Where a document asks for a source that is not ours.
const USE_OURS: &str =
    "use ratioMetric with metricSource.type headroom and metricSource.spec.sli availability or latency";

/// The indicator of an SLO: written there or referred to.
pub(super) fn of_slo(table: &mut Table<'_>, edges_us: &[u64], slis: &Slis) -> Option<Indicator> {
    let (inside, reference) = (table.table("indicator"), table.string("indicatorRef"));
    match (inside, reference) {
        (Some(inside), None) => inline(inside, edges_us),
        (None, Some(name)) => match slis.get(&name) {
            Some(indicator) => *indicator,
            None => {
                let message =
                    format!("metric source not supported: none of the documents is an SLI named {name:?}");
                table.problem("indicatorRef", message);
                None
            }
        },
        (Some(_), Some(_)) => {
            table.problem("indicatorRef", "indicator and indicatorRef are both set; keep one");
            None
        }
        (None, None) => {
            table.problem(
                "indicator",
                format!("metric source not supported: there is no indicator; {USE_OURS}"),
            );
            None
        }
    }
}

fn inline(mut table: Table<'_>, edges_us: &[u64]) -> Option<Indicator> {
    metadata::read(&mut table);
    let indicator = required(&mut table, "spec").and_then(|spec| read(spec, edges_us));
    table.finish();
    indicator
}

/// The spec of an SLI.
pub(super) fn read(mut table: Table<'_>, edges_us: &[u64]) -> Option<Indicator> {
    metadata::description(&mut table);
    if table.node("thresholdMetric").is_some() {
        table.problem(
            "thresholdMetric",
            format!("metric source not supported: a threshold metric; {USE_OURS}"),
        );
        return None;
    }
    let ratio = required(&mut table, "ratioMetric");
    table.finish();
    ratio_metric(ratio?, edges_us)
}

fn ratio_metric(mut table: Table<'_>, edges_us: &[u64]) -> Option<Indicator> {
    if let Some(raw) = ["raw", "rawType"].into_iter().find(|key| table.node(key).is_some()) {
        table.problem(raw, format!("metric source not supported: a raw ratio; {USE_OURS}"));
        return None;
    }
    if table.node("counter").is_some_and(|counter| counter.value != Value::Bool(true)) {
        table.problem("counter", "only counters are kept: true, or leave it out");
    }
    let (good, bad) = (table.table("good"), table.table("bad"));
    let part = match (good, bad) {
        (Some(part), None) | (None, Some(part)) => Some(part),
        (Some(_), Some(_)) => {
            table.problem("bad", "good and bad are both set; keep one");
            None
        }
        (None, None) => {
            table.problem("good", "this key is missing; expected good or bad beside total");
            None
        }
    };
    let total = required(&mut table, "total").and_then(|total| metric(total, edges_us));
    let part = part.and_then(|part| metric(part, edges_us));
    if part.zip(total).is_some_and(|(part, total)| part != total) {
        table.problem("total", "total must name the same sli and thresholdMs as the part of it");
    }
    table.finish();
    part.filter(|part| total == Some(*part))
}

fn metric(mut table: Table<'_>, edges_us: &[u64]) -> Option<Indicator> {
    let source = required(&mut table, "metricSource");
    table.finish();
    let mut source = source?;
    if source.node("metricSourceRef").is_some() {
        source.problem("metricSourceRef", format!("metric source not supported: a reference; {USE_OURS}"));
        return None;
    }
    let kind = source.required_string("type");
    if kind != SOURCE {
        source.problem("type", format!("metric source not supported: {kind:?}; {USE_OURS}"));
        return None;
    }
    let spec = required(&mut source, "spec");
    source.finish();
    our_spec(spec?, edges_us)
}

fn our_spec(mut table: Table<'_>, edges_us: &[u64]) -> Option<Indicator> {
    let sli = table.one_of("sli", &["availability", "latency"], None);
    let threshold = table.node("thresholdMs");
    let indicator = match (sli?, threshold) {
        ("latency", Some(node)) => {
            let threshold_us = threshold_us(&mut table, node, edges_us);
            threshold_us.map(|us| Indicator { sli: Sli::Latency, threshold_us: Some(us) })
        }
        ("latency", None) => {
            table.problem(
                "thresholdMs",
                "this key is missing; expected the latency in milliseconds that is slow",
            );
            None
        }
        (_, Some(_)) => {
            table.problem("thresholdMs", "only sli latency has a threshold; take this key out");
            None
        }
        (_, None) => Some(Indicator { sli: Sli::Availability, threshold_us: None }),
    };
    table.finish();
    indicator
}

/// A threshold that the ladder has an edge for, else it could not be counted exactly.
fn threshold_us(table: &mut Table<'_>, node: &Node, edges_us: &[u64]) -> Option<u64> {
    let us = table.u64("thresholdMs")?.checked_mul(1000).filter(|us| edges_us.contains(us));
    if us.is_none() {
        let allowed: Vec<String> = edges_us.iter().map(|us| (us / 1000).to_string()).collect();
        let message = format!(
            "{} is not a counted latency edge in milliseconds; allowed: {}",
            node.describe(),
            allowed.join(", ")
        );
        table.problem("thresholdMs", message);
    }
    us
}

/// How documents name an SLI.
pub(super) fn word(sli: Sli) -> &'static str {
    match sli {
        Sli::Availability => "availability",
        Sli::Latency => "latency",
    }
}
