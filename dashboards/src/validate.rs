//! Whether an export holds together: Kibana takes a broken one and shows empty panels.
//!
//! It reads the text as Kibana would, and knows nothing of how it was rendered.

mod board;
mod drawing;
mod layer;
mod source;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::fields::Fields;
use crate::object::{CORE_MIGRATION_VERSION, Kind};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line of the object, from 1.
    pub line: usize,
    /// Where in the object: `panel "budget": column "sli"`.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, place, message } = self;
        if place.is_empty() {
            write!(f, "{line}: {message}")
        } else {
            write!(f, "{line}: {place}: {message}")
        }
    }
}

/// Everything that is wrong with an export whose panels read indices with these `fields`; nothing when Kibana can show
/// all of it.
pub fn validate(ndjson: &str, fields: &[Fields<'_>]) -> Vec<Problem> {
    let problems = RefCell::default();
    let lines = ndjson.lines().enumerate();
    let parsed: Vec<(usize, Value)> =
        lines.filter_map(|(at, text)| Some((at + 1, parse(text, at + 1, &problems)?))).collect();
    let objects: Vec<Object<'_>> =
        parsed.iter().filter_map(|(line, value)| Object::open(*line, value, &problems)).collect();
    let export = Export::new(&objects, fields);
    for object in &objects {
        object.check(&export);
    }
    let mut problems = problems.into_inner();
    problems.sort_by_key(|problem: &Problem| problem.line);
    problems
}

fn parse(text: &str, line: usize, problems: &RefCell<Vec<Problem>>) -> Option<Value> {
    let parsed = serde_json::from_str(text);
    let wrong = |error: serde_json::Error| {
        let message = format!("not JSON: {error}");
        problems.borrow_mut().push(Problem { line, place: String::new(), message });
    };
    parsed.map_err(wrong).ok()
}

/// All objects together.
struct Export<'a> {
    /// Kind, as Kibana calls it, and id.
    ids: BTreeSet<(&'a str, &'a str)>,
    /// Fields by the id of the data view.
    views: BTreeMap<&'a str, Fields<'a>>,
}

/// One object.
struct Object<'a> {
    line: usize,
    kind: Kind,
    id: &'a str,
    value: &'a Value,
    /// Kind and id by name.
    references: BTreeMap<&'a str, (&'a str, &'a str)>,
    used: RefCell<BTreeSet<String>>,
    problems: &'a RefCell<Vec<Problem>>,
}

/// A place within an object.
struct Place<'a> {
    object: &'a Object<'a>,
    export: &'a Export<'a>,
    path: String,
}

impl<'a> Export<'a> {
    fn new(objects: &[Object<'a>], fields: &'a [Fields<'a>]) -> Self {
        let mut export = Self { ids: BTreeSet::new(), views: BTreeMap::new() };
        for object in objects {
            if !export.ids.insert((object.kind.name(), object.id)) {
                object.problem("", format!("{} {} stands twice", object.kind.name(), object.id));
            }
            if object.kind == Kind::DataView {
                let title = text(&object.value["attributes"]["title"]);
                match fields.iter().find(|fields| title.starts_with(fields.prefix)) {
                    Some(known) => drop(export.views.insert(object.id, *known)),
                    None => object.problem("", format!("no known index is called {title:?}")),
                }
            }
        }
        export
    }
}

impl<'a> Object<'a> {
    fn open(line: usize, value: &'a Value, problems: &'a RefCell<Vec<Problem>>) -> Option<Self> {
        let name = text(&value["type"]);
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == name) else {
            let message = format!("type {name:?} is none of ours");
            problems.borrow_mut().push(Problem { line, place: String::new(), message });
            return None;
        };
        let id = text(&value["id"]);
        let object =
            Self { line, kind, id, value, references: BTreeMap::new(), used: RefCell::default(), problems };
        Some(object.with_references())
    }

    fn with_references(mut self) -> Self {
        for reference in list(&self.value["references"]) {
            let name = text(&reference["name"]);
            let target = (text(&reference["type"]), text(&reference["id"]));
            if self.references.insert(name, target).is_some() {
                self.problem("references", format!("{name:?} stands twice"));
            }
        }
        self
    }

    fn problem(&self, place: &str, message: impl Into<String>) {
        let problem = Problem { line: self.line, place: place.to_owned(), message: message.into() };
        self.problems.borrow_mut().push(problem);
    }

    fn check(&'a self, export: &'a Export<'a>) {
        self.check_envelope();
        let place = Place { object: self, export, path: String::new() };
        let attributes = &self.value["attributes"];
        if text(&attributes["title"]).is_empty() {
            place.problem("has no title");
        }
        match self.kind {
            Kind::DataView => view(attributes, &place),
            Kind::Search => source::search(attributes, &place),
            Kind::Dashboard => board::board(attributes, &place),
        }
        for (name, (kind, id)) in &self.references {
            if !export.ids.contains(&(*kind, *id)) {
                self.problem("references", format!("{name:?}: there is no {kind} {id}"));
            }
            if !self.used.borrow().contains(*name) {
                self.problem("references", format!("nothing uses {name:?}"));
            }
        }
    }

    fn check_envelope(&self) {
        if uuid::Uuid::try_parse(self.id).is_err() {
            self.problem("id", format!("{:?} is not a UUID", self.id));
        }
        let versions = [
            ("coreMigrationVersion", CORE_MIGRATION_VERSION),
            ("typeMigrationVersion", self.kind.migration_version()),
        ];
        for (key, want) in versions {
            let is = text(&self.value[key]);
            if is != want {
                self.problem(key, format!("is {is:?}, not {want}"));
            }
        }
    }
}

fn view(attributes: &Value, place: &Place<'_>) {
    for key in ["fields", "fieldAttrs", "fieldFormatMap", "runtimeFieldMap", "sourceFilters", "typeMeta"] {
        place.json(attributes, key);
    }
    if let Some(fields) = place.export.views.get(place.object.id) {
        place.date(*fields, text(&attributes["timeFieldName"]));
    }
}

impl<'a> Place<'a> {
    fn problem(&self, message: impl Into<String>) {
        self.object.problem(&self.path, message);
    }

    /// A place within this one.
    fn at(&self, what: impl fmt::Display) -> Self {
        let path = if self.path.is_empty() { what.to_string() } else { format!("{}: {what}", self.path) };
        Self { object: self.object, export: self.export, path }
    }

    /// JSON that stands as text under `key`.
    fn json(&self, parent: &Value, key: &str) -> Option<Value> {
        let place = self.at(key);
        let Some(json) = parent[key].as_str() else {
            place.problem("is not there as text");
            return None;
        };
        serde_json::from_str(json).map_err(|error| place.problem(format!("not JSON: {error}"))).ok()
    }

    /// Id of what the object calls `name`.
    fn resolve(&self, kind: Kind, name: &str) -> Option<&'a str> {
        self.object.used.borrow_mut().insert(name.to_owned());
        match self.object.references.get(name) {
            Some((found, id)) if *found == kind.name() => Some(id),
            Some((found, _)) => {
                self.problem(format!("reference {name:?} is a {found}, not a {}", kind.name()));
                None
            }
            None => {
                self.problem(format!("there is no reference {name:?}"));
                None
            }
        }
    }

    /// Fields of the data view that the object calls `name`.
    fn view(&self, name: &str) -> Option<Fields<'a>> {
        let id = self.resolve(Kind::DataView, name)?;
        self.export.views.get(id).copied()
    }

    fn date(&self, fields: Fields<'_>, name: &str) {
        if fields.get(name) != Some(crate::fields::FieldType::Date) {
            self.problem(format!("{}* has no date field {name:?}", fields.prefix));
        }
    }
}

/// Text, or nothing.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Items, or none.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
