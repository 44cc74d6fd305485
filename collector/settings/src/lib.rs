#![doc = include_str!("../README.md")]

mod close_match;
mod node;
mod problem;
mod table;
#[cfg(test)]
mod tests;
mod toml;
mod variables;
mod yaml;

use std::path::Path;

pub use close_match::close_match;
pub use node::{Node, Value};
pub use problem::{Problem, Problems};
pub use table::Table;

/// Looks up an environment variable; nothing when it is not set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a configuration file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// YAML 1.2; JSON is a part of it.
    Yaml,
    /// TOML 1.1.
    Toml,
}

impl Syntax {
    /// The syntax that a file's extension names: `.toml`, or YAML for everything else.
    pub fn of(path: &Path) -> Syntax {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Syntax::Toml,
            _ => Syntax::Yaml,
        }
    }
}

/// Reads a configuration file of one document.
///
/// # Errors
/// Every mistake of spelling, every repeated key and every missing variable, or that the file cannot be read.
pub fn load(path: &Path, env: Env<'_>) -> Result<Node, Problems> {
    let problems = Problems::default();
    let root = load_with(path, env, &problems);
    settle(root, problems)
}

/// Reads the text of a configuration file of one document; `file` is its name in problems.
///
/// # Errors
/// Every mistake of spelling, every repeated key and every missing variable.
pub fn parse(file: &str, text: &str, syntax: Syntax, env: Env<'_>) -> Result<Node, Problems> {
    let problems = Problems::default();
    let root = parse_with(file, text, syntax, env, &problems);
    settle(root, problems)
}

/// Reads the text of a file that may hold several documents (YAML's `---`); empty documents are left out.
///
/// # Errors
/// Every mistake of spelling, every repeated key and every missing variable.
pub fn parse_all(file: &str, text: &str, syntax: Syntax, env: Env<'_>) -> Result<Vec<Node>, Problems> {
    let problems = Problems::default();
    let documents = documents(file, text, syntax, env, &problems);
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// Like [`load`], but adds mistakes to `problems` and returns what could be read beside them, so that one run finds the
/// mistakes of the file and those of its meaning. Nothing is returned where there is no tree at all.
pub fn load_with(path: &Path, env: Env<'_>, problems: &Problems) -> Option<Node> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse_with(&file, &text, Syntax::of(path), env, problems),
        Err(error) => {
            problems.push(Problem::new(&file, 0, "", format!("cannot read the configuration file: {error}")));
            None
        }
    }
}

/// Like [`parse`], with `problems` as in [`load_with`].
pub fn parse_with(file: &str, text: &str, syntax: Syntax, env: Env<'_>, problems: &Problems) -> Option<Node> {
    let mut documents = documents(file, text, syntax, env, problems).into_iter();
    let first = documents.next();
    if let Some(second) = documents.next() {
        problems.push(Problem::at(&second, "a second document; one file holds one configuration"));
    }
    if first.is_none() && problems.is_empty() {
        problems.push(Problem::new(file, 1, "", "the configuration is empty"));
    }
    first
}

fn documents(file: &str, text: &str, syntax: Syntax, env: Env<'_>, problems: &Problems) -> Vec<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match syntax {
        Syntax::Yaml => yaml::documents(file, text, env, problems),
        Syntax::Toml => toml::document(file, text, env, problems).into_iter().collect(),
    }
}

fn settle(root: Option<Node>, problems: Problems) -> Result<Node, Problems> {
    match root {
        Some(root) if problems.is_empty() => Ok(root),
        _ => Err(problems),
    }
}
