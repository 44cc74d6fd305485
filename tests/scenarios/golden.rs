//! What is said of given logs is, byte for byte, what release 0.1 said of them: the document of `up`, the reports, the
//! ledger and the pages, by their hashes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use archive::sha256_hex;
use serde_json::{Value, json};
use tests::{reference, root};

use crate::engine;

/// What a program said, by what it is.
type Documents = BTreeMap<String, Vec<u8>>;

/// Everything that the program says of `logs`.
async fn said(logs: &Path, data_dir: &Path, months: &[&str]) -> Result<Documents> {
    let mut documents = Documents::new();
    documents.insert("up".into(), engine().up(data_dir, &[logs]).await?.success()?.into_bytes());
    for month in months {
        let arguments = ["report", "--month", month, "--output", "json", "--data-dir"].map(PathBuf::from);
        let arguments: Vec<PathBuf> = arguments.into_iter().chain([data_dir.to_owned()]).collect();
        documents.insert(format!("report {month}"), engine().run(&arguments).await?.success()?.into_bytes());
    }
    let config = data_dir.join("golden.yaml");
    std::fs::write(&config, json!({ "listen": "127.0.0.1:0", "data_dir": data_dir }).to_string())?;
    let arguments = ["ledger", "--output", "json", "--config"].map(PathBuf::from).into_iter().chain([config]);
    let ledger = engine().run(&arguments.collect::<Vec<_>>()).await?.success()?;
    // As it is printed: the keys of a value would come in another order.
    let (_, minutes) = ledger.split_once("\"minutes\":").context("the ledger has minutes")?;
    let minutes = minutes.trim_end().strip_suffix('}').context("minutes are the last key")?;
    documents.insert("ledger minutes".into(), minutes.as_bytes().to_vec());
    let ledger: Value = serde_json::from_str(&ledger)?;
    let tip = ledger["tip"].as_str().context("the ledger has a tip")?;
    documents.insert("ledger chain".into(), format!("{} {tip}", ledger["blocks"]).into_bytes());
    documents.insert("pages".into(), pages(&data_dir.join("pages.jsonl"))?);
    Ok(documents)
}

/// Pages in an order of their own: those of one instant are sent to several people at once.
fn pages(path: &Path) -> Result<Vec<u8>> {
    let pages = std::fs::read_to_string(path)?;
    let mut pages: Vec<&str> = pages.split_inclusive('\n').collect();
    pages.sort_unstable();
    Ok(pages.concat().into_bytes())
}

/// What `tests/fixtures/record/golden.py` recorded.
fn golden(size: &str) -> Result<Value> {
    let all: Value = serde_json::from_slice(&std::fs::read(root().join("tests/fixtures/golden-0.1.json"))?)?;
    Ok(all[size].clone())
}

/// Every document has the hash that was recorded; those that have not are kept, and named all at once.
async fn check(size: &str, logs: &Path) -> Result<()> {
    let golden = golden(size)?;
    let months = golden["months"].as_array().context("some months")?.iter().filter_map(Value::as_str);
    let dir = tempfile::tempdir()?;
    let documents = said(logs, &dir.path().join("data"), &months.collect::<Vec<_>>()).await?;
    let recorded = golden["sha256"].as_object().context("hashes")?;
    assert!(
        recorded.keys().eq(documents.keys()),
        "other documents than were recorded: {:?}",
        documents.keys()
    );
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden");
    let mut others = Vec::new();
    for (name, document) in &documents {
        if recorded[name] != sha256_hex(document) {
            std::fs::create_dir_all(&kept)?;
            let path = kept.join(format!("{size} {name}").replace(' ', "-"));
            std::fs::write(&path, document)?;
            others.push(format!("{name}: {}", path.display()));
        }
    }
    ensure!(
        others.is_empty(),
        "of {size} ({}) something else is said than by release 0.1:\n{}\n`golden.py record` with `--keep` and that release \
         gives what to compare with",
        golden["logs"],
        others.join("\n")
    );
    Ok(())
}

#[tokio::test]
async fn of_the_recorded_logs_the_same_is_said_as_ever() -> Result<()> {
    check("recorded", &tests::recorded()).await
}

#[tokio::test]
async fn of_random_logs_the_same_is_said_as_ever() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("pods");
    let script = root().join("tests/fixtures/record/golden.py");
    let Some(made) = reference::python(&[script.as_os_str(), "logs".as_ref(), logs.as_os_str()])? else {
        return Ok(());
    };
    println!("SEED={}", made["seed"]);
    assert_eq!(made, golden("tiny")?["logs"], "the script makes other logs than it did");
    check("tiny", &logs).await
}
