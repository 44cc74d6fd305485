//! Environment variables in text: `${NAME}`, `$NAME`, `${NAME:-default}`, `${NAME:?message}`; `$$` is a dollar.

use crate::Env;

/// Where the text of a scalar comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The file alone.
    Written,
    /// The file: the default of a variable that is not set.
    Default,
    /// At least one variable.
    Variable,
    /// A variable that is not set; told already, so that no reader complains again.
    Missing,
}

/// Text with its variables replaced.
pub(crate) struct Replaced {
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// A message for each variable that is not set.
    pub(crate) missing: Vec<String>,
}

/// What stands behind a dollar.
enum Reference<'t> {
    Dollar,
    Variable { name: &'t str, otherwise: Otherwise<'t> },
}

/// What holds when the variable is not set.
enum Otherwise<'t> {
    Fail,
    Default { text: &'t str, also_empty: bool },
    Message { text: &'t str, also_empty: bool },
}

/// Replaces every variable in `text`. A dollar that starts neither a name nor `$$` stays as it is.
pub(crate) fn replace(text: &str, env: Env<'_>) -> Replaced {
    let mut replaced = Replaced { text: String::new(), origin: Origin::Written, missing: Vec::new() };
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        replaced.text.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let length = match reference(rest) {
            Some((Reference::Dollar, length)) => {
                replaced.text.push('$');
                length
            }
            Some((Reference::Variable { name, otherwise }, length)) => {
                replaced.resolve(name, &otherwise, env);
                length
            }
            None => {
                replaced.text.push('$');
                1
            }
        };
        rest = &rest[length..];
    }
    replaced.text.push_str(rest);
    replaced
}

/// The reference that `text` begins with, and its length in bytes.
fn reference(text: &str) -> Option<(Reference<'_>, usize)> {
    if text.starts_with("$$") {
        return Some((Reference::Dollar, 2));
    }
    if let Some(inner) = text.strip_prefix("${") {
        let inner = &inner[..inner.find('}')?];
        let (name, behind) = inner.split_at(name_length(inner));
        let otherwise = otherwise(behind)?;
        return (!name.is_empty())
            .then(|| (Reference::Variable { name, otherwise }, "${".len() + inner.len() + "}".len()));
    }
    let length = name_length(&text[1..]);
    let name = &text[1..1 + length];
    (length > 0).then_some((Reference::Variable { name, otherwise: Otherwise::Fail }, 1 + length))
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).count()
}

fn otherwise(text: &str) -> Option<Otherwise<'_>> {
    let (also_empty, operator) = match text.strip_prefix(':') {
        Some(operator) => (true, operator),
        None => (false, text),
    };
    match operator.as_bytes().first() {
        None if !also_empty => Some(Otherwise::Fail),
        Some(b'-') => Some(Otherwise::Default { text: &operator[1..], also_empty }),
        Some(b'?') => Some(Otherwise::Message { text: &operator[1..], also_empty }),
        _ => None,
    }
}

impl Replaced {
    fn resolve(&mut self, name: &str, otherwise: &Otherwise<'_>, env: Env<'_>) {
        let value = env(name);
        let usable = |also_empty: bool| value.as_deref().filter(|value| !(also_empty && value.is_empty()));
        let (value, origin) = match *otherwise {
            Otherwise::Fail => (usable(false), Origin::Variable),
            Otherwise::Message { also_empty, .. } => (usable(also_empty), Origin::Variable),
            Otherwise::Default { text, also_empty } => match usable(also_empty) {
                Some(value) => (Some(value), Origin::Variable),
                None => (Some(text), Origin::Default),
            },
        };
        match value {
            Some(value) => self.text.push_str(value),
            None => self.missing.push(message(name, otherwise)),
        }
        self.origin = self.origin.max(if value.is_some() { origin } else { Origin::Missing });
    }
}

fn message(name: &str, otherwise: &Otherwise<'_>) -> String {
    match otherwise {
        Otherwise::Message { text, .. } if !text.is_empty() => {
            format!("environment variable {name} is not set: {text}")
        }
        _ => format!(
            "environment variable {name} is not set; set it, give a default with ${{{name}:-…}}, \
             or write $$ for a dollar sign"
        ),
    }
}
