//! The fields that panels may name: what the index mappings hold, as data.

/// Type of a field in the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// An instant.
    Date,
    /// Text that is matched whole.
    Keyword,
    /// Text that is searched by its words.
    Text,
    /// An integer.
    Long,
    /// A number.
    Double,
}

/// The fields of the indices whose names begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// How the names of the indices, and of data views over them, begin.
    pub prefix: &'a str,
    /// Name and type of each field.
    pub fields: &'a [(&'a str, FieldType)],
}

/// Results: one document per service, SLO and minute.
pub const RESULTS: Fields<'static> = Fields {
    prefix: "headroom-results-",
    fields: &[
        ("@timestamp", FieldType::Date),
        ("id", FieldType::Keyword),
        ("environment", FieldType::Keyword),
        ("service", FieldType::Keyword),
        ("namespace", FieldType::Keyword),
        ("name", FieldType::Keyword),
        ("slo", FieldType::Keyword),
        ("objective", FieldType::Double),
        ("threshold_ms", FieldType::Double),
        ("total", FieldType::Long),
        ("good", FieldType::Long),
        ("bad", FieldType::Long),
        ("excluded", FieldType::Long),
        ("minute_state", FieldType::Keyword),
        ("sli", FieldType::Double),
        ("budget_remaining", FieldType::Double),
        ("coverage", FieldType::Double),
        ("burn_rate_5m", FieldType::Double),
        ("burn_rate_30m", FieldType::Double),
        ("burn_rate_1h", FieldType::Double),
        ("burn_rate_2h", FieldType::Double),
        ("burn_rate_6h", FieldType::Double),
        ("burn_rate_1d", FieldType::Double),
        ("burn_rate_3d", FieldType::Double),
        ("state", FieldType::Keyword),
    ],
};

/// Log lines: the fields that have the same type everywhere. Labels have another one on each product, and are searched by
/// name: `kubernetes.pod_labels.app`.
pub const LOGS: Fields<'static> = Fields {
    prefix: "headroom-logs-",
    fields: &[
        ("@timestamp", FieldType::Date),
        ("message", FieldType::Text),
        ("stream", FieldType::Keyword),
        ("file", FieldType::Keyword),
        ("kubernetes.pod_namespace", FieldType::Keyword),
        ("kubernetes.pod_name", FieldType::Keyword),
        ("kubernetes.pod_uid", FieldType::Keyword),
        ("kubernetes.container_name", FieldType::Keyword),
        ("kubernetes.pod_ip", FieldType::Keyword),
        ("kubernetes.pod_node_name", FieldType::Keyword),
        ("kubernetes.pod_owner", FieldType::Keyword),
        ("kubernetes.container_image", FieldType::Keyword),
        ("kubernetes.container_id", FieldType::Keyword),
        ("kubernetes.enrichment", FieldType::Keyword),
        ("headroom.stream", FieldType::Keyword),
        ("headroom.offset", FieldType::Long),
        ("headroom.index", FieldType::Long),
    ],
};

/// Counts: no panel reads them, the data view is for whoever searches them by hand.
pub const COUNTS: Fields<'static> = Fields {
    prefix: "headroom-counts-",
    fields: &[
        ("@timestamp", FieldType::Date),
        ("id", FieldType::Keyword),
        ("kind", FieldType::Keyword),
        ("environment", FieldType::Keyword),
        ("stream", FieldType::Keyword),
        ("collector", FieldType::Keyword),
    ],
};

/// All indices.
pub const ALL: [Fields<'static>; 3] = [RESULTS, LOGS, COUNTS];

impl Fields<'_> {
    /// Type of the field `name`.
    pub fn get(&self, name: &str) -> Option<FieldType> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, kind)| *kind)
    }

    /// The alias over the daily indices of an environment. A pattern would also match those of an environment whose name
    /// begins alike.
    pub fn alias(&self, environment: &str) -> String {
        format!("{}{environment}", self.prefix)
    }
}
