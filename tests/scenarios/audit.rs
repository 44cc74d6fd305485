//! The offline audit of `Cargo.lock` finds what it must and nothing else.

use std::fs;
use std::process::{Command, Output};

use anyhow::Result;

/// Runs the audit on packages (name, version, of the registry) with one advisory on `leaky`; nothing without Python.
fn audit(versions: &str, packages: &[(&str, &str, bool)], deny: &str) -> Result<Option<Output>> {
    let dir = tempfile::tempdir()?;
    let (database, lock) = (dir.path().join("db"), dir.path().join("Cargo.lock"));
    fs::create_dir(&database)?;
    let advisory = |number: u32, package: &str, versions: &str| {
        let header = format!(
            "[advisory]\nid = \"RUSTSEC-2020-000{number}\"\npackage = \"{package}\"\ndate = \"2020-01-01\"\n"
        );
        let path = database.join(format!("RUSTSEC-2020-000{number}.md"));
        fs::write(path, format!("```toml\n{header}{versions}\n```\n# It leaks\n"))
    };
    advisory(1, "leaky", versions)?;
    advisory(2, "of-nobody", "[versions]\npatched = []")?;
    let package = |(name, version, is_foreign): &(&str, &str, bool)| {
        let source = if *is_foreign { "source = \"registry\"\n" } else { "" };
        format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{source}")
    };
    fs::write(&lock, packages.iter().map(package).collect::<String>())?;
    fs::write(dir.path().join(".deny.toml"), deny)?;
    let script = |name: &str| {
        let mut command = Command::new("python3");
        command.arg(tests::root().join("tests/ci").join(name));
        command
    };
    let Ok(pinned) = script("pin-advisories.py").arg(&database).output() else {
        assert!(std::env::var_os("CI").is_none(), "there is no python3 here: apt-get install python3");
        eprintln!("SKIPPED: there is no python3 here");
        return Ok(None);
    };
    let advisories = dir.path().join("advisories.tsv");
    fs::write(&advisories, pinned.stdout)?;
    Ok(Some(script("audit.py").arg(advisories).arg(&lock).arg(dir.path().join(".deny.toml")).output()?))
}

const NOTHING_ACCEPTED: &str = "[advisories]\nignore = []\n";

#[track_caller]
fn check(versions: &str, version: &str, is_found: bool) {
    let output =
        audit(versions, &[("leaky", version, true), ("sound", "1.0.0", true)], NOTHING_ACCEPTED).unwrap();
    let Some(output) = output else { return };
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(i32::from(is_found)), "{versions} {version}: {told}");
    assert_eq!(told.contains("leaky"), is_found, "{told}");
}

#[test]
fn versions_are_compared_as_cargo_does() {
    check("[versions]\npatched = [\">= 1.2.3\"]", "1.2.2", true);
    check("[versions]\npatched = [\">= 1.2.3\"]", "1.2.3", false);
    check("[versions]\npatched = [\">= 1.2.3\"]", "1.2.3-rc.1", true);
    check("[versions]\npatched = [\">= 1.2.3\"]", "1.10.0", false);
    check("[versions]\npatched = [\"^0.3.5\", \">= 0.5\"]", "0.3.9", false);
    check("[versions]\npatched = [\"^0.3.5\", \">= 0.5\"]", "0.4.0", true);
    check("[versions]\npatched = []\nunaffected = [\"< 0.2.0\"]", "0.1.9", false);
    check("[versions]\npatched = []\nunaffected = [\"< 0.2.0\"]", "0.2.0", true);
    check("[versions]\npatched = [\">= 1.1.0, < 1.2.0\", \"~1.4\"]", "1.2.0", true);
    check("[versions]\npatched = [\">= 1.1.0, < 1.2.0\", \"~1.4\"]", "1.4.7", false);
    check("withdrawn = \"2021-01-01\"\n[versions]\npatched = []", "1.0.0", false);
}

#[test]
fn a_crate_of_ours_with_the_name_of_another_is_not_meant() {
    let output = audit("[versions]\npatched = []", &[("leaky", "0.1.0", false)], NOTHING_ACCEPTED).unwrap();
    assert!(output.is_none_or(|output| output.status.success()));
}

#[test]
fn an_accepted_finding_is_told_with_its_reason() {
    let deny = "[advisories]\nignore = [{ id = \"RUSTSEC-2020-0001\", reason = \"we never call it\" }]\n";
    let Some(output) = audit("[versions]\npatched = []", &[("leaky", "1.0.0", true)], deny).unwrap() else {
        return;
    };
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("accepted: we never call it"));
}
