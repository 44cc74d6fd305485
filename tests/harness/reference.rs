//! Counts that know nothing of our parser: a few lines of Python, run as a program of their own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::root;

/// What `tests/fixtures/count.py` counts in a tree of pods; nothing, said loudly, where there is no Python.
///
/// # Errors
/// The script fails.
pub fn count_pods(tree: &Path) -> anyhow::Result<Option<Value>> {
    python(&[root().join("tests/fixtures/count.py").as_os_str(), tree.as_os_str()])
}

/// What a script, given as text, prints for a file; nothing, said loudly, where there is no Python.
///
/// # Errors
/// The script fails.
pub fn count_file(script: &str, file: &Path) -> anyhow::Result<Option<Value>> {
    python(&[OsStr::new("-c"), OsStr::new(script), file.as_os_str()])
}

/// What Python prints for `arguments`; nothing, said loudly, where there is no Python.
///
/// # Errors
/// It fails, or prints something else than JSON.
pub fn python(arguments: &[&OsStr]) -> anyhow::Result<Option<Value>> {
    if Command::new("python3").arg("--version").output().is_err() {
        ensure!(std::env::var_os("CI").is_none(), "there is no python3 here: apt-get install python3");
        eprintln!("SKIPPED: there is no python3 here, so nothing was counted independently");
        return Ok(None);
    }
    let output = Command::new("python3").args(arguments).output().context("cannot start python3")?;
    ensure!(output.status.success(), "python3 failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(serde_json::from_slice(&output.stdout).context("python3 printed no JSON")?))
}
