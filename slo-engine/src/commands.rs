//! What the command line runs: each command's arguments and what it does with the library below.

use std::path::Path;

use clap::ValueEnum;

use crate::config::Config;
use crate::failure::Failure;

pub(crate) mod bootstrap;
pub(crate) mod dashboards;
pub(crate) mod discover;
pub(crate) mod ledger;
pub(crate) mod probe;
pub(crate) mod refill;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod up;
pub(crate) mod validate;

/// Format of what is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
}

/// Looks up a variable of this process's environment.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and proves a configuration with this process's environment.
fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path, &env).map_err(Failure::refused)
}

/// The file of the state, which must be there already; `first` says what makes one.
fn state(config: &Config, first: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = config.data_dir.join("engine.db");
    anyhow::ensure!(path.exists(), "there is no state at {}: run {first} first", path.display());
    Ok(path)
}
