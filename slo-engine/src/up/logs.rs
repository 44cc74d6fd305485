//! Which logs `up` reads, and the collector's configuration for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use collector::config::{Config, Purpose};
use collector::transform::sli::FormatsSeen;
use serde_json::{Map, Value, json};
use settings::{Problems, Syntax};

/// The recorded logs that come with the sources, from the root of the sources.
const RECORDED: &str = "tests/fixtures/pods";

/// What is read, sorted and each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sources {
    /// Trees of the `/var/log/pods` layout.
    trees: Vec<PathBuf>,
    /// Globs of plain files.
    files: Vec<String>,
}

/// Tells trees of pods from folders and files.
pub(super) fn sources(logs: &[PathBuf]) -> anyhow::Result<Sources> {
    let paths = if logs.is_empty() { vec![recorded()?] } else { logs.to_vec() };
    let mut sources = Sources::default();
    for path in paths {
        let path = path.canonicalize().with_context(|| {
            format!("cannot read --logs {}: give a file, a folder or a /var/log/pods tree", path.display())
        })?;
        if !path.is_dir() {
            sources.files.push(literal(&path)?);
        } else if is_pods_tree(&path)? {
            sources.trees.push(path);
        } else {
            sources.files.push(format!("{}/**/*", literal(&path)?));
        }
    }
    sources.trees.sort();
    sources.trees.dedup();
    sources.files.sort();
    sources.files.dedup();
    Ok(sources)
}

/// The collector as a node runs it, but with everything on this machine: sources, `sli`, archive and engine.
pub(super) fn collector_config(data_dir: &Path, sources: &Sources) -> Result<Config, Problems> {
    let data_dir = data_dir.display().to_string();
    let mut named = Map::new();
    for (index, tree) in sources.trees.iter().enumerate() {
        named.insert(format!("pods_{index}"), json!({ "type": "kubernetes_logs", "root": tree }));
    }
    if !sources.files.is_empty() {
        named.insert("files".to_owned(), json!({ "type": "file", "include": sources.files }));
    }
    let names: Vec<&String> = named.keys().collect();
    let text = json!({
        "data_dir": format!("{data_dir}/collector"),
        "transforms": { "requests": { "type": "sli", "inputs": names } },
        "sinks": {
            "archive": { "type": "archive", "inputs": names, "path": format!("{data_dir}/archive") },
            "engine": { "type": "slo_engine", "inputs": ["requests"], "endpoint": "in_process" },
        },
        "sources": Value::Object(named.clone()),
    });
    Config::parse("the defaults of up", &text.to_string(), Syntax::Yaml, Purpose::Run, &|_| None)
}

/// Which formats were found: `Formats: pino, upstreaminfo, other`. Without numbers: what a sink that fell behind reads
/// again is seen again.
pub(super) fn formats(seen: &FormatsSeen) -> String {
    let told: Vec<String> = seen.totals().keys().map(ToString::to_string).collect();
    format!("Formats: {}", if told.is_empty() { "nothing new was read".to_owned() } else { told.join(", ") })
}

fn recorded() -> anyhow::Result<PathBuf> {
    let here = PathBuf::from(RECORDED);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(RECORDED);
    match [here, built].into_iter().find(|path| path.is_dir()) {
        Some(path) => Ok(path),
        None => bail!(
            "the recorded logs ({RECORDED}) are not here: run this from the sources, or give --logs PATH"
        ),
    }
}

/// A tree of pods holds folders named `<namespace>_<pod>_<uid>`.
fn is_pods_tree(path: &Path) -> anyhow::Result<bool> {
    let entries = path.read_dir().with_context(|| format!("cannot list {}", path.display()))?;
    let names =
        entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name());
    Ok(names
        .into_iter()
        .any(|name| name.to_string_lossy().split('_').filter(|part| !part.is_empty()).count() == 3))
}

/// A path as a glob that matches nothing else.
fn literal(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8; rename it", path.display()))?;
    Ok(text.chars().map(|c| if "*?[]{}".contains(c) { format!("[{c}]") } else { c.to_string() }).collect())
}
