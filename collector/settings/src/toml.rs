//! TOML text to the tree; `toml`'s spanned values know where each key and value stands.

use std::sync::Arc;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use crate::node::{Node, Value};
use crate::variables::{self, Origin};
use crate::{Env, Problem, Problems};

/// The document; nothing when it cannot be read. All mistakes go to `problems`.
pub(crate) fn document(file: &str, text: &str, env: Env<'_>, problems: &Problems) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let reader = Reader { file: file.into(), text, env, problems };
    for error in &errors {
        let line = error.span().map_or(0, |span| reader.line(span.start));
        problems.push(Problem::new(file, line, "", error.message().replace('\n', ", ")));
    }
    if !errors.is_empty() {
        return None;
    }
    let value = reader.table(table.get_ref(), "");
    Some(reader.node(1, "", value))
}

struct Reader<'t> {
    file: Arc<str>,
    text: &'t str,
    env: Env<'t>,
    problems: &'t Problems,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, path: &str) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let line = self.line(key.span().start);
            (name.to_string(), self.value(value, line, &join(path, name)))
        };
        Value::Map(entries.into_iter().map(entry).collect())
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, line: usize, path: &str) -> Node {
        let plain = match value.get_ref() {
            DeValue::String(text) => return self.string(text, value.span().start, line, path),
            DeValue::Integer(number) => self.integer(number, line, path),
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => {
                let item = |(index, item): (usize, &Spanned<DeValue<'_>>)| {
                    self.value(item, self.line(item.span().start), &format!("{path}[{index}]"))
                };
                Value::List(items.iter().enumerate().map(item).collect())
            }
        };
        self.node(line, path, plain)
    }

    fn string(&self, text: &str, start: usize, line: usize, path: &str) -> Node {
        let replaced = variables::replace(text, self.env);
        for message in replaced.missing {
            self.problems.push(Problem::new(&self.file, line, path, message));
        }
        // A line end right behind the opening quotes of a block is not part of its text.
        let written = &self.text[start..];
        let block = written.starts_with("'''") || written.starts_with("\"\"\"");
        let below = block && written[3..].trim_start_matches('\r').starts_with('\n');
        let text_line = self.line(start) + usize::from(below);
        Node { text_line, origin: replaced.origin, ..self.node(line, path, Value::String(replaced.text)) }
    }

    fn integer(&self, number: &::toml::de::DeInteger<'_>, line: usize, path: &str) -> Value {
        if let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) {
            return Value::Int(number);
        }
        self.problems.push(Problem::new(&self.file, line, path, format!("the number {number} is too large")));
        Value::Null
    }

    fn node(&self, line: usize, path: &str, value: Value) -> Node {
        let (file, path) = (self.file.clone(), path.to_owned());
        Node { file, line, path, text_line: line, value, origin: Origin::Written }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count()
    }
}

/// The path of the entry `key` of the map at `path`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
