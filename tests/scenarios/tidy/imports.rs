//! Who may import whom, held against the manifests and against what they bring along.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tests::root;
use toml::{Table, Value};

/// Each crate of ours, its folder, and those of ours that it may name.
const MAY_IMPORT: [(&str, &str, &[&str]); 11] = [
    ("alerts", "alerts", &[]),
    ("archive", "collector/archive", &["settings"]),
    ("collector", "collector", &["archive", "kubernetes", "search", "settings", "slo", "telemetry"]),
    ("dashboards", "dashboards", &["settings", "slo"]),
    ("kubernetes", "collector/kubernetes", &[]),
    ("search", "collector/search", &["settings"]),
    ("settings", "collector/settings", &[]),
    ("slo", "slo-engine/slo", &["settings"]),
    (
        "slo-engine",
        "slo-engine",
        &[
            "alerts",
            "archive",
            "collector",
            "dashboards",
            "kubernetes",
            "search",
            "settings",
            "slo",
            "telemetry",
        ],
    ),
    ("telemetry", "collector/telemetry", &[]),
    (
        "tests",
        "tests",
        &[
            "alerts",
            "archive",
            "collector",
            "dashboards",
            "kubernetes",
            "search",
            "settings",
            "slo",
            "slo-engine",
            "telemetry",
        ],
    ),
];

/// Crates that decide and do not do: no runtime may come with them, by any way.
const PURE: [&str; 2] = ["settings", "slo"];

fn table(path: &str) -> Table {
    fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
}

fn names(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// The names that a manifest depends on, those of its tests and of its build included.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = sections.iter().filter_map(|section| manifest.get(*section)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn every_crate_imports_what_the_table_allows() {
    let members: BTreeSet<String> =
        names(table("Cargo.toml")["workspace"].get("members")).into_iter().collect();
    let listed: BTreeSet<String> = MAY_IMPORT.iter().map(|(_, folder, _)| (*folder).to_owned()).collect();
    assert!(members.is_subset(&listed), "Cargo.toml:1: the table does not know {:?}", &members - &listed);
    for (name, folder, allowed) in MAY_IMPORT.iter().filter(|(_, folder, _)| members.contains(*folder)) {
        let manifest = table(&format!("{folder}/Cargo.toml"));
        assert_eq!(manifest["package"]["name"].as_str(), Some(*name), "{folder}/Cargo.toml:2");
        let ours = |name: &&String| MAY_IMPORT.iter().any(|(crate_name, _, _)| crate_name == name);
        for imported in dependencies(&manifest).iter().filter(ours) {
            assert!(
                allowed.contains(&imported.as_str()),
                "{folder}/Cargo.toml:1: {name} must not import {imported}"
            );
        }
    }
}

#[test]
fn one_place_says_the_version_of_a_dependency() {
    for folder in names(table("Cargo.toml")["workspace"].get("members")) {
        let manifest = table(&format!("{folder}/Cargo.toml"));
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
                let inherits = value.get("workspace").and_then(Value::as_bool) == Some(true);
                assert!(
                    inherits,
                    "{folder}/Cargo.toml:1: {name} has a version of its own: write {name}.workspace = true"
                );
            }
        }
    }
}

#[test]
fn what_decides_brings_no_runtime_along() {
    let lock = table("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    let mut edges: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in packages {
        // `name`, or `name version` where several are there; the versions are thrown together.
        let needs = names(package.get("dependencies"));
        let needs = needs.iter().map(|need| need.split(' ').next().unwrap().to_owned());
        edges.entry(package["name"].as_str().unwrap()).or_default().extend(needs);
    }
    for start in PURE {
        let (mut reached, mut open) = (BTreeSet::new(), vec![start.to_owned()]);
        while let Some(name) = open.pop() {
            open.extend(
                edges
                    .get(name.as_str())
                    .into_iter()
                    .flatten()
                    .filter(|need| !reached.contains(*need))
                    .cloned(),
            );
            reached.insert(name);
        }
        assert!(!reached.contains("tokio"), "Cargo.lock:1: {start} brings tokio along");
    }
}
