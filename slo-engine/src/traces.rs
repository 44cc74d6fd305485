//! The engine's spans: where the way of counted lines ends, and the way of a page from verdict to end; without traces, one
//! branch each.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::store::Change;
use alerts::{Attempt, Incident, Intent, Kind};
use slo::counts::CountsRequest;
use telemetry::traces::{Fact, Hop, Span, SpanKind, Trace, record};

/// The hop that the collector tells when it posts counts.
const POSTED: (&str, &str) = ("post counts", "");

/// The span that all others of an incident are part of; it is told when the incident is over.
const INCIDENT: &str = "incident";

/// Counts are committed.
pub(crate) fn ingested(request: &CountsRequest, begun: Option<SystemTime>) {
    let Some(begun) = begun else { return };
    let facts = vec![Fact::new("headroom.collector", request.collector.clone())];
    let (kind, after) = (SpanKind::Server, Some(POSTED));
    let hop = Hop { name: "ingest", component: "", after, kind, begun, facts, error: None };
    hop.record(request.streams.iter().map(|report| (&*report.stream, report.range.start..report.range.end)));
}

/// What was judged since `begun` is committed since `decided`: tells of each incident with news.
pub(crate) fn decided(changes: &[Change], begun: Option<SystemTime>, decided: Option<SystemTime>) {
    let (Some(begun), Some(decided), Some(committed)) = (begun, decided, telemetry::traces::now()) else {
        return;
    };
    let mut told: BTreeMap<(&str, String), &Intent> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Intent(intent) => {
                told.entry((&intent.incident.0, instant(intent))).or_insert(intent);
            }
            Change::Incident(incident) if !incident.is_open() => over(incident, committed),
            _ => {}
        }
    }
    for intent in told.values() {
        let trace = Trace::of_incident(&intent.incident.0);
        let judge = trace.span(&["judge", &instant(intent)]);
        let span = |name, id, parent, begun, ended| Span {
            trace,
            id,
            parent: Some(parent),
            name,
            kind: SpanKind::Internal,
            begun,
            ended,
            facts: facts(intent),
            error: None,
        };
        record(span("judge", judge, trace.span(&[INCIDENT]), begun, decided));
        record(span("commit", commit_of(intent), judge, decided, committed));
    }
}

/// A message was sent once, with or without success. That a receiver was told again what it knows is no news.
pub(crate) fn attempted(attempt: &Attempt<'_>) {
    let intent = attempt.intent;
    if attempt.refresh && attempt.error.is_none() {
        return;
    }
    let trace = Trace::of_incident(&intent.incident.0);
    let mut facts = facts(intent);
    facts.push(Fact::new("headroom.target", intent.target.clone()));
    facts.push(Fact::new("headroom.channel", intent.channel.0.clone()));
    facts.push(Fact::new("headroom.attempts_before", i64::from(attempt.attempts)));
    record(Span {
        trace,
        id: trace.span(&["notify", &intent.id.0, &attempt.begun.to_string()]),
        parent: Some(commit_of(intent)),
        name: "notify",
        kind: SpanKind::Client,
        begun: attempt.begun.into(),
        ended: attempt.ended.into(),
        facts,
        error: attempt.error.map(ToString::to_string),
    });
}

/// The whole of an incident.
fn over(incident: &Incident, committed: SystemTime) {
    let trace = Trace::of_incident(&incident.id.0);
    let alert = &incident.alert;
    let mut facts = vec![
        Fact::new("headroom.alert", alert.key.clone()),
        Fact::new("headroom.episode", i64::from(incident.episode)),
    ];
    facts.extend(incident.resolved_by.iter().map(|by| Fact::new("headroom.resolved_by", by.clone())));
    record(Span {
        trace,
        id: trace.span(&[INCIDENT]),
        parent: None,
        name: INCIDENT,
        kind: SpanKind::Internal,
        begun: incident.opened_at.into(),
        ended: committed,
        facts,
        error: None,
    });
}

/// All messages about an incident that one commit holds were created at one instant.
fn instant(intent: &Intent) -> String {
    intent.created_at.to_string()
}

fn commit_of(intent: &Intent) -> u64 {
    Trace::of_incident(&intent.incident.0).span(&["commit", &instant(intent)])
}

fn facts(intent: &Intent) -> Vec<Fact> {
    let kind: Kind = intent.kind;
    vec![Fact::new("headroom.alert", intent.alert.key.clone()), Fact::new("headroom.kind", kind.as_str())]
}
