//! The log notifier against real files.

use std::fs;
use std::path::Path;

use super::{after, at, trigger};
use crate::{ChannelName, Intent, Kind, Log, LogConfig, NotifierConfig, Notifiers};

fn log(path: &Path) -> Log {
    Log::build(LogConfig { file: Some(path.to_owned()) }).unwrap()
}

/// The ids in the file; every line must be whole.
pub(super) fn ids(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let id = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

fn two() -> (Intent, Intent) {
    let first = trigger("k", "journal", &[], at(0));
    let second = after(&first, Kind::Resolve, "journal");
    (first, second)
}

#[tokio::test]
async fn each_id_is_in_the_file_once_however_often_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.jsonl");
    let (first, second) = two();
    for intent in [&first, &second, &first, &second] {
        log(&path).send(intent).await.unwrap();
    }
    assert_eq!(ids(&path), [first.id.0, second.id.0]);
}

#[tokio::test]
async fn a_line_that_was_torn_at_any_byte_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.jsonl");
    let (first, second) = two();
    log(&path).send(&first).await.unwrap();
    let start = fs::read(&path).unwrap().len();
    log(&path).send(&second).await.unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in (start..=whole.len()).step_by(7).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..cut]).unwrap();
        log(&path).send(&second).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.jsonl");
    let (first, second) = two();
    let log = log(&path);
    log.send(&first).await.unwrap();
    fs::rename(&path, folder.path().join("old")).unwrap();
    log.send(&second).await.unwrap();
    assert_eq!(ids(&path), [second.id.0]);
}

#[tokio::test]
async fn senders_at_the_same_time_write_an_id_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.jsonl");
    let (first, second) = two();
    let (one, two) = (log(&path), log(&path));
    let _ = tokio::join!(one.send(&first), two.send(&first), one.send(&second), two.send(&second));
    assert_eq!(ids(&path).len(), 2);
}

#[test]
fn proving_makes_no_file_and_preparing_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.jsonl");
    let notifiers = |path: &Path| {
        let config = NotifierConfig::Log(LogConfig { file: Some(path.to_owned()) });
        Notifiers::build([(ChannelName::from("journal"), config)].into()).unwrap()
    };
    let proven = notifiers(&path);
    assert!(!path.exists());
    proven.prepare().unwrap();
    assert!(path.exists());
    let error = notifiers(&folder.path().join("none/pages.jsonl")).prepare().unwrap_err().remove(0);
    assert_eq!(error.path, "journal.file", "{error}");
}

#[tokio::test]
async fn a_folder_in_the_place_of_the_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig { file: Some(folder.path().to_owned()) };
    let error = Log::build(config).unwrap_err().remove(0).to_string();
    assert!(error.starts_with("file: cannot open ") && error.contains("directory"), "{error}");
    let error = Log::File(folder.path().to_owned()).send(&two().0).await.unwrap_err();
    assert!(matches!(error, crate::SendError::Retry { .. }), "{error}");
}
