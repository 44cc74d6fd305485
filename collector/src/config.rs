//! The collector's configuration: Vector's layout, read from one or more files, proven as a whole.

mod draft;
mod graph;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use settings::{Env, Node, Problem, Problems, Syntax};

use crate::cluster::ClusterConfig;
use crate::sink::{Buffer, SinkConfig};
use crate::source::SourceConfig;
use crate::transform::TransformConfig;
use crate::unit_test::UnitTest;
use draft::Draft;

/// Name of a component.
pub type Name = Arc<str>;

/// Where state lies unless configured.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/headroom";

/// Where the collector's own page is served unless configured.
pub const DEFAULT_API_ADDRESS: &str = "127.0.0.1:8686";

/// A proven configuration: every input exists and nothing runs in a circle.
#[derive(Debug)]
pub struct Config {
    /// The directory for state.
    pub data_dir: PathBuf,
    /// Where the collector's own page is served, if it is.
    pub api: Option<SocketAddr>,
    /// The sources, in the order of the files.
    pub sources: Vec<(Name, SourceConfig)>,
    /// The transforms and their inputs, each after all of its inputs.
    pub transforms: Vec<(Name, Vec<Name>, TransformConfig)>,
    /// The sinks and their inputs, in the order of the files.
    pub sinks: Vec<(Name, Vec<Name>, SinkConfig)>,
    /// The buffers of the sinks.
    pub buffers: BTreeMap<Name, Buffer>,
    /// The unit tests.
    pub tests: Vec<UnitTest>,
    /// What is suspicious but allowed: a component that nothing reads from, a program with a useless expression.
    pub warnings: Vec<Problem>,
}

/// What a configuration must be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run: sources, sinks, and inputs for all.
    Run,
    /// To test its transforms: they may stand alone.
    Test,
}

impl Config {
    /// Reads files, which together are one configuration.
    ///
    /// # Errors
    /// Every mistake in all of them.
    pub fn load(paths: &[PathBuf], purpose: Purpose, env: Env<'_>) -> Result<Config, Problems> {
        let problems = Problems::default();
        let read = |path: &PathBuf| settings::load_with(path, env, &problems);
        let roots: Vec<Node> = paths.iter().filter_map(read).collect();
        prove(&roots, purpose, problems)
    }

    /// Reads the text of one file; `file` is its name in problems.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(
        file: &str,
        text: &str,
        syntax: Syntax,
        purpose: Purpose,
        env: Env<'_>,
    ) -> Result<Config, Problems> {
        let problems = Problems::default();
        let root = settings::parse_with(file, text, syntax, env, &problems);
        prove(root.as_slice(), purpose, problems)
    }

    /// The cluster whose API server is asked, where a source wants it; all that do name the same.
    pub fn cluster(&self) -> Option<&ClusterConfig> {
        self.sources.iter().find_map(|(_, source)| source.cluster())
    }

    /// The components and who reads from whom, for people: one line each.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (name, source) in &self.sources {
            text.push_str(&format!("source {name} ({})\n", source.kind()));
        }
        for (name, inputs, transform) in &self.transforms {
            text.push_str(&format!("transform {name} ({}) <- {}\n", transform.kind(), inputs.join(", ")));
        }
        for (name, inputs, sink) in &self.sinks {
            text.push_str(&format!("sink {name} ({}) <- {}\n", sink.kind(), inputs.join(", ")));
        }
        text
    }
}

fn prove(roots: &[Node], purpose: Purpose, problems: Problems) -> Result<Config, Problems> {
    // A file without a tree is told already; what its components are missing for is not known.
    let draft = Draft::read(roots, &problems);
    let order = graph::check(&draft, purpose, &problems);
    let config = draft.into_config(&order, &problems);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// The environment of this process.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests;
