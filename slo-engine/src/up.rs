//! `up`: collector and engine in one process, on embedded defaults.

use std::path::Path;

use settings::{Problems, Syntax};

use crate::cli::{Failure, UpArgs};
use crate::config::Config;

/// Any free port.
pub const ANY_PORT: &str = "127.0.0.1:0";

/// The engine's configuration in `up`: embedded defaults, through the same parser as a file.
pub fn engine_config(data_dir: &Path, listen: &str) -> Result<Config, Problems> {
    let text = serde_json::json!({
        "listen": listen,
        "data_dir": data_dir.display().to_string(),
        "notifiers": { "log": { "type": "log", "file": data_dir.join("pages.jsonl").display().to_string() } },
    });
    Config::parse("the defaults of up", &text.to_string(), Syntax::Yaml, &|_| None)
}

pub(crate) async fn main(_args: UpArgs) -> Result<(), Failure> {
    Ok(())
}
