//! Files that are there whole or not at all, whatever moment the power goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file anew: under another name, synced, renamed into place, and the directory synced.
///
/// # Errors
/// The disk failed; the file that was there before still is.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_directory_of(path)
}

/// Makes a rename or a new name in the directory last.
///
/// # Errors
/// The disk failed.
pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => sync_directory(dir),
        _ => sync_directory(Path::new(".")),
    }
}
