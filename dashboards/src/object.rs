//! Saved objects: what Kibana stores, exports and imports, one JSON object a line.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// All ids are made below this one.
const NAMESPACE: Uuid = Uuid::from_u128(0x8d3a_51f2_6c1e_4b60_9d7a_2f04_b1c6_e59d);

/// Version of the envelope that every object is written in; later Kibanas migrate it.
pub const CORE_MIGRATION_VERSION: &str = "8.8.0";

/// The kinds of saved objects that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Which indices a panel reads; Kibana stores it as `index-pattern`.
    DataView,
    /// A list of documents, filtered.
    Search,
    /// A dashboard with its panels.
    Dashboard,
}

/// An object that another one needs, by the name that the other one calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// As it is called where it is used.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
}

/// One saved object.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedObject {
    /// What it is.
    pub kind: Kind,
    /// UUIDv5 of space, environment, kind and name.
    pub id: String,
    /// What it holds; JSON within JSON is text, as Kibana wants it.
    pub attributes: Value,
    /// What it needs.
    pub references: Vec<Reference>,
}

/// Where objects belong: they are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Kibana space.
    pub space: &'a str,
    /// Environment of the indices.
    pub environment: &'a str,
}

impl Kind {
    /// All of them, in the order in which they are imported: what is needed first.
    pub const ALL: [Self; 3] = [Self::DataView, Self::Search, Self::Dashboard];

    /// As Kibana calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataView => "index-pattern",
            Self::Search => "search",
            Self::Dashboard => "dashboard",
        }
    }

    /// The version of its attributes; Kibana refuses what is newer than itself and migrates what is older.
    pub fn migration_version(self) -> &'static str {
        match self {
            Self::DataView | Self::Search => "8.0.0",
            Self::Dashboard => "8.9.0",
        }
    }
}

impl Scope<'_> {
    /// The same for the same object, whenever and wherever it is rendered.
    pub fn id(self, kind: Kind, name: &str) -> String {
        let path = [self.space, self.environment, kind.name(), name].join("\0");
        Uuid::new_v5(&NAMESPACE, path.as_bytes()).to_string()
    }
}

impl Reference {
    pub(crate) fn new(name: impl Into<String>, kind: Kind, id: impl Into<String>) -> Self {
        Self { name: name.into(), kind, id: id.into() }
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "name": self.name, "type": self.kind.name(), "id": self.id })
    }
}

impl SavedObject {
    /// Its line, without the line end; the same bytes for the same object.
    pub fn line(&self) -> String {
        let references: Vec<Value> = self.references.iter().map(Reference::json).collect();
        text(json!({
            "attributes": self.attributes,
            "coreMigrationVersion": CORE_MIGRATION_VERSION,
            "id": self.id,
            "references": references,
            "type": self.kind.name(),
            "typeMigrationVersion": self.kind.migration_version(),
        }))
    }

    /// Its title.
    pub fn title(&self) -> &str {
        self.attributes["title"].as_str().unwrap_or_default()
    }
}

/// Objects as Kibana imports them: one a line.
pub fn ndjson<'a>(objects: impl IntoIterator<Item = &'a SavedObject>) -> String {
    objects.into_iter().map(|object| object.line() + "\n").collect()
}

/// JSON whose keys are sorted, whichever map serde_json was built with.
pub(crate) fn text(value: Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain => plain,
    }
}
