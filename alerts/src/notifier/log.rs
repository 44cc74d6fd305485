//! The log notifier: one line a message, in a file exactly once, or in the process's own log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Notification, SendError};
use crate::intent::Intent;
use crate::policy::ConfigError;

/// A log as written in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The file that lines are appended to; the process's own log when absent.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// Writes messages down.
#[derive(Clone, Debug)]
pub enum Log {
    /// An event of the process's own log; a repeat after a crash is there twice, with the same id.
    Tracing,
    /// A JSON line, durable, and not written again if its id is in the file already.
    File(PathBuf),
}

impl Log {
    /// Makes sure that the file, if it is there, can be opened for writing. Nothing is made.
    ///
    /// # Errors
    /// The file that cannot be opened and why.
    pub fn build(config: LogConfig) -> Result<Log, Vec<ConfigError>> {
        let Some(path) = config.file else { return Ok(Log::Tracing) };
        match OpenOptions::new().read(true).append(true).open(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(vec![cannot_open(&path, &cause)]),
            _ => Ok(Log::File(path)),
        }
    }

    /// Makes the file, if there is to be one.
    ///
    /// # Errors
    /// The file that cannot be opened and why.
    pub(crate) fn prepare(&self) -> Result<(), ConfigError> {
        let Log::File(path) = self else { return Ok(()) };
        open(path).map(drop).map_err(|cause| cannot_open(path, &cause))
    }

    /// Writes one message.
    ///
    /// # Errors
    /// An error of the file; never final, since a full or read-only disk can be mended.
    pub async fn send(&self, intent: &Intent) -> Result<(), SendError> {
        let retry = |reason| SendError::Retry { after: None, reason };
        let line =
            serde_json::to_string(&Notification::from(intent)).map_err(|cause| retry(cause.to_string()))?;
        let Log::File(path) = self else {
            tracing::info!(notification = line, "notify");
            return Ok(());
        };
        let (id, path) = (intent.id.0.clone(), path.clone());
        let failed = format!("cannot append to {}", path.display());
        let written = tokio::task::spawn_blocking(move || append_once(&path, &id, &line)).await;
        written.map_err(io::Error::other).flatten().map_err(|cause| retry(format!("{failed}: {cause}")))
    }
}

/// Appends `line` unless a line with `id` is there. The lock makes look and write one step for every process.
fn append_once(path: &Path, id: &str, line: &str) -> io::Result<()> {
    let mut file = open(path)?;
    file.lock()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    // Found does not mean durable: the process that wrote it may have died before its sync.
    if bytes[..whole].split(|byte| *byte == b'\n').any(|line| id_of(line).as_deref() == Some(id)) {
        return file.sync_all();
    }
    file.set_len(whole as u64)?;
    file.seek(SeekFrom::End(0))?;
    let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // After a failed sync nobody knows what is on the disk: take the line back, so that the retry writes it anew.
        file.set_len(whole as u64)?;
    }
    written
}

fn cannot_open(path: &Path, cause: &io::Error) -> ConfigError {
    let message = format!("cannot open {} for appending: {cause}", path.display());
    ConfigError { path: "file".into(), message }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

fn id_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        id: String,
    }
    serde_json::from_slice::<Line>(line).ok().map(|line| line.id)
}
