//! The index templates as they must be, and what differs.

use std::collections::{BTreeMap, BTreeSet};

use search::{Client, Environment, Kind, Product, SearchError, template};
use serde::Serialize;
use serde_json::Value;

#[cfg(test)]
mod tests;

/// What Elasticsearch 9 adds to a template and nobody sets.
const OF_THE_SERVER: [&str; 2] = ["created_date_millis", "modified_date_millis"];

/// An index template: what was there, against what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What was found.
    pub found: Found,
    /// What differed, by path; nothing where it was missing as a whole.
    pub changes: Vec<Change>,
}

/// What was found of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// What is wanted.
    AsWanted,
    /// Nothing.
    Missing,
    /// Something else.
    Different,
}

/// A key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path of the key, with dots.
    pub key: String,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Value>,
    /// What is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Value>,
}

impl Template {
    /// Whether nothing had to be done.
    pub fn is_as_wanted(&self) -> bool {
        self.found == Found::AsWanted
    }
}

/// Compares the three templates with what is wanted, and puts those that differ in their place, unless it is a `dry_run`.
/// Indices keep the mappings that they were made with; the next day's index has the new ones.
///
/// # Errors
/// The server does not answer, or refuses.
pub async fn install(
    client: &Client,
    environment: &Environment,
    dry_run: bool,
) -> Result<Vec<Template>, SearchError> {
    let mut templates = Vec::new();
    for kind in Kind::ALL {
        let name = kind.daily(environment).alias().to_owned();
        let path = format!("_index_template/{name}");
        let there = match client.get(&path).await {
            Ok(mut answer) => answer.pointer_mut("/index_templates/0/index_template").map(Value::take),
            Err(error) if error.is_missing() => None,
            Err(error) => return Err(error),
        };
        // Who has what one of the products would have needs nothing; else it is the one that is nearer.
        let wanted = Product::ALL.map(|product| template(kind, environment, product));
        let compare = |there| wanted.iter().map(|wanted| diff(there, wanted)).min_by_key(Vec::len);
        let changes = there.as_ref().and_then(compare);
        let found = match &changes {
            None => Found::Missing,
            Some(changes) if changes.is_empty() => Found::AsWanted,
            Some(_) => Found::Different,
        };
        if found != Found::AsWanted && !dry_run {
            put(client, &path, &wanted).await?;
        }
        templates.push(Template { name, found, changes: changes.unwrap_or_default() });
    }
    Ok(templates)
}

/// Puts the first template that the server takes: one of the other product's is refused (400) for a type that it lacks.
async fn put(client: &Client, path: &str, wanted: &[Value]) -> Result<(), SearchError> {
    let mut refusal = None;
    for template in wanted {
        match client.put(path, template).await {
            Ok(_) => return Ok(()),
            Err(SearchError::Refused { status: 400, reason }) => {
                refusal.get_or_insert(SearchError::Refused { status: 400, reason });
            }
            Err(error) => return Err(error),
        }
    }
    refusal.map_or(Ok(()), Err)
}

/// Every key in which the two differ.
pub fn diff(there: &Value, wanted: &Value) -> Vec<Change> {
    let (mut there, wanted) = (leaves(there), leaves(wanted));
    there.retain(|key, _| !OF_THE_SERVER.contains(&key.as_str()));
    let keys: BTreeSet<&String> = there.keys().chain(wanted.keys()).collect();
    let differ = keys.into_iter().filter(|key| there.get(*key) != wanted.get(*key));
    differ
        .map(|key| Change {
            key: key.clone(),
            there: there.get(key).cloned(),
            wanted: wanted.get(key).cloned(),
        })
        .collect()
}

/// Values by path. An empty list says nothing: servers give back lists that nobody set.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, value, leaves);
                }
            }
            Value::Array(items) if items.is_empty() => {}
            value => {
                leaves.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", value, &mut found);
    found
}

/// What was found and done, for people.
pub fn text(templates: &[Template], dry_run: bool) -> String {
    let mut text = String::new();
    for template in templates {
        let done = match (template.found, dry_run) {
            (Found::AsWanted, _) => "as wanted",
            (Found::Missing, true) => "missing, would be installed",
            (Found::Missing, false) => "missing, installed",
            (Found::Different, true) => "different, would be replaced",
            (Found::Different, false) => "different, replaced",
        };
        text.push_str(&format!("index template {}: {done}\n", template.name));
        for Change { key, there, wanted } in &template.changes {
            let show = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
            text.push_str(&format!("  {key}: {} → {}\n", show(there), show(wanted)));
        }
    }
    if templates.iter().all(Template::is_as_wanted) {
        text.push_str("nothing to do\n");
    }
    text
}
