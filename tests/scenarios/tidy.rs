//! The rules of this house, as tests: what a reader relies on when opening any file.

mod circles;
mod imports;
mod sources;

use std::fs;

use sources::{Source, sources};
use tests::root;

/// Lines of a file, at most.
const FILE_LINES: usize = 500;

/// Lines of a function, at most.
const FUNCTION_LINES: usize = 70;

/// What may lie at the top, beside dotfiles.
const TOP: [&str; 12] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "alerts",
    "charts",
    "collector",
    "dashboards",
    "slo-engine",
    "target",
    "tests",
];

/// Checks a rule on every line of every source; `wrong` says what is wrong with a line.
#[track_caller]
fn check_lines(wrong: impl Fn(&Source, usize) -> Option<String>) {
    let sources = sources();
    let each = |source: &Source| {
        let found = (0..source.lines.len()).filter_map(|at| Some((at, wrong(source, at)?)));
        found.map(|(at, why)| format!("{}:{}: {why}", source.path, at + 1)).collect::<Vec<_>>()
    };
    check(sources.iter().flat_map(each));
}

#[track_caller]
fn check(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_opens_with_a_sentence_on_what_it_is() {
    check(sources().iter().filter_map(|source| {
        let is_readme = source.lines[0].starts_with("#![doc = include_str!(");
        let opening = source.lines.iter().take_while(|line| line.starts_with("//! "));
        let text = opening.map(|line| line.trim_start_matches("//! ")).collect::<Vec<_>>().join(" ");
        let is_sentence =
            text.starts_with(|c: char| c.is_uppercase() || c == '`') && text.ends_with(['.', '`', ':']);
        (!is_readme && !is_sentence).then(|| format!("{}:1: no //! sentence: {text:?}", source.path))
    }));
}

#[test]
fn files_can_be_read_at_one_sitting() {
    check(sources().iter().filter_map(|source| {
        let lines = source.lines.len();
        (lines > FILE_LINES).then(|| format!("{}:{lines}: more than {FILE_LINES} lines", source.path))
    }));
}

#[test]
fn functions_can_be_seen_at_once() {
    check_lines(|source, at| {
        let length = source.function_length(at)?;
        (length > FUNCTION_LINES).then(|| format!("a function of {length} lines, more than {FUNCTION_LINES}"))
    });
}

#[test]
fn a_module_is_named_by_its_file() {
    let named = sources().into_iter().filter(|source| source.path.ends_with("/mod.rs"));
    check(named.map(|source| format!("{}:1: write foo.rs beside foo/, not foo/mod.rs", source.path)));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not break its own rule.
    let marks =
        [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("TO", "DO"), concat!("FIX", "ME")];
    check_lines(|source, at| {
        let mark = marks.iter().find(|mark| source.lines[at].contains(**mark))?;
        Some(format!("{mark}: finish it, or say in the README what is not there"))
    });
}

#[test]
fn no_test_is_switched_off() {
    let mark = concat!("#[ig", "nore");
    check_lines(|source, at| {
        source.lines[at]
            .trim_start()
            .starts_with(mark)
            .then(|| format!("{mark}…: mend the test or remove it"))
    });
}

#[test]
fn no_test_sleeps() {
    // Where a test owns the clock (`start_paused`), time passes at once.
    let calls = [concat!("thread::sl", "eep("), concat!("time::sl", "eep("), concat!(" sl", "eep(")];
    check_lines(|source, at| {
        let sleeps = calls.iter().any(|call| source.lines[at].contains(call));
        let sleeps = sleeps && source.is_test(at) && !source.owns_the_clock(at);
        sleeps.then(|| "wait for what is to happen, not for a time".to_owned())
    });
}

#[test]
fn the_engine_knows_the_collector_where_the_readme_says() {
    check_lines(|source, at| {
        let inside = source.path.strip_prefix("slo-engine/src/")?;
        let names = source.lines[at].split("//").next()?.contains("collector::");
        let parts = ["up.rs", "up/", "refill.rs", "refill/", "config/refill.rs"];
        let allowed = parts.iter().any(|part| inside.starts_with(part));
        (names && !allowed).then(|| "the collector is for up.rs, refill.rs and its configuration".to_owned())
    });
}

#[test]
fn the_top_holds_what_the_layout_names() {
    let entries =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strange = entries.filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()));
    check(strange.map(|name| format!("{name}:1: does not belong at the top")));
}
