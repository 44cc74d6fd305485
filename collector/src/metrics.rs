//! Every metric of the collector, under the names that Vector publishes.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use telemetry::register;

/// The collector's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    received: IntCounterVec,
    sent: IntCounterVec,
    discarded: IntCounterVec,
    errors: IntCounterVec,
    buffered: IntGaugeVec,
    delivered_to: IntGaugeVec,
    buffer_bytes: IntGaugeVec,
    buffer_discarded: IntCounterVec,
    watch_errors: IntCounterVec,
    not_annotated: IntCounterVec,
    excluded_files: IntGaugeVec,
}

/// The metrics of one component.
#[derive(Clone, Debug)]
pub struct ComponentMetrics {
    metrics: Metrics,
    labels: [String; 3],
}

/// Values of the label `error_type`.
pub const ERROR_TYPES: [&str; 11] = [
    "broken",
    "buffer_damaged",
    "buffer_failed",
    "buffer_full",
    "dead_lettered",
    "lagging",
    "lost",
    "read_failed",
    "refused",
    "request_failed",
    "truncated",
];

/// Values of the label `kind`.
pub const WATCHED: [&str; 3] = ["pods", "namespaces", "nodes"];

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        const COMPONENT: [&str; 3] = ["component_id", "component_kind", "component_type"];
        let counter = |name, help, more: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), &[&COMPONENT[..], more].concat()))
        };
        let gauge = |name, help| register(registry, IntGaugeVec::new(Opts::new(name, help), &COMPONENT));
        Ok(Self {
            received: counter("component_received_events_total", "Events that the component took.", &[])?,
            sent: counter("component_sent_events_total", "Events that the component gave on.", &[])?,
            discarded: counter(
                "component_discarded_events_total",
                "Events that the component left out; intentional as configured, else because of an error.",
                &["intentional"],
            )?,
            errors: counter("component_errors_total", "Errors that the component met.", &["error_type"])?,
            buffered: gauge("buffer_events", "Events between a source and this sink's receiver.")?,
            buffer_bytes: gauge("buffer_byte_size", "Bytes of this sink's buffer on disk.")?,
            delivered_to: gauge(
                "component_delivered_to_timestamp_seconds",
                "What was written before this instant and could be read, this sink has delivered; 0 until it has caught up.",
            )?,
            buffer_discarded: counter(
                "buffer_discarded_events_total",
                "Events that the sink's buffer dropped because it was full, as configured.",
                &["intentional"],
            )?,
            watch_errors: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "kubernetes_watch_errors_total",
                        "Tries to list or watch a kind of object that failed.",
                    ),
                    &["kind"],
                ),
            )?,
            not_annotated: counter(
                "k8s_event_annotation_failures_total",
                "Lines that went on while something of their pod was not known.",
                &[],
            )?,
            excluded_files: gauge(
                "kubernetes_excluded_files",
                "Log files that are not read because an annotation of their pod or namespace says so.",
            )?,
        })
    }

    /// A try to list or watch a kind of object failed.
    pub fn watch_error(&self, kind: &str) {
        self.watch_errors.with_label_values(&[kind]).inc();
    }

    /// The metrics of a source that asks the API server, all at zero.
    pub fn of_cluster(&self, component: &ComponentMetrics) {
        WATCHED.iter().for_each(|kind| self.watch_errors.with_label_values(&[*kind]).inc_by(0));
        component.not_annotated(0);
        component.excluded_files(0);
    }

    /// The metrics of a component, all at zero.
    pub fn component(&self, id: &str, kind: &str, r#type: &str) -> ComponentMetrics {
        let component =
            ComponentMetrics { metrics: self.clone(), labels: [id.into(), kind.into(), r#type.into()] };
        component.received(0);
        component.sent(0);
        component.discarded(0, true);
        component.discarded(0, false);
        ERROR_TYPES.iter().for_each(|error| component.errors(error, 0));
        if kind == "sink" {
            component.buffered(0);
            component.delivered_to(0);
            component.buffer_bytes(0);
            component.buffer_discarded(0);
        }
        component
    }
}

impl ComponentMetrics {
    /// Events were taken.
    pub fn received(&self, events: u64) {
        self.metrics.received.with_label_values(&self.labels).inc_by(events);
    }

    /// Events were given on.
    pub fn sent(&self, events: u64) {
        self.metrics.sent.with_label_values(&self.labels).inc_by(events);
    }

    /// Events were left out.
    pub fn discarded(&self, events: u64, intentional: bool) {
        let [id, kind, r#type] = &self.labels;
        let intentional = if intentional { "true" } else { "false" };
        self.metrics.discarded.with_label_values(&[id, kind, r#type, intentional]).inc_by(events);
    }

    /// Something went wrong; one of [`ERROR_TYPES`].
    pub fn error(&self, error_type: &str) {
        self.errors(error_type, 1);
    }

    /// So many more events, or fewer, are on their way to the sink.
    pub fn buffered(&self, events: i64) {
        self.metrics.buffered.with_label_values(&self.labels).add(events);
    }

    /// So many bytes are in the sink's buffer on disk.
    pub fn buffer_bytes(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.buffer_bytes.with_label_values(&self.labels).set(bytes);
    }

    /// The sink's buffer was full, and dropped events as configured.
    pub fn buffer_discarded(&self, events: u64) {
        let [id, kind, r#type] = &self.labels;
        self.metrics.buffer_discarded.with_label_values(&[id, kind, r#type, "true"]).inc_by(events);
    }

    /// Everything that was written before the instant (ms since 1970) and could be read is delivered.
    pub fn delivered_to(&self, at_ms: i64) {
        self.metrics.delivered_to.with_label_values(&self.labels).set(at_ms.div_euclid(1000));
    }

    /// Lines went on while something of their pod was not known.
    pub fn not_annotated(&self, lines: u64) {
        self.metrics.not_annotated.with_label_values(&self.labels).inc_by(lines);
    }

    /// So many files are not read because an annotation says so.
    pub fn excluded_files(&self, files: usize) {
        let files = i64::try_from(files).unwrap_or(i64::MAX);
        self.metrics.excluded_files.with_label_values(&self.labels).set(files);
    }

    fn errors(&self, error_type: &str, count: u64) {
        let [id, kind, r#type] = &self.labels;
        self.metrics.errors.with_label_values(&[id, kind, r#type, error_type]).inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_of_a_component_is_there_at_zero() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.component("out", "sink", "console").sent(3);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let labels = "component_id=\"out\",component_kind=\"sink\",component_type=\"console\"";
        assert!(text.contains(&format!("component_sent_events_total{{{labels}}} 3")), "{text}");
        assert!(
            text.contains(&format!("component_errors_total{{{labels},error_type=\"truncated\"}} 0")),
            "{text}"
        );
    }
}
