//! Sealing in virtual time: once, in time, and the same whatever is interrupted.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::reports::tests::{counts, minute, open};

/// An engine and the two places that its months belong in.
struct Months {
    dir: tempfile::TempDir,
    keeper: Keeper,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

async fn keeper(state: &Path, root: &Path) -> Keeper {
    fs::create_dir_all(state).unwrap();
    let shelf =
        |name: &str| (name.to_owned(), Shelf::Directory(DirectoryStore::open(&root.join(name)).unwrap()));
    Keeper {
        engine: Arc::new(open(state, "UTC").await),
        environment: "test".to_owned(),
        schedule: Schedule::parse("0 6 4 * *", "UTC").unwrap(),
        shelves: vec![shelf("files"), shelf("archive")],
    }
}

impl Months {
    /// Requests in these minutes, and everything read up to `to`.
    async fn of(minutes: &[&str], to: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keeper = keeper(&dir.path().join("state"), dir.path()).await;
        let months = Self { dir, keeper };
        months.read(minutes, to).await;
        months
    }

    async fn read(&self, minutes: &[&str], to: &str) {
        read(&self.keeper, minutes, to).await;
    }

    /// What lies in a place, by key.
    fn files(&self, place: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.dir.path().join(place).join("reports");
        let paths = walk(&root);
        let key = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        paths.iter().map(|path| (key(path), fs::read(path).unwrap())).collect()
    }
}

async fn read(keeper: &Keeper, minutes: &[&str], to: &str) {
    let minutes: Vec<i64> = minutes.iter().map(|text| minute(text)).collect();
    keeper.engine.ingest(counts(&minutes, minute(to))).await.unwrap();
    keeper.engine.tick(at(to)).await.unwrap();
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn said(kept: &Kept) -> Vec<(&str, u32)> {
    kept.sealed.iter().map(|seal| (seal.month.as_str(), seal.restatement)).collect()
}

#[tokio::test]
async fn a_month_is_sealed_once_when_the_schedule_comes_72_hours_after_its_end() {
    let months = Months::of(&["2026-10-31T23:59:00Z", "2026-11-02T00:00:00Z"], "2026-11-04T05:00:00Z").await;
    assert_eq!(months.keeper.keep(at("2026-11-04T05:59:59Z")).await.unwrap(), Kept::default());
    let kept = months.keeper.keep(at("2026-11-04T06:00:00Z")).await.unwrap();
    assert_eq!(said(&kept), [("2026-10", 0)]);
    assert_eq!(kept.delivered, ["2026-10"]);
    let files = months.files("files");
    assert_eq!(
        files.keys().map(String::as_str).collect::<Vec<_>>(),
        ["minutes.ndjson.zst", "report.html", "report.json", "seal.json"]
            .map(|name| format!("test/2026-10/{name}"))
    );
    assert_eq!(files, months.files("archive"));
    let minutes = zstd::decode_all(&files["test/2026-10/minutes.ndjson.zst"][..]).unwrap();
    assert_eq!(
        String::from_utf8(minutes).unwrap(),
        "{\"minute\":\"2026-10-31T23:59:00Z\",\"service\":\"shop/web\",\"slo\":\"availability\",\"state\":\"read\",\"total\":1,\"bad\":0,\"excluded\":0}\n"
    );
    for (name, sealed) in &kept.sealed[0].files {
        assert_eq!(sha256_hex(&files[&format!("test/2026-10/{name}")]), sealed.sha256, "{name}");
    }
    // Later news of another month changes nothing.
    months.read(&["2026-11-05T00:00:00Z"], "2026-11-06T00:00:00Z").await;
    assert_eq!(months.keeper.keep(at("2026-11-06T00:00:00Z")).await.unwrap(), Kept::default());
    assert_eq!(months.files("files"), files);
}

#[tokio::test]
async fn months_that_ended_while_nobody_looked_are_sealed_later() {
    let months = Months::of(&["2026-08-15T00:00:00Z", "2026-10-02T00:00:00Z"], "2026-11-03T00:00:00Z").await;
    let kept = months.keeper.keep(at("2026-11-03T00:00:00Z")).await.unwrap();
    assert_eq!(said(&kept), [("2026-08", 0), ("2026-09", 0)]);
}

#[tokio::test]
async fn by_hand_a_month_is_sealed_from_72_hours_after_its_end_on() {
    let months = Months::of(&["2026-10-15T00:00:00Z"], "2026-11-04T00:00:00Z").await;
    let early = months.keeper.seal("2026-10", at("2026-11-03T23:59:59Z")).await.unwrap_err().to_string();
    assert_eq!(
        early,
        "2026-10 can be sealed from 2026-11-04T00:00:00Z on: 72 h after its end, when late lines have come"
    );
    let (word, _) = months.keeper.seal("2026-10", at("2026-11-04T00:00:00Z")).await.unwrap();
    assert!(matches!(word, Word::Sealed(seal) if seal.month == "2026-10" && seal.restatement == 0));
    let (again, _) = months.keeper.seal("2026-10", at("2026-11-04T00:00:00Z")).await.unwrap();
    assert_eq!(again, Word::Same);
    let (before, _) = months.keeper.seal("2025-01", at("2026-11-04T00:00:00Z")).await.unwrap();
    assert_eq!(before, Word::Not("no request was counted in it or before it"), "months of before the engine");
}

#[tokio::test]
async fn a_place_that_fails_gets_the_very_same_files_later() {
    let months = Months::of(&["2026-10-15T00:00:00Z"], "2026-11-05T00:00:00Z").await;
    // A file where the folder of the month should be.
    fs::create_dir_all(months.dir.path().join("archive/reports")).unwrap();
    fs::write(months.dir.path().join("archive/reports/test"), "").unwrap();
    let failed = months.keeper.keep(at("2026-11-05T00:00:00Z")).await.unwrap_err();
    assert!(format!("{failed:#}").contains("archive"), "{failed:#}");
    fs::remove_file(months.dir.path().join("archive/reports/test")).unwrap();
    let mut delivered = Vec::new();
    for later in ["2026-11-05T00:10:00Z", "2026-11-05T00:20:00Z"] {
        delivered.extend(months.keeper.keep(at(later)).await.unwrap().delivered);
    }
    assert_eq!(delivered, ["2026-10"]);
    assert_eq!(months.files("files"), months.files("archive"));
    assert_eq!(months.files("files").len(), 4);
}

#[tokio::test]
async fn what_changes_after_the_seal_is_a_restatement_beside_it() {
    let months = Months::of(&["2026-10-15T00:00:00Z"], "2026-11-05T00:00:00Z").await;
    months.keeper.keep(at("2026-11-05T00:00:00Z")).await.unwrap();
    let sealed = months.files("files");
    let mut late = counts(&[minute("2026-10-16T00:00:00Z")], minute("2026-11-05T00:00:00Z"));
    late.streams[0].stream = "late".to_owned();
    late.rows[0].key.stream = "late".to_owned();
    months.keeper.engine.ingest(late).await.unwrap();
    months.keeper.engine.tick(at("2026-11-05T00:01:00Z")).await.unwrap();
    let kept = months.keeper.keep(at("2026-12-04T06:00:00Z")).await.unwrap();
    assert_eq!(said(&kept)[0], ("2026-10", 1));
    let files = months.files("archive");
    assert!(files.contains_key("test/2026-10/restatements/1/report.json"), "{:?}", files.keys());
    assert!(sealed.iter().all(|(key, bytes)| files[key] == *bytes));
    assert_eq!(months.keeper.keep(at("2026-12-05T00:00:00Z")).await.unwrap(), Kept::default());
}

#[tokio::test]
async fn an_engine_that_lost_its_state_takes_over_what_was_sealed() {
    let months = Months::of(&["2026-10-15T00:00:00Z"], "2026-11-05T00:00:00Z").await;
    months.keeper.keep(at("2026-11-05T00:00:00Z")).await.unwrap();
    let sealed = months.files("files");
    fs::remove_dir_all(months.dir.path().join("archive/reports")).unwrap();
    let reborn = keeper(&months.dir.path().join("anew"), months.dir.path()).await;
    read(&reborn, &["2026-10-15T00:00:00Z"], "2026-11-06T00:00:00Z").await;
    assert_eq!(said(&reborn.keep(at("2026-11-06T00:00:00Z")).await.unwrap()), []);
    assert_eq!((months.files("files"), months.files("archive")), (sealed.clone(), sealed));
}
