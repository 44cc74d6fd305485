#![doc = include_str!("../README.md")]

pub mod archived;
pub mod logs;
pub mod oracle;
pub mod program;
pub mod reference;
pub mod running;
pub mod seeded;
pub mod servers;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The recorded logs, a `/var/log/pods` tree.
pub fn recorded() -> PathBuf {
    root().join("tests/fixtures/pods")
}

/// A file of the data that lies beside the sources where it was given, or nothing, said loudly.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = root().join("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not here, so nothing is proven about it", path.display());
    None
}
