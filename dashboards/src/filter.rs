//! Filters as Elasticsearch queries, so that no name of a service must be escaped.

use serde_json::{Value, json};

/// What a panel is narrowed to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// A field that is exactly this.
    Is(&'static str, String),
    /// A query of its own, with the words that Kibana shows for it.
    Query(&'static str, Value),
}

impl Filter {
    /// As Kibana keeps it. `index` is the key and the value that name the data view: they differ by kind of object.
    pub(crate) fn json(&self, index: (&str, &str)) -> Value {
        let mut filter = match self {
            Self::Is(field, value) => json!({
                "meta": {
                    "alias": null, "disabled": false, "key": field, "negate": false,
                    "params": { "query": value }, "type": "phrase",
                },
                "query": { "match_phrase": { *field: value } },
            }),
            Self::Query(alias, query) => json!({
                "meta": {
                    "alias": alias, "disabled": false, "key": "query", "negate": false,
                    "type": "custom", "value": query.to_string(),
                },
                "query": query,
            }),
        };
        filter["$state"] = json!({ "store": "appState" });
        filter["meta"][index.0] = index.1.into();
        filter
    }
}
