//! Index templates: what the servers must know of each kind before its first document comes.

use serde_json::{Value, json};

use crate::name::{Environment, Kind};

/// Above what other products bring (100 to 500), so that ours always apply to our own names.
const PRIORITY: usize = 1000;

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    OpenSearch,
}

impl Product {
    /// Both. A server says that it is the other one by refusing a template: it does not know the type of a field.
    pub const ALL: [Self; 2] = [Self::Elasticsearch, Self::OpenSearch];
}

/// The composable index template of a kind, to be put at `_index_template/<alias>`, written as the servers give it back,
/// so that it can be compared. The products differ in one type: an object whose names are taken as they come, dots and
/// all, is `flattened` here and `flat_object` there.
///
/// No field is ever added to a mapping (`dynamic: false`): whatever one document looks like, it cannot make another one
/// be refused. What is not mapped is in the document, but not searched.
pub fn template(kind: Kind, environment: &Environment, product: Product) -> Value {
    let daily = kind.daily(environment);
    let mut settings = json!({
        "number_of_shards": "1",
        "auto_expand_replicas": "0-1",
        "mapping": {"ignore_malformed": "true"},
    });
    if kind == Kind::Logs {
        settings["codec"] = "best_compression".into();
        settings["refresh_interval"] = "5s".into();
    }
    json!({
        "index_patterns": [daily.wildcard()],
        // Of two environments, one of which begins as the other, the longer one's is the closer match.
        "priority": PRIORITY + environment.as_str().len(),
        "template": {
            "settings": {"index": settings},
            "mappings": {"dynamic": "false", "properties": properties(kind, product)},
            "aliases": {daily.alias(): {}},
        },
        "_meta": {"managed_by": "headroom"},
    })
}

fn properties(kind: Kind, product: Product) -> Value {
    match kind {
        Kind::Logs => logs(product),
        Kind::Counts => counts(),
        Kind::Results => results(),
    }
}

fn keyword() -> Value {
    // A term of over 32,766 bytes would be refused.
    json!({"type": "keyword", "ignore_above": 1024})
}

/// Labels: `app` and `app.kubernetes.io/name` may stand in one object.
fn labels(product: Product) -> Value {
    match product {
        Product::Elasticsearch => json!({"type": "flattened", "ignore_above": 1024}),
        // It has no such limit to set; no label is long.
        Product::OpenSearch => json!({"type": "flat_object"}),
    }
}

fn logs(product: Product) -> Value {
    json!({
        "@timestamp": {"type": "date_nanos"},
        "message": {"type": "text"},
        "stream": keyword(),
        "file": keyword(),
        "kubernetes": {"properties": {
            "pod_namespace": keyword(),
            "pod_name": keyword(),
            "pod_uid": keyword(),
            "pod_ip": keyword(),
            "pod_node_name": keyword(),
            "pod_owner": keyword(),
            "pod_labels": labels(product),
            "container_name": keyword(),
            "container_image": keyword(),
            "container_id": keyword(),
            "namespace_labels": labels(product),
            "node_labels": labels(product),
            "enrichment": keyword(),
        }},
        "headroom": {"properties": {
            "stream": keyword(),
            "offset": {"type": "long"},
            "index": {"type": "long"},
        }},
    })
}

fn counts() -> Value {
    json!({
        "@timestamp": {"type": "date"},
        "id": keyword(),
        "kind": keyword(),
        "environment": keyword(),
        "stream": keyword(),
        "collector": keyword(),
    })
}

fn results() -> Value {
    let (long, double) = (json!({"type": "long"}), json!({"type": "double"}));
    let mut properties = json!({
        "@timestamp": {"type": "date"},
        "id": keyword(),
        "environment": keyword(),
        "service": keyword(),
        "namespace": keyword(),
        "name": keyword(),
        "slo": keyword(),
        "objective": double,
        "threshold_ms": double,
        "minute_state": keyword(),
        "state": keyword(),
    });
    for name in ["total", "good", "bad", "excluded"] {
        properties[name] = long.clone();
    }
    for name in ["sli", "budget_remaining", "coverage"] {
        properties[name] = double.clone();
    }
    for window in ["5m", "30m", "1h", "2h", "6h", "1d", "3d"] {
        properties[format!("burn_rate_{window}")] = double.clone();
    }
    properties
}
