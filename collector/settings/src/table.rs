//! Reads the keys of a map one by one; every mistake goes to the problems, so that all of them are found in one run.

mod scalar;

use std::time::Duration;

use crate::close_match::close_match;
use crate::node::{Node, Value};
use crate::variables::Origin;
use crate::{Problem, Problems};

/// A map that is being read. It remembers which keys were asked for: those are the allowed ones.
pub struct Table<'a> {
    node: &'a Node,
    problems: &'a Problems,
    asked: Vec<String>,
}

impl<'a> Table<'a> {
    /// A reader of `node`'s keys; that it is not a map is a problem.
    pub fn new(node: &'a Node, problems: &'a Problems) -> Table<'a> {
        if !matches!(node.value, Value::Map(_)) {
            problems.push(Problem::at(node, format!("expected a table, found {}", node.describe())));
        }
        Table { node, problems, asked: Vec::new() }
    }

    /// Where this table stands.
    pub fn place(&self) -> &'a Node {
        self.node
    }

    /// Where the mistakes go.
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// Any value; nothing when the key is not there.
    pub fn node(&mut self, key: &str) -> Option<&'a Node> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.node.get(key)
    }

    /// Text.
    pub fn string(&mut self, key: &str) -> Option<String> {
        let node = self.node(key)?;
        self.text(node).map(str::to_owned)
    }

    /// Text that must be there and not be empty; empty text stands in where it is not.
    pub fn required_string(&mut self, key: &str) -> String {
        let Some(node) = self.node(key) else {
            self.missing(key, "text");
            return String::new();
        };
        let text = self.text(node).unwrap_or_default();
        if text.is_empty() && node.as_str().is_some() && node.origin != Origin::Missing {
            self.problems.push(Problem::at(node, "expected text, found empty text"));
        }
        text.to_owned()
    }

    /// Text, or `default`.
    pub fn string_or(&mut self, key: &str, default: &str) -> String {
        self.string(key).unwrap_or_else(|| default.to_owned())
    }

    /// A list of texts, or one text alone; empty when the key is not there.
    pub fn strings(&mut self, key: &str) -> Vec<String> {
        self.texts(key).into_iter().filter_map(Node::as_str).map(str::to_owned).collect()
    }

    /// Like [`Table::strings`], with the place of each.
    pub fn texts(&mut self, key: &str) -> Vec<&'a Node> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::String(_) => std::slice::from_ref(node),
            _ => {
                self.wrong(node, "a list of texts");
                &[]
            }
        };
        items.iter().filter(|item| self.text(item).is_some()).collect()
    }

    /// A list of texts that must be there and hold at least one.
    pub fn required_strings(&mut self, key: &str) -> Vec<String> {
        let texts = self.strings(key);
        match self.node(key) {
            None => self.missing(key, "a list of texts"),
            Some(node) if node.value == Value::List(Vec::new()) => {
                self.problems.push(Problem::at(node, "expected at least one text, found an empty list"));
            }
            Some(_) => {}
        }
        texts
    }

    /// `true` or `false`, or `default`.
    pub fn bool_or(&mut self, key: &str, default: bool) -> bool {
        self.read(key, "true or false", scalar::boolean).unwrap_or(default)
    }

    /// A whole number of 0 or more.
    pub fn u64(&mut self, key: &str) -> Option<u64> {
        self.read(key, "a whole number of 0 or more", scalar::whole)
    }

    /// A whole number of 0 or more, or `default`.
    pub fn u64_or(&mut self, key: &str, default: u64) -> u64 {
        self.u64(key).unwrap_or(default)
    }

    /// A length of time: seconds as a number, or text with a unit (`500ms`, `5s`, `10m`, `1h`, `30d`); or `default`.
    pub fn duration_or(&mut self, key: &str, default: Duration) -> Duration {
        let want = "a number of seconds, or text as \"500ms\", \"5s\", \"10m\", \"1h\", \"30d\"";
        self.read(key, want, scalar::duration).unwrap_or(default)
    }

    /// One of `allowed`, or `default`; without a default it must be there.
    pub fn one_of(
        &mut self,
        key: &str,
        allowed: &[&'static str],
        default: Option<&'static str>,
    ) -> Option<&'static str> {
        let Some(node) = self.node(key) else {
            if default.is_none() {
                self.missing(key, &format!("one of {}", allowed.join(", ")));
            }
            return default;
        };
        let text = self.text(node)?;
        let found = allowed.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let (allowed, hint) = (allowed.join(", "), hint(text, allowed.iter().copied()));
            self.problems.push(Problem::at(node, format!("{text:?} is not one of {allowed}{hint}")));
        }
        found
    }

    /// A table within this one.
    pub fn table(&mut self, key: &str) -> Option<Table<'a>> {
        let node = self.node(key)?;
        Some(Table::new(node, self.problems))
    }

    /// The items of a list; none when the key is not there.
    pub fn list(&mut self, key: &str) -> &'a [Node] {
        let Some(node) = self.node(key) else { return &[] };
        if let Value::List(items) = &node.value {
            return items;
        }
        self.wrong(node, "a list");
        &[]
    }

    /// All entries, in the order of the file; none of their keys is unknown.
    pub fn entries(&mut self) -> &'a [(String, Node)] {
        let entries = self.node.entries();
        self.asked.extend(entries.iter().map(|(key, _)| key.clone()));
        entries
    }

    /// A credential: from a variable (`token: ${TOKEN}`) or from the file that `<key>_file` names, without its last
    /// line end. Plain text in the configuration is a problem.
    pub fn secret(&mut self, key: &str) -> Option<String> {
        let file_key = format!("{key}_file");
        let file = self.node(&file_key);
        match (self.node(key), file) {
            (Some(node), Some(_)) => {
                let message = format!("{key} and {file_key} are both set; keep one");
                self.problems.push(Problem::at(node, message));
                None
            }
            (Some(node), None) => self.secret_text(node, &file_key),
            (None, Some(file)) => self.secret_file(file),
            (None, None) => None,
        }
    }

    /// Adds a problem at `key`'s line, or at the table's own where the key is not there.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        let node = self.node.get(key);
        let path = crate::toml::join(&self.node.path, key);
        let line = node.map_or(self.node.line, |node| node.line);
        self.problems.push(Problem::new(&self.node.file, line, &path, message));
    }

    /// Ends the reading: every key that nobody asked for is a problem.
    pub fn finish(self) {
        for (key, node) in self.node.entries() {
            if !self.asked.contains(key) {
                let hint = hint(key, self.asked.iter().map(String::as_str));
                let allowed = self.asked.join(", ");
                self.problems.push(Problem::at(node, format!("unknown key{hint}; allowed here: {allowed}")));
            }
        }
    }

    fn read<T>(&mut self, key: &str, want: &str, reader: fn(&Node) -> Option<T>) -> Option<T> {
        let node = self.node(key)?;
        let value = reader(node);
        if value.is_none() {
            self.wrong(node, want);
        }
        value
    }

    /// The text of a node. A missing variable was told already, so what depends on it is left out without a word.
    fn text(&self, node: &'a Node) -> Option<&'a str> {
        if node.as_str().is_none() {
            self.wrong(node, "text");
        }
        node.as_str().filter(|_| node.origin != Origin::Missing)
    }

    fn wrong(&self, node: &Node, want: &str) {
        if node.origin != Origin::Missing {
            let quote = match node.value {
                Value::Int(_) | Value::Float(_) | Value::Bool(_) if want == "text" => "; put it in quotes",
                _ => "",
            };
            self.problems
                .push(Problem::at(node, format!("expected {want}, found {}{quote}", node.describe())));
        }
    }

    fn missing(&self, key: &str, want: &str) {
        // A value that is no map was told already.
        if matches!(self.node.value, Value::Map(_)) {
            self.problem(key, format!("this key is missing; expected {want}"));
        }
    }

    fn secret_text(&self, node: &'a Node, file_key: &str) -> Option<String> {
        let text = self.text(node)?;
        if node.origin == Origin::Variable && text.trim().is_empty() {
            self.problems.push(Problem::at(node, "expected a credential, found a variable that is empty"));
            return None;
        }
        if node.origin < Origin::Variable {
            let message =
                format!("a credential in plain text; write ${{VARIABLE}} here, or name a file in {file_key}");
            self.problems.push(Problem::at(node, message));
            return None;
        }
        Some(text.to_owned())
    }

    fn secret_file(&self, node: &'a Node) -> Option<String> {
        let path = self.text(node)?;
        match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Ok(_) => {
                self.problems.push(Problem::at(node, format!("the file {path} is empty")));
                None
            }
            Err(error) => {
                self.problems.push(Problem::at(node, format!("cannot read the file {path}: {error}")));
                None
            }
        }
    }
}

fn hint<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    close_match(word, known).map_or_else(String::new, |close| format!("; did you mean {close}?"))
}
