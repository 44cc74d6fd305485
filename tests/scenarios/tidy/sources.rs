//! Every Rust file of the workspace, as lines.

use std::fs;
use std::path::Path;

use tests::root;

/// Folders of the workspace that hold sources.
const FOLDERS: [&str; 5] = ["alerts", "collector", "dashboards", "slo-engine", "tests"];

/// A Rust file.
pub(super) struct Source {
    /// Its path below the root.
    pub(super) path: String,
    /// Its lines.
    pub(super) lines: Vec<String>,
}

/// All of them, sorted by path.
pub(super) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in FOLDERS.iter().map(|folder| root().join(folder)).filter(|folder| folder.is_dir()) {
        collect(&folder, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            assert!(!lines.is_empty(), "{}:1: an empty file", path.display());
            found.push(Source { path: path.strip_prefix(root()).unwrap().display().to_string(), lines });
        }
    }
}

impl Source {
    /// Whether the line at `at` belongs to a test.
    pub(super) fn is_test(&self, at: usize) -> bool {
        let is_test_file = self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("tests.rs");
        let inline = self.lines.iter().position(|line| line == "mod tests {");
        is_test_file || inline.is_some_and(|from| at > from)
    }

    /// Whether the test around the line at `at` runs on a clock of its own.
    pub(super) fn owns_the_clock(&self, at: usize) -> bool {
        let attribute = self.lines[..at].iter().rfind(|line| line.trim_start().starts_with("#[tokio::test"));
        attribute.is_some_and(|attribute| attribute.contains("start_paused = true"))
            || self.lines[..at].iter().any(|line| line.contains(".start_paused(true)"))
    }

    /// Lines of the function that begins at `at`, if one does. Relies on rustfmt: the brace that closes a function
    /// stands where its first line begins.
    pub(super) fn function_length(&self, at: usize) -> Option<usize> {
        let line = &self.lines[at];
        let indentation = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.contains('"')).collect();
        let place = words.iter().position(|word| *word == "fn")?;
        let modifiers = ["async", "const", "unsafe"];
        let is_function =
            words[..place].iter().all(|word| word.starts_with("pub") || modifiers.contains(word));
        if !is_function || line.ends_with(['}', ';']) {
            return None;
        }
        let closing = format!("{}}}", " ".repeat(indentation));
        let ends = |line: &String| {
            line.starts_with(&closing)
                || (line.ends_with(';') && line.starts_with(&format!("{})", " ".repeat(indentation))))
        };
        let length = self.lines[at..].iter().position(ends);
        Some(length.unwrap_or(self.lines.len() - at) + 1)
    }
}

#[test]
fn the_length_of_a_function_is_told() {
    #[track_caller]
    fn check(text: &str, want: Option<usize>) {
        let source = Source { path: String::new(), lines: text.lines().map(str::to_owned).collect() };
        assert_eq!(source.function_length(0), want, "{text}");
    }
    check("fn a() {\n    b\n}\nfn c() {\n}", Some(3));
    check(
        "    pub(crate) async fn a(\n        x: u8,\n    ) -> u8\n    where\n        A: B,\n    {\n        b\n    }",
        Some(8),
    );
    check("    fn a(\n        x: u8,\n    ) -> u8;\n", Some(3));
    check("fn a();", None);
    check("fn a() {}", None);
    check("let text = \"fn a() {\";", None);
    check("// the fn a", None);
}
