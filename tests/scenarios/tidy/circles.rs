//! Files of the engine that import each other in a circle can only be read all at once: there must be none.

use std::collections::{BTreeMap, BTreeSet};

use super::check;
use super::sources::{Source, sources};

/// The crate that is looked at.
const CRATE: &str = "slo-engine/src/";

/// Imports that would close a circle and are let pass, as (importing file, imported file). The list may only shrink.
const LET_PASS: [(&str, &str); 0] = [];

/// Which files of a crate import which others, by module path.
#[derive(Default)]
struct Imports(BTreeMap<String, BTreeSet<String>>);

impl Imports {
    /// Of sources whose paths begin at the crate's root. A parent that declares its children imports none of them by
    /// that; what only tests import does not count.
    fn of(sources: &[Source]) -> Self {
        let modules: BTreeSet<String> = sources.iter().map(|source| module(&source.path)).collect();
        let tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
        let is_test = |module: &str| {
            tests.iter().any(|test| {
                module == test
                    || module.strip_prefix(test.as_str()).is_some_and(|rest| rest.starts_with("::"))
            })
        };
        let mut imports = Self::default();
        for source in sources {
            let from = module(&source.path);
            if is_test(&from) {
                continue;
            }
            let found = paths(&code(source)).into_iter().filter_map(|path| file_of(&path, &from, &modules));
            imports.0.insert(from.clone(), found.filter(|to| *to != from).collect());
        }
        imports
    }

    /// The shortest way from a file back to itself.
    fn circle(&self, start: &str) -> Option<Vec<&str>> {
        let mut ways: Vec<Vec<&str>> = vec![vec![self.0.get_key_value(start)?.0]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                for to in self.0.get(way[way.len() - 1]).into_iter().flatten() {
                    let way: Vec<&str> = way.iter().copied().chain([to.as_str()]).collect();
                    if to == start {
                        return Some(way);
                    }
                    if seen.insert(to.as_str()) {
                        longer.push(way);
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

/// `a/b.rs` is `a::b`, and `lib.rs` the root, which is named by nothing.
fn module(path: &str) -> String {
    let name = path.trim_end_matches(".rs").replace('/', "::");
    if name == "lib" { String::new() } else { name }
}

/// Children that a file declares for its tests alone.
fn test_modules(source: &Source) -> Vec<String> {
    let parent = module(&source.path);
    let declared = source.lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = declared.filter_map(|pair| pair[1].strip_suffix(';')?.split("mod ").nth(1));
    names.map(|name| if parent.is_empty() { name.to_owned() } else { format!("{parent}::{name}") }).collect()
}

/// The text that is compiled outside of tests, without comments.
fn code(source: &Source) -> String {
    let lines = source.lines.iter().take_while(|line| *line != "mod tests {");
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate` or `super`; groups in braces are taken apart.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                branch("", &code[at..], &mut found);
            }
        }
    }
    found
}

/// Reads one path of a group, adds its ends to `found`, and returns what follows it.
fn branch<'a>(before: &str, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    let (path, mut rest) = (format!("{before}{}", &text[..end]), &text[end..]);
    if !(path.ends_with("::") && rest.starts_with('{')) {
        found.push(path);
        return rest;
    }
    rest = &rest[1..];
    while let Some(place) = rest.find(|c: char| !c.is_whitespace() && c != ',') {
        rest = &rest[place..];
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        rest = match rest.strip_prefix("as ") {
            Some(renamed) => renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
            None => branch(&path, rest, found),
        };
    }
    rest
}

/// The file that a path leads into: the longest part of it that is a module.
fn file_of(path: &str, from: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut place: Vec<&str> = from.split("::").filter(|name| !name.is_empty()).collect();
    for name in path.split("::") {
        match name {
            "crate" => place.clear(),
            "super" => drop(place.pop()),
            "self" | "" => {}
            name => place.push(name),
        }
    }
    while !modules.contains(&place.join("::")) {
        place.pop()?;
    }
    Some(place.join("::"))
}

#[test]
fn no_file_of_the_engine_imports_itself_by_a_detour() {
    let ours = sources().into_iter().filter_map(|source| {
        let path = source.path.strip_prefix(CRATE)?.to_owned();
        Some(Source { path, lines: source.lines }).filter(|source| source.path != "main.rs")
    });
    let mut imports = Imports::of(&ours.collect::<Vec<_>>());
    for (from, to) in LET_PASS {
        let known = imports.0.get_mut(&module(from)).is_some_and(|found| found.remove(&module(to)));
        assert!(known, "{CRATE}{from}:1: does not import {to} any more: take the pair off the list");
    }
    let circles = imports.0.keys().filter_map(|file| imports.circle(file));
    check(circles.map(|way| format!("{CRATE}{}.rs:1: {}", way[0].replace("::", "/"), way.join(" ► "))));
}

#[test]
fn imports_are_found_wherever_they_are_written() {
    #[track_caller]
    fn check(files: &[(&str, &str)], want: &[(&str, &[&str])]) {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
        };
        let found = Imports::of(&files.iter().map(source).collect::<Vec<_>>());
        let found: Vec<(&str, Vec<&str>)> = found
            .0
            .iter()
            .map(|(from, to)| (from.as_str(), to.iter().map(String::as_str).collect()))
            .filter(|(_, to): &(_, Vec<&str>)| !to.is_empty())
            .collect();
        let want: Vec<(&str, Vec<&str>)> = want.iter().map(|(from, to)| (*from, to.to_vec())).collect();
        assert_eq!(found, want);
    }
    let group = "mod b;\nuse crate::{\n    c::{self as see, d as dee, D},\n    e,\n};\n";
    check(
        &[("a.rs", group), ("a/b.rs", "use super::A;"), ("c.rs", ""), ("c/d.rs", ""), ("e.rs", "")],
        &[("a", &["c", "c::d", "e"]), ("a::b", &["a"])],
    );
    check(
        &[("a.rs", "fn f() { crate::b::g(); }\n// crate::c\n"), ("b.rs", ""), ("c.rs", "")],
        &[("a", &["b"])],
    );
    let tested = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n";
    check(&[("a.rs", tested), ("a/tests.rs", "use super::*;\nuse crate::b;"), ("b.rs", "")], &[]);
}

#[test]
fn a_circle_is_told_from_a_way_that_ends() {
    let ends = |pairs: &[(&str, &str)], start| {
        let mut imports = Imports::default();
        for (from, to) in pairs {
            imports.0.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        imports.circle(start).map(|way| way.join(" "))
    };
    let pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")];
    assert_eq!(ends(&pairs, "a").as_deref(), Some("a b c a"));
    assert_eq!(ends(&pairs, "e"), None);
    assert_eq!(ends(&pairs, "d"), None);
}
