//! The tree that both syntaxes are read into: values that know the file, line and path they were written at.

use std::sync::Arc;

use crate::variables::Origin;

/// One value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1: that of the key for an entry of a map, that of the value for an item of a list.
    pub line: usize,
    /// The way from the root, `sources.app.include[0]`; empty for the root.
    pub path: String,
    /// The line, from 1, that the first character of a string's content stands on: a block of text begins below its key.
    pub text_line: usize,
    /// The value.
    pub value: Value,
    pub(crate) origin: Origin,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or exponent.
    Float(f64),
    /// Text, with variables replaced. Dates and times are text, too.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; no key stands twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Whether a part of the text came from a variable that was set (a default is text of the file).
    pub fn from_env(&self) -> bool {
        self.origin == Origin::Variable
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The entry of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries of a map, in the order of the file; none for anything else.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, for a message: `the number 5`, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Int(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::String(_) if self.from_env() => "the text of a variable".to_owned(),
            Value::String(text) => format!("the text {text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a table".to_owned(),
        }
    }
}

/// Two nodes are equal when they hold the same values, wherever they were written.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.value == other.value
    }
}
