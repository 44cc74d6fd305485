//! A VRL program, compiled once; its mistakes are told with their line in the file that holds it.

use std::sync::Arc;

use settings::{Node, Problem, Problems, Table, Value as Written};
use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::ExternalEnv;
use vrl::compiler::{CompileConfig, Program, TargetValueRef, TimeZone, compile_with_external};
use vrl::diagnostic::{Diagnostic, Severity};
use vrl::value::{ObjectMap, Secrets, Value};

/// A compiled program. It has no state: every run begins anew.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    program: Arc<Program>,
    timezone: TimeZone,
}

/// Where the text of a program stands, to name the lines of its mistakes.
pub(crate) struct Source<'a> {
    /// The text.
    pub(crate) text: &'a str,
    /// The file that holds it.
    pub(crate) file: Arc<str>,
    /// The line of its first character.
    pub(crate) line: usize,
    /// The path of the key that gives it.
    pub(crate) path: &'a str,
}

impl Script {
    /// Compiles a program that may change the event. Warnings are returned beside it.
    pub(crate) fn program(
        source: &Source<'_>,
        timezone: TimeZone,
        problems: &Problems,
    ) -> Option<(Script, Vec<Problem>)> {
        source.compile(timezone, CompileConfig::default(), problems)
    }

    /// Compiles a condition: text, or a table of `type: vrl` and `source`. It must not change the event, and ends in
    /// true or false.
    pub(crate) fn condition(node: &Node, problems: &Problems) -> Option<Script> {
        let node = match &node.value {
            Written::Map(_) => condition_source(node, problems)?,
            Written::String(_) => node,
            _ => {
                let message = format!(
                    "expected a condition (VRL as text, or a table of type and source), found {}",
                    node.describe()
                );
                problems.push(Problem::at(node, message));
                return None;
            }
        };
        let mut config = CompileConfig::default();
        config.set_read_only();
        let source = Source::of(node)?;
        let (script, _) = source.compile(utc(), config, problems)?;
        let result = script.program.final_type_info().result;
        if !result.kind().is_boolean() {
            let message = format!("a condition must end in true or false; this one gives {}", result.kind());
            problems.push(source.problem(source.text.trim_end().len().saturating_sub(1), message));
            return None;
        }
        Some(script)
    }

    /// Runs the program on `value`, which it may change; returns the value of its last expression.
    pub(crate) fn run(&self, value: &mut Value) -> Result<Value, Terminate> {
        let (mut metadata, mut secrets) = (Value::Object(ObjectMap::new()), Secrets::new());
        let mut target = TargetValueRef { value, metadata: &mut metadata, secrets: &mut secrets };
        Runtime::default().resolve(&mut target, &self.program, &self.timezone)
    }

    /// Whether a condition holds; an error in it is told apart from false. The value stays as it is.
    pub(crate) fn holds(&self, value: &mut Value) -> Result<bool, Terminate> {
        self.run(value).map(|result| result == Value::Boolean(true))
    }
}

/// The zone that a time without one is read in, unless configured: results must not depend on the machine.
pub(crate) fn utc() -> TimeZone {
    TimeZone::parse("UTC").unwrap_or_default()
}

fn condition_source<'a>(node: &'a Node, problems: &'a Problems) -> Option<&'a Node> {
    let mut table = Table::new(node, problems);
    let kind = table.one_of("type", &["vrl"], Some("vrl"));
    let source = table.node("source");
    table.required_string("source");
    table.finish();
    kind.and(source)
}

// === impl Source ===

impl<'a> Source<'a> {
    /// The text of a configuration value; nothing when it is no text.
    pub(crate) fn of(node: &'a Node) -> Option<Source<'a>> {
        let (file, path) = (node.file.clone(), node.path.as_str());
        node.as_str().map(|text| Source { text, file, line: node.text_line, path })
    }

    fn compile(
        &self,
        timezone: TimeZone,
        config: CompileConfig,
        problems: &Problems,
    ) -> Option<(Script, Vec<Problem>)> {
        let functions = vrl::stdlib::all();
        match compile_with_external(self.text, &functions, &ExternalEnv::default(), config) {
            Ok(result) => {
                let warnings = result.warnings.iter().map(|warning| self.describe(warning)).collect();
                Some((Script { program: Arc::new(result.program), timezone }, warnings))
            }
            Err(mistakes) => {
                let refused = |mistake: &&Diagnostic| mistake.severity != Severity::Warning;
                for mistake in mistakes.iter().filter(refused) {
                    problems.push(self.describe(mistake));
                }
                None
            }
        }
    }

    fn describe(&self, diagnostic: &Diagnostic) -> Problem {
        let labels = &diagnostic.labels;
        let start = labels.iter().find(|label| label.primary).or(labels.first());
        let mut message = format!("VRL error E{:03}: {}", diagnostic.code, diagnostic.message);
        for label in
            labels.iter().filter(|label| !label.message.is_empty() && label.message != diagnostic.message)
        {
            message.push_str(if message.ends_with(':') { " " } else { "; " });
            message.push_str(&label.message);
        }
        self.problem(start.map_or(0, |label| label.span.start()), message)
    }

    fn problem(&self, offset: usize, message: String) -> Problem {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = self.line + before.iter().filter(|byte| **byte == b'\n').count();
        Problem { file: self.file.clone(), line, path: self.path.to_owned(), message }
    }
}
