//! `up` is killed at random moments and started again: same counts, same archive, no page lost or doubled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::archived::Archived;
use tests::logs::{copy, files};
use tests::program::Kill;
use tests::recorded;
use tests::seeded::Random;

use crate::engine;

/// Data directories, each killed several times before it comes to the end.
const DIRECTORIES: usize = 5;

/// Kills of each: twenty in all.
const KILLS: usize = 4;

/// What a data directory holds in the end.
#[derive(Debug, PartialEq)]
struct Outcome {
    document: Value,
    archived: Archived,
    /// How often each page was written.
    pages: BTreeMap<String, usize>,
}

async fn finish(data_dir: &Path, logs: &Path) -> Result<Outcome> {
    let document = engine().up(data_dir, &[logs]).await?.json()?;
    let mut pages = BTreeMap::new();
    for line in std::fs::read_to_string(data_dir.join("pages.jsonl"))?.lines() {
        let page: Value = serde_json::from_str(line).with_context(|| format!("a page is cut: {line:?}"))?;
        *pages.entry(page["id"].as_str().context("a page has an id")?.to_owned()).or_default() += 1;
    }
    Ok(Outcome { document, archived: Archived::of(data_dir).await?, pages })
}

/// One ingress controller and the application behind it, from twenty minutes before the outage to half an hour after it:
/// a fifth of what was recorded, so that all these runs take less than a minute on two cores.
fn around_the_outage(tree: &Path) -> Result<()> {
    let wanted = |file: &PathBuf| {
        let path = file.to_string_lossy();
        let rotated_at = ["192758", "193957", "195353", "200729", "193107", "195317", "200236"];
        let pod = path.contains("-x2lqk_") || path.contains("_pds-0_");
        pod && rotated_at.iter().any(|time| path.contains(&format!("20261123-{time}")))
    };
    let files: Vec<PathBuf> = files(&recorded())?.into_iter().filter(wanted).collect();
    ensure!(files.len() == 7, "the recorded logs are others now: {files:?}");
    copy(&files, &recorded(), tree)
}

/// Kills a run over `data_dir` at a moment of chance within `longest`; says whether it still ran.
async fn kill(data_dir: &Path, logs: &Path, random: &mut Random, longest: Duration) -> Result<Kill> {
    let moment = Duration::from_micros(random.below(u64::try_from(longest.as_micros())?));
    engine().up_killed(data_dir, &[logs], moment).await
}

#[tokio::test]
async fn twenty_kills_change_nothing() -> Result<()> {
    let (dir, mut random) = (tempfile::tempdir()?, Random::seeded());
    let logs = dir.path().join("logs");
    around_the_outage(&logs)?;
    let want = finish(&dir.path().join("undisturbed"), &logs).await?;
    assert!(want.pages.values().all(|times| *times == 1) && !want.pages.is_empty(), "{:?}", want.pages);
    assert!(want.archived.records.len() > 10_000, "{} lines", want.archived.records.len());
    let whole_run = duration_of_a_run(&dir.path().join("measured"), &logs).await?;
    for number in 0..DIRECTORIES {
        let data_dir = dir.path().join(format!("killed-{number}"));
        let (mut struck, mut longest) = (0, whole_run);
        while struck < KILLS {
            match kill(&data_dir, &logs, &mut random, longest).await? {
                Kill::Struck => struck += 1,
                // What was read is not read again: later runs are shorter.
                Kill::CameTooLate => longest = longest * 3 / 4,
            }
        }
        let got = finish(&data_dir, &logs).await?;
        assert_eq!(got.document, want.document, "directory {number}");
        assert_eq!(got.pages, want.pages, "directory {number}");
        assert!(got.archived == want.archived, "directory {number}: another archive");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the moments of the kills depend on how fast this machine is")]
async fn duration_of_a_run(data_dir: &Path, logs: &Path) -> Result<Duration> {
    let start = std::time::Instant::now();
    engine().up(data_dir, &[logs]).await?.success()?;
    Ok(start.elapsed())
}
