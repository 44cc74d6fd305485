//! A tree of pods gives the same document in any order, in more files, and read twice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tests::logs::{content, copy, files, rotate_earlier};
use tests::recorded;
use tests::seeded::Random;

use crate::engine;

/// Pods of every kind: an ingress controller, an application whose container was restarted, one that the ingress does
/// not know. The other controller stays out to keep this short.
fn some_pods() -> Result<Vec<PathBuf>> {
    let all = files(&recorded())?;
    Ok(all.into_iter().filter(|file| !file.to_string_lossy().contains("-q7hvn_")).collect())
}

async fn up(data_dir: &Path, logs: &[PathBuf]) -> Result<String> {
    engine().up(data_dir, logs).await?.success()
}

/// What the pods give as they were recorded.
async fn as_recorded(dir: &Path) -> Result<String> {
    copy(&some_pods()?, &recorded(), &dir.join("recorded"))?;
    up(&dir.join("as-recorded"), &[dir.join("recorded")]).await
}

fn is_rotated(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().contains(".log."))
}

#[tokio::test]
async fn another_order_gives_the_same_document() -> Result<()> {
    let (dir, mut random) = (tempfile::tempdir()?, Random::seeded());
    let want = as_recorded(dir.path()).await?;
    let mut pods = some_pods()?;
    random.shuffle(&mut pods);
    let mut trees = Vec::new();
    for file in &pods {
        // Each pod is a tree of its own, and its files are as old as chance will have them.
        let pod = file.strip_prefix(recorded())?.iter().next().unwrap();
        let tree = dir.path().join("trees").join(pod);
        copy([file], &recorded(), &tree)?;
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + random.below(100_000_000));
        File::options().write(true).open(tree.join(file.strip_prefix(recorded())?))?.set_modified(made)?;
        if !trees.contains(&tree) {
            trees.push(tree);
        }
    }
    assert!(trees.len() >= 4, "{trees:?}");
    assert_eq!(up(&dir.path().join("shuffled"), &trees).await?, want);
    trees.reverse();
    assert_eq!(up(&dir.path().join("reversed"), &trees).await?, want);
    Ok(())
}

#[tokio::test]
async fn more_files_give_the_same_document() -> Result<()> {
    let (dir, mut random) = (tempfile::tempdir()?, Random::seeded());
    let want = as_recorded(dir.path()).await?;
    let tree = dir.path().join("recorded");
    for file in files(&tree)?.into_iter().filter(|file| is_rotated(file)) {
        rotate_earlier(&file, 10 + usize::try_from(random.below(80))?)?;
    }
    assert_eq!(up(&dir.path().join("cut"), &[tree]).await?, want);
    Ok(())
}

#[tokio::test]
async fn reading_twice_gives_the_same_document() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let want = as_recorded(dir.path()).await?;
    let tree = dir.path().join("recorded");
    assert_eq!(up(&dir.path().join("as-recorded"), std::slice::from_ref(&tree)).await?, want, "a second run");
    assert_eq!(up(&dir.path().join("twice"), &[tree.clone(), tree.clone()]).await?, want, "named twice");
    // kubelet compresses beside the file and removes it afterwards: for a moment both are there.
    for file in files(&tree)?.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "gz"))
    {
        fs::write(file.with_extension(""), content(&file)?)?;
    }
    assert_eq!(
        up(&dir.path().join("copies"), std::slice::from_ref(&tree)).await?,
        want,
        "beside their copies"
    );
    assert_eq!(up(&dir.path().join("as-recorded"), &[tree]).await?, want, "copies that came later");
    Ok(())
}
