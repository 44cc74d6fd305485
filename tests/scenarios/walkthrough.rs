//! The configurations of the README's walkthrough with real servers are proven, and it names the files that there are.

use std::path::{Path, PathBuf};

use collector::config::{Config as Collector, Purpose};
use slo_engine::config::Config as Engine;
use tests::root;

/// What `headroom-servers` writes into a folder, as far as the configurations name it.
fn variable(name: &str, folder: &Path) -> Option<String> {
    let value = match name {
        "HEADROOM_REAL" => folder.to_str()?,
        "ELASTICSEARCH_URL" | "S3_URL" | "ALERTMANAGER_URL" => "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "HEADROOM_TOKEN" => "secret",
        _ => return None,
    };
    Some(value.to_owned())
}

fn file(name: &str) -> PathBuf {
    root().join("tests/walkthrough").join(name)
}

#[test]
fn both_programs_take_their_configurations() {
    let folder = tempfile::tempdir().unwrap();
    let env = |name: &str| variable(name, folder.path());
    let collector = Collector::load(&[file("collector.yaml")], Purpose::Run, &env);
    let collector = collector.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(collector.sinks.len(), 3);
    assert!(collector.warnings.is_empty());
    let engine = Engine::load(&file("engine.yaml"), &env).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(engine.elasticsearch.is_some() && engine.archive.is_some());
}

#[test]
fn the_readme_names_the_files_that_there_are() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("## With real servers").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let named: Vec<&str> =
        section.split([' ', '\n']).filter(|word| word.starts_with("tests/walkthrough/")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert!(root().join(name).exists(), "{name}");
    }
}
