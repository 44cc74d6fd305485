//! What stands under each key at the top, as a hash: enough to tell what a changed file changes, without its secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use settings::{Env, Node, Problems, Value};

/// Keys that a running engine takes anew.
const TAKEN: [&str; 6] = ["counts", "dashboards", "escalation", "notifiers", "services", "slos"];

/// A hash of what each key at the top says, and of the files that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections(BTreeMap<String, u64>);

impl Sections {
    pub(super) fn of(root: &Node) -> Self {
        Self(root.entries().iter().map(|(key, node)| (key.clone(), hash(key, node))).collect())
    }

    /// Keys that say something else in `other`, and that a running engine does not take anew.
    pub fn need_restart(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differ = keys.into_iter().filter(|key| self.0.get(*key) != other.0.get(*key));
        differ.filter(|key| !TAKEN.contains(&key.as_str())).cloned().collect()
    }
}

/// A hash of everything that a configuration file says, and of the files that it names. It may be no configuration.
pub fn fingerprint(path: &Path, env: Env<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    content(path).hash(&mut hasher);
    if let Some(root) = settings::load_with(path, env, &Problems::default()) {
        root.entries().iter().for_each(|(key, node)| feed(key, node, &mut hasher));
    }
    hasher.finish()
}

fn hash(key: &str, node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(key, node, &mut hasher);
    hasher.finish()
}

fn feed(key: &str, node: &Node, hasher: &mut DefaultHasher) {
    key.hash(hasher);
    match &node.value {
        Value::Null => 0.hash(hasher),
        Value::Bool(value) => (1, value).hash(hasher),
        Value::Int(value) => (2, value).hash(hasher),
        Value::Float(value) => (3, value.to_bits()).hash(hasher),
        Value::String(text) => {
            (4, text).hash(hasher);
            if key == "slos" || key.ends_with("_file") {
                content(&PathBuf::from(text)).hash(hasher);
            }
        }
        Value::List(items) => {
            (5, items.len()).hash(hasher);
            items.iter().for_each(|item| feed(key, item, hasher));
        }
        Value::Map(entries) => {
            (6, entries.len()).hash(hasher);
            entries.iter().for_each(|(key, node)| feed(key, node, hasher));
        }
    }
}

/// What a file holds; nothing where it cannot be read.
fn content(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}
