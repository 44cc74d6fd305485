//! YAML text to the tree, event by event, so that every repeated key is found and every value keeps its line.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::node::{Node, Value};
use crate::toml::join;
use crate::variables::{self, Origin};
use crate::{Env, Problem, Problems};

/// How deep maps and lists may stand in each other.
const MAX_DEPTH: usize = 64;
/// How many nodes aliases may copy: a few lines of nested aliases could otherwise fill the memory.
const MAX_COPIES: usize = 10_000;

/// The documents that are not empty. All mistakes go to `problems`; a mistake of spelling ends the reading.
pub(crate) fn documents(file: &str, text: &str, env: Env<'_>, problems: &Problems) -> Vec<Node> {
    let mut documents = Vec::new();
    let mut reader = Reader {
        file: file.into(),
        events: Parser::new_from_str(text),
        env,
        problems,
        anchors: BTreeMap::new(),
        copies: 0,
    };
    if let Err(error) = reader.stream(&mut documents) {
        problems.push(Problem::new(file, error.marker().line(), "", error.info()));
    }
    documents.retain(|document: &Node| document.value != Value::Null);
    documents
}

struct Reader<'t> {
    file: Arc<str>,
    events: Parser<'t, StrInput<'t>>,
    env: Env<'t>,
    problems: &'t Problems,
    anchors: BTreeMap<usize, Node>,
    copies: usize,
}

/// Where a value goes: the line to name for it, its path, and how deep it stands.
struct Place {
    line: usize,
    path: String,
    depth: usize,
}

type Step<T> = Result<T, ScanError>;

impl<'t> Reader<'t> {
    fn stream(&mut self, documents: &mut Vec<Node>) -> Step<()> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                content => {
                    let place = Place { line: span.start.line(), path: String::new(), depth: 0 };
                    documents.push(self.node(content, span, place)?);
                }
            }
        }
    }

    fn next(&mut self) -> Step<(Event<'t>, Span)> {
        self.events.next_event().unwrap_or_else(|| Ok((Event::StreamEnd, Span::default())))
    }

    fn node(&mut self, event: Event<'t>, span: Span, place: Place) -> Step<Node> {
        if place.depth > MAX_DEPTH {
            return Err(fault(span.start, "maps and lists stand in each other too deeply"));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (self.scalar(&text, style, span.start, place), anchor),
            Event::SequenceStart(anchor, _) => (self.list(place)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(place)?, anchor),
            Event::Alias(anchor) => (self.copy(anchor, span.start, &place)?, 0),
            _ => return Err(fault(span.start, "a value is missing")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, place: Place) -> Step<Node> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(self.plain(place, Value::List(items)));
            }
            let path = format!("{}[{}]", place.path, items.len());
            let place = Place { line: span.start.line(), path, depth: place.depth + 1 };
            items.push(self.node(event, span, place)?);
        }
    }

    fn map(&mut self, place: Place) -> Step<Node> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(self.plain(place, Value::Map(entries))),
                Event::Scalar(key, ..) => key.into_owned(),
                _ => return Err(fault(span.start, "a key must be plain text")),
            };
            let line = span.start.line();
            let at = Place { line, path: join(&place.path, &key), depth: place.depth + 1 };
            let (event, span) = self.next()?;
            let node = self.node(event, span, at)?;
            match entries.iter().find(|(known, _)| *known == key) {
                Some((_, first)) => self.problems.push(Problem::at(
                    &node,
                    format!("this key stands twice; the first is on line {}", first.line),
                )),
                None => entries.push((key, node)),
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, start: Marker, place: Place) -> Node {
        let replaced = variables::replace(text, self.env);
        for message in replaced.missing {
            self.problems.push(Problem::new(&self.file, place.line, &place.path, message));
        }
        let literal = style == ScalarStyle::Plain && replaced.origin == Origin::Written;
        let value = if literal { resolve(replaced.text) } else { Value::String(replaced.text) };
        // The parser marks the first line of a block that is not empty; the empty ones above it are content, too.
        let above = text.bytes().take_while(|byte| *byte == b'\n').count();
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        let text_line = if block { start.line().saturating_sub(above) } else { start.line() };
        Node { text_line, origin: replaced.origin, ..self.plain(place, value) }
    }

    fn copy(&mut self, anchor: usize, mark: Marker, place: &Place) -> Step<Node> {
        let Some(mut node) = self.anchors.get(&anchor).cloned() else {
            return Err(fault(mark, "an alias to a value that holds it"));
        };
        self.copies += rename(&mut node, &place.path);
        if self.copies > MAX_COPIES {
            return Err(fault(mark, "aliases copy too many values"));
        }
        Ok(node)
    }

    fn plain(&self, place: Place, value: Value) -> Node {
        let (file, line) = (self.file.clone(), place.line);
        Node { file, line, path: place.path, text_line: line, value, origin: Origin::Written }
    }
}

/// The value of an unquoted scalar, by the core schema of YAML 1.2.
fn resolve(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let radix = |prefix, radix| i64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    if let Some(number) = text.parse().ok().or_else(|| radix("0x", 16)).or_else(|| radix("0o", 8)) {
        return Value::Int(number);
    }
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse() {
        Ok(number) if numeric => Value::Float(number),
        _ => Value::String(text),
    }
}

/// Gives a copied tree its new path; returns how many nodes it has.
fn rename(node: &mut Node, path: &str) -> usize {
    node.path = path.to_owned();
    1 + match &mut node.value {
        Value::List(items) => {
            items.iter_mut().enumerate().map(|(index, item)| rename(item, &format!("{path}[{index}]"))).sum()
        }
        Value::Map(entries) => entries.iter_mut().map(|(key, entry)| rename(entry, &join(path, key))).sum(),
        _ => 0,
    }
}

fn fault(mark: Marker, message: &str) -> ScanError {
    ScanError::new_str(mark, message)
}
