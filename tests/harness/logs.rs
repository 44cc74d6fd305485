//! Log files to read: made, copied, cut into more files.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Every file below `folder`, sorted.
///
/// # Errors
/// A folder cannot be read.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Copies `files`, in this order, from below `from` to the same places below `to`.
///
/// # Errors
/// A file cannot be copied.
pub fn copy<'a>(files: impl IntoIterator<Item = &'a PathBuf>, from: &Path, to: &Path) -> anyhow::Result<()> {
    for file in files {
        let target = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(target.parent().context("a file has a folder")?)?;
        fs::write(&target, fs::read(file)?)?;
    }
    Ok(())
}

/// The content of a file, decompressed if its name ends in `.gz`.
///
/// # Errors
/// It cannot be read.
pub fn content(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    match file.extension().is_some_and(|extension| extension == "gz") {
        true => MultiGzDecoder::new(File::open(file)?).read_to_end(&mut content)?,
        false => File::open(file)?.read_to_end(&mut content)?,
    };
    Ok(content)
}

/// `content` as gzip.
///
/// # Errors
/// None, as it is written to memory.
pub fn gzip(content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

/// Cuts a file that kubelet rotated, `0.log.20261123-200649.gz`, in two, as if it had rotated it in between too: at
/// the first line end at or behind `share` (in percent) of its content.
///
/// # Errors
/// It cannot be read or written, or is none.
pub fn rotate_earlier(file: &Path, share: usize) -> anyhow::Result<()> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a file has a name")?;
    let (stem, ending) = name.strip_suffix(".gz").map_or((name, ""), |stem| (stem, ".gz"));
    let (head, seconds) = stem.split_at(stem.len() - 2);
    let seconds: u32 = seconds.parse().with_context(|| format!("{name} is no rotated file"))?;
    ensure!(seconds > 0, "{name}: there is no second before in the same minute");
    let content = content(file)?;
    let (first, second) = content.split_at(line_end(&content, content.len() * share / 100));
    let pack = |part: &[u8]| if ending.is_empty() { Ok(part.to_vec()) } else { gzip(part) };
    fs::write(file.with_file_name(format!("{head}{:02}{ending}", seconds - 1)), pack(first)?)?;
    fs::write(file, pack(second)?)?;
    Ok(())
}

/// Behind the first line end at or after `from`.
pub fn line_end(content: &[u8], from: usize) -> usize {
    content[from..].iter().position(|&byte| byte == b'\n').map_or(content.len(), |at| from + at + 1)
}
