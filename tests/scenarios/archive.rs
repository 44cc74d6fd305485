//! The archive holds every line that the files held, once and byte for byte, found by reading the files another way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tests::archived::Archived;
use tests::logs::{content, files};
use tests::recorded;

use crate::engine;

/// A restart's files are read one after the other: rotated ones by their time, then the one that is written to.
fn reading_order(file: &Path) -> (PathBuf, String, String) {
    let folder = file.parent().unwrap_or(file).to_owned();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (restart, rotated) = name.split_once(".log").unwrap_or((&name, ""));
    let time = if rotated.is_empty() { "the last" } else { rotated };
    (folder, restart.to_owned(), time.to_owned())
}

/// What the containers wrote, line by line, sorted. A line may begin in one file and end in the next.
fn recorded_lines() -> Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    let mut open: BTreeMap<(PathBuf, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut all = files(&recorded())?;
    all.sort_by_key(|file| reading_order(file));
    for file in all {
        let (folder, _, _) = reading_order(&file);
        let content = content(&file)?;
        for record in content.strip_suffix(b"\n").unwrap_or(&content).split(|&byte| byte == b'\n') {
            // 2026-11-23T19:36:00.123Z stdout F text
            let mut parts = record.splitn(4, |&byte| byte == b' ').skip(1);
            let mut part = || parts.next().context("a record has four parts");
            let (pipe, tag, text) = (part()?, part()?, part()?);
            let line = open.entry((folder.clone(), pipe.to_vec())).or_default();
            line.extend(text);
            if tag == b"F" {
                lines.push(std::mem::take(line));
            }
        }
    }
    lines.sort_unstable();
    Ok(lines)
}

#[tokio::test]
async fn every_recorded_line_is_in_the_archive_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    engine().up(dir.path(), &[recorded()]).await?.success()?;
    let mut archived: Vec<Vec<u8>> = Archived::of(dir.path()).await?.records.into_values().collect();
    archived.sort_unstable();
    let recorded = recorded_lines()?;
    assert!(recorded.len() > 100_000, "{} lines were recorded", recorded.len());
    assert_eq!(archived.len(), recorded.len());
    assert!(archived == recorded, "other lines than those that were recorded");
    Ok(())
}

#[tokio::test]
async fn a_plain_file_comes_back_byte_for_byte() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file: PathBuf = dir.path().join("odd.log");
    let odd: &[u8] = b"a\n\n\ra\n\xff\x00\xfe\n{\"index\":{}}\n  \x1b[31mred\ttab \xe2\x80\xa8 end \n";
    std::fs::write(&file, odd)?;
    engine().up(&dir.path().join("data"), &[file]).await?.success()?;
    let archived = Archived::of(&dir.path().join("data")).await?;
    assert_eq!(archived.streams.into_values().collect::<Vec<_>>(), [odd]);
    Ok(())
}
