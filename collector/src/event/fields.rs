//! The view that VRL and JSON sinks have of an event: the fields that Vector's sources give.

use chrono::DateTime;
use slo::counts::{Counts, Origin, ServiceRef};
use vrl::value::{ObjectMap, Value};

use super::{Body, Event, Hit, Metadata, Pod, RequestHit, Stdio};

impl Event {
    /// The event as an object: `message`, `file`, `source_type`, and where known `timestamp`, `stream` and
    /// `kubernetes`. Once a transform made fields, they are the whole object. A judged line has `sli` in place of
    /// `message`. A message that is not UTF-8 stays the bytes it is.
    pub fn to_value(&self) -> Value {
        let mut fields = match &self.body {
            Body::Fields(value) => return (**value).clone(),
            Body::Line(line) => ObjectMap::from([("message".into(), Value::Bytes(line.clone()))]),
            Body::Hit(hit) => ObjectMap::from([("sli".into(), hit_value(hit))]),
        };
        let stream = &self.place.stream;
        fields.insert("file".into(), stream.path.as_str().into());
        fields.insert("source_type".into(), self.source_type().into());
        if let Some(pod) = &stream.pod {
            fields.insert("kubernetes".into(), pod_value(pod, stream.metadata.as_deref()));
        }
        if let Some(stdio) = self.stdio {
            fields.insert("stream".into(), stdio.as_str().into());
        }
        if let Some(time) = self.time.and_then(timestamp) {
            fields.insert("timestamp".into(), time);
        }
        Value::Object(fields)
    }

    fn source_type(&self) -> &'static str {
        match (&self.place.stream.pod, self.place.stream.path.as_str()) {
            (Some(_), _) => "kubernetes_logs",
            (None, "stdin") => "stdin",
            (None, _) => "file",
        }
    }
}

impl Stdio {
    /// The name in CRI files and in the field `stream`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stdio::Stdout => "stdout",
            Stdio::Stderr => "stderr",
        }
    }
}

fn timestamp(time: jiff::Timestamp) -> Option<Value> {
    // jiff's fraction of a second has the sign of the time; chrono's always counts upwards.
    let (nanosecond, second) = match time.subsec_nanosecond() {
        below if below < 0 => (below + 1_000_000_000, time.as_second() - 1),
        nanosecond => (nanosecond, time.as_second()),
    };
    DateTime::from_timestamp(second, u32::try_from(nanosecond).ok()?).map(Value::Timestamp)
}

fn pod_value(pod: &Pod, metadata: Option<&Metadata>) -> Value {
    let mut fields = metadata.map(|metadata| metadata.fields().clone()).unwrap_or_default();
    let of_path = [
        ("pod_namespace", &pod.namespace),
        ("pod_name", &pod.name),
        ("pod_uid", &pod.uid),
        ("container_name", &pod.container),
    ];
    for (name, value) in of_path {
        fields.insert(name.into(), value.as_str().into());
    }
    Value::Object(fields)
}

fn hit_value(hit: &Hit) -> Value {
    match hit {
        Hit::Request(request) => request_value(request),
        Hit::Ignored => object([("result", "ignored".into())]),
        Hit::Unparsed => object([("result", "unparsed".into())]),
    }
}

fn request_value(hit: &RequestHit) -> Value {
    let origin = match hit.origin {
        Origin::Ingress => "ingress",
        Origin::Application => "application",
    };
    let duration = hit.duration_us.and_then(|duration| i64::try_from(duration).ok());
    object([
        ("result", "request".into()),
        ("service", service_value(&hit.service)),
        ("origin", origin.into()),
        ("counted_ms", hit.counted_ms.into()),
        ("ended_ms", hit.ended_ms.into()),
        ("availability", counts_value(&hit.availability)),
        ("latency", hit.latency.as_ref().map_or(Value::Null, counts_value)),
        ("duration_us", duration.map_or(Value::Null, Value::from)),
        ("late", hit.late.into()),
    ])
}

fn service_value(service: &ServiceRef) -> Value {
    match service {
        ServiceRef::Named { namespace, name } => {
            object([("namespace", namespace.as_str().into()), ("name", name.as_str().into())])
        }
        ServiceRef::Upstream(upstream) => object([("upstream", upstream.as_str().into())]),
        ServiceRef::Unattributed => "unattributed".into(),
    }
}

fn counts_value(counts: &Counts) -> Value {
    let number = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
    object([
        ("total", number(counts.total)),
        ("bad", number(counts.bad)),
        ("excluded", number(counts.excluded)),
    ])
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(time: &str) {
        let value = timestamp(time.parse().unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&value).unwrap(), time);
    }

    #[test]
    fn times_keep_their_nanoseconds_before_1970_too() {
        check("2026-01-02T03:04:05.000000006Z");
        check("1970-01-01T00:00:00Z");
        check("1969-12-31T23:59:59.500Z");
        check("0001-01-01T00:00:00.000000001Z");
    }
}
