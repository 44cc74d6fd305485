//! A store in a local directory: an object appears whole and durable under its key, or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Put, StoreError};
use crate::key::{check_key, sha256_hex};

/// Files being written lie here, beside the objects; no key can begin with a dot.
const INCOMING: &str = ".incoming";

/// Objects as files under one root, their keys as paths. Several processes may write to the same root.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    /// Opens the directory, creates it if need be, and clears what killed writers left.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directory cannot be made or written to.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let attempt = || format!("open archive directory {}", root.display());
        fs::create_dir_all(root.join(INCOMING)).map_err(|e| io_error(attempt(), e))?;
        let root = root.canonicalize().map_err(|e| io_error(attempt(), e))?;
        clear(&root.join(INCOMING)).map_err(|e| io_error(attempt(), e))?;
        Ok(Self { root })
    }

    pub(super) fn put_if_absent(&self, key: &str, bytes: &[u8], sha256: &str) -> Result<Put, StoreError> {
        let path = self.path(key)?;
        let put = self.place(&path, bytes).map_err(|e| io_error(format!("put {}", path.display()), e))?;
        if put == Put::AlreadySame {
            let found = sha256_hex(&self.get(key)?);
            if found != sha256 {
                return Err(StoreError::Conflict { key: key.to_owned(), found, wanted: sha256.to_owned() });
            }
        }
        self.sync_directories(&path).map_err(|e| io_error(format!("put {}", path.display()), e))?;
        Ok(put)
    }

    pub(super) fn get(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path(key)?;
        self.refuse_links(&path).and_then(|()| fs::read(&path)).map_err(|e| match e.kind() {
            ErrorKind::NotFound => StoreError::Missing { key: key.to_owned() },
            _ => io_error(format!("get {}", path.display()), e),
        })
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        walk(&self.root, "", prefix, &mut keys)
            .map_err(|e| io_error(format!("list {}", self.root.display()), e))?;
        keys.sort_unstable();
        Ok(keys)
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        check_key(key).map_err(|cause| StoreError::Key { key: key.to_owned(), cause })?;
        Ok(self.root.join(key))
    }

    /// Writes a file apart and links it to its place, which fails if something is there.
    fn place(&self, path: &Path, bytes: &[u8]) -> io::Result<Put> {
        let parent = path.parent().unwrap_or(&self.root);
        self.refuse_links(path)?;
        fs::create_dir_all(parent)?;
        if path.symlink_metadata().is_ok() {
            return Ok(Put::AlreadySame);
        }
        let (incoming, mut file) = self.incoming()?;
        let linked = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&incoming, path));
        fs::remove_file(&incoming)?;
        match linked {
            Ok(()) => Ok(Put::Created),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Put::AlreadySame),
            Err(e) => Err(e),
        }
    }

    /// Nobody's link makes an object lie, or be read, outside the root.
    fn refuse_links(&self, path: &Path) -> io::Result<()> {
        let mut inside = path.ancestors().take_while(|above| *above != self.root);
        match inside.find(|above| above.is_symlink()) {
            None => Ok(()),
            Some(link) => Err(io::Error::other(format!("{} is a symbolic link; remove it", link.display()))),
        }
    }

    /// A new file, locked for as long as it is open, so that [`clear`] knows it from a dead writer's.
    fn incoming(&self) -> io::Result<(PathBuf, File)> {
        let mut number = 0;
        loop {
            let path = self.root.join(INCOMING).join(format!("{}-{number}", std::process::id()));
            match File::create_new(&path) {
                Ok(file) => return file.lock().map(|()| (path, file)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(e),
            }
        }
    }

    /// Makes the object's name durable, and those of the directories that it lies in.
    fn sync_directories(&self, path: &Path) -> io::Result<()> {
        let inside = path.ancestors().skip(1).take_while(|directory| directory.starts_with(&self.root));
        inside.map(File::open).try_for_each(|directory| directory?.sync_all())
    }
}

fn clear(incoming: &Path) -> io::Result<()> {
    for entry in fs::read_dir(incoming)? {
        let path = entry?.path();
        match File::open(&path).map(|file| file.try_lock()) {
            Ok(Ok(())) => remove(&path)?,
            Ok(Err(TryLockError::WouldBlock)) => {}
            Ok(Err(TryLockError::Error(e))) => return Err(e),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Another process may have been faster.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// Collects the keys under `directory`. Links are not followed, and names that are no keys are not ours.
fn walk(directory: &Path, above: &str, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(|name| format!("{above}{name}")) else { continue };
        if check_key(&name).is_err() {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_file() && name.starts_with(prefix) {
            keys.push(name);
        } else if kind.is_dir() && (name.starts_with(prefix) || prefix.starts_with(&name)) {
            walk(&entry.path(), &format!("{name}/"), prefix, keys)?;
        }
    }
    Ok(())
}

fn io_error(attempt: String, cause: io::Error) -> StoreError {
    StoreError::Io { attempt, cause }
}
