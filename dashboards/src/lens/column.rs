//! Columns: one operation each, on one field.

use serde_json::{Value, json};

/// The field that is every document.
pub(crate) const RECORDS: &str = "___records___";

/// The field that time is read from.
pub(crate) const TIME: &str = "@timestamp";

/// A column of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Name within its layer.
    pub(crate) id: String,
    /// What readers see.
    pub(crate) label: String,
    /// What is computed.
    pub(crate) operation: Operation,
    /// How numbers are written.
    pub(crate) format: Format,
}

/// What a column computes.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Buckets of time, as wide as the time range asks for.
    Time,
    /// A bucket for each of the first `size` values of a field.
    Terms { field: &'static str, size: usize, order: Order },
    /// One number of a field.
    Metric(Metric, &'static str),
    /// A number of the newest document.
    LastNumber(&'static str),
    /// A word of the newest document.
    LastWord(&'static str),
    /// How many documents there are.
    Count,
    /// A number that is given.
    Static(String),
}

/// How numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    Sum,
    Max,
    Min,
}

/// Which values come first.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// By the value itself.
    Alphabetical,
    /// By another column.
    By(String, Direction),
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As Kibana does.
    Plain,
    /// A share as a percentage with so many decimals.
    Percent(u8),
    /// With so many decimals.
    Number(u8),
}

impl Column {
    pub(crate) fn new(id: &str, label: impl Into<String>, operation: Operation) -> Self {
        Self { id: id.to_owned(), label: label.into(), operation, format: Format::Plain }
    }

    pub(crate) fn with(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Buckets of time.
    pub(crate) fn time() -> Self {
        Self::new("time", "Time", Operation::Time)
    }

    pub(crate) fn is_bucketed(&self) -> bool {
        matches!(self.operation, Operation::Time | Operation::Terms { .. })
    }

    pub(crate) fn json(&self) -> Value {
        let (operation, data, scale) = self.operation.kind();
        let mut column = json!({
            "customLabel": true,
            "dataType": data,
            "isBucketed": self.is_bucketed(),
            "label": self.label,
            "operationType": operation,
            "params": self.operation.params(),
            "scale": scale,
        });
        match self.operation.field() {
            Some(field) => column["sourceField"] = field.into(),
            None => {
                column["isStaticValue"] = true.into();
                column["references"] = json!([]);
            }
        }
        if let Some(format) = self.format.json() {
            column["params"]["format"] = format;
        }
        column
    }
}

impl Operation {
    /// Operation, type and scale, as Lens calls them.
    fn kind(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Time => ("date_histogram", "date", "interval"),
            Self::Terms { .. } => ("terms", "string", "ordinal"),
            Self::Metric(metric, _) => (metric.name(), "number", "ratio"),
            Self::LastNumber(_) => ("last_value", "number", "ratio"),
            Self::LastWord(_) => ("last_value", "string", "ordinal"),
            Self::Count => ("count", "number", "ratio"),
            Self::Static(_) => ("static_value", "number", "ratio"),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Time => Some(TIME),
            Self::Count => Some(RECORDS),
            Self::Terms { field, .. }
            | Self::Metric(_, field)
            | Self::LastNumber(field)
            | Self::LastWord(field) => Some(field),
            Self::Static(_) => None,
        }
    }

    fn params(&self) -> Value {
        match self {
            // Empty buckets are kept: a gap must be seen as one.
            Self::Time => json!({ "dropPartials": false, "includeEmptyRows": true, "interval": "auto" }),
            Self::Terms { size, order, .. } => {
                let (by, direction) = order.json();
                json!({
                    "exclude": [], "excludeIsRegex": false, "include": [], "includeIsRegex": false,
                    "missingBucket": false, "orderBy": by, "orderDirection": direction,
                    "otherBucket": false, "parentFormat": { "id": "terms" }, "size": size,
                })
            }
            Self::Metric(Metric::Sum, _) | Self::Count => json!({ "emptyAsNull": true }),
            Self::Metric(..) => json!({}),
            Self::LastNumber(_) | Self::LastWord(_) => json!({ "showArrayValues": false, "sortField": TIME }),
            Self::Static(value) => json!({ "value": value }),
        }
    }
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

impl Order {
    fn json(&self) -> (Value, &'static str) {
        match self {
            Self::Alphabetical => (json!({ "fallback": false, "type": "alphabetical" }), "asc"),
            Self::By(column, direction) => {
                (json!({ "columnId": column, "type": "column" }), direction.name())
            }
        }
    }
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

impl Format {
    fn json(self) -> Option<Value> {
        let (id, decimals) = match self {
            Self::Plain => return None,
            Self::Percent(decimals) => ("percent", decimals),
            Self::Number(decimals) => ("number", decimals),
        };
        Some(json!({ "id": id, "params": { "decimals": decimals } }))
    }
}
