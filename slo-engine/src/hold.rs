//! One engine a data directory: whoever starts while another still runs waits for it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{interval, timeout};

/// How long an engine that is asked to end may take, and a little more.
const ENDS_WITHIN: Duration = Duration::from_secs(40);

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A data directory that is held by this process until it ends or drops this.
#[derive(Debug)]
pub(crate) struct Hold(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl Hold {
    /// Holds a directory that nobody else holds.
    ///
    /// # Errors
    /// An engine runs on it, or it cannot be written to.
    pub(crate) fn take_free(directory: &Path) -> anyhow::Result<Self> {
        let file = lock_file(directory)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => bail!(
                "an engine runs on {}, and there is one writer: stop it first, or let it do this by itself",
                directory.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", directory.display()))
            }
        }
    }

    /// Holds a directory, which is made if need be.
    ///
    /// # Errors
    /// Another engine goes on holding it, or it cannot be written to.
    pub(crate) async fn take(directory: &Path) -> anyhow::Result<Self> {
        let file = lock_file(directory)?;
        let free = async {
            let (mut looks, mut told) = (interval(LOOK_EVERY), false);
            loop {
                looks.tick().await;
                match file.try_lock() {
                    Ok(()) => return anyhow::Ok(()),
                    Err(TryLockError::WouldBlock) if !told => {
                        tracing::info!(directory = %directory.display(), "waiting for another engine to end");
                        told = true;
                    }
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => {
                        return Err(error).with_context(|| format!("cannot lock {}", directory.display()));
                    }
                }
            }
        };
        match timeout(ENDS_WITHIN, free).await {
            Ok(locked) => locked.map(|()| Self(file)),
            Err(_) => bail!(
                "another engine holds {} and has not ended within {ENDS_WITHIN:?}: there is one writer; stop it, or \
                 give this one another data_dir",
                directory.display()
            ),
        }
    }
}

/// The file that is locked; its directory is made if need be.
fn lock_file(directory: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the data directory {}", directory.display()))?;
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    file.with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_directory_is_held_once_and_free_again_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = Hold::take(&data).await.unwrap();
        assert!(Hold::take_free(&data).unwrap_err().to_string().contains("an engine runs on"));
        let refused = Hold::take(&data).await.unwrap_err().to_string();
        assert!(refused.contains("another engine holds"), "{refused}");
        let waiting = tokio::spawn({
            let data = data.clone();
            async move { Hold::take(&data).await }
        });
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(first);
        waiting.await.unwrap().unwrap();
    }
}
