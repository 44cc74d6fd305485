//! Secrets by reference: a configuration names where one lies, and it is read each time it is used.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a secret lies: `{env: NAME}` or `{file: PATH}`. A file may change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; white space at its end is not part of the secret.
    File(PathBuf),
}

impl SecretSource {
    /// The secret. Never kept, so that nothing can print it.
    ///
    /// # Errors
    /// Which variable or file could not be read and why, or that it is empty.
    pub(crate) fn read(&self) -> Result<String, String> {
        let (secret, place) = match self {
            SecretSource::Env(name) => {
                let place = format!("environment variable {name}");
                (std::env::var(name).map_err(|cause| format!("cannot read {place}: {cause}"))?, place)
            }
            SecretSource::File(path) => {
                let place = format!("file {}", path.display());
                (
                    std::fs::read_to_string(path).map_err(|cause| format!("cannot read {place}: {cause}"))?,
                    place,
                )
            }
        };
        match secret.trim_end() {
            "" => Err(format!("{place} is empty; put the secret there")),
            secret => Ok(secret.to_owned()),
        }
    }
}
