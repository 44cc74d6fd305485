//! Path patterns of the `file` source: `*`, `?` and `[a-z]` within a name, `**` for any depth, a directory for all in it.

use std::path::{Component, Path, PathBuf};

/// One pattern of `include` or `exclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    base: PathBuf,
    names: Vec<String>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a path pattern must not be empty".into());
        }
        if !closes_sets(text.as_bytes()) {
            return Err(format!("the path pattern {text:?} opens a [ that it does not close"));
        }
        let mut base = PathBuf::new();
        let mut names: Vec<String> = Vec::new();
        for component in Path::new(text).components() {
            match component.as_os_str().to_str() {
                Some(name) if !names.is_empty() || is_wild(name) => names.push(name.to_owned()),
                _ => base.push(component),
            }
        }
        Ok(Self { text: text.to_owned(), base, names })
    }

    /// Every path that matches, in no particular order; names and links are as they stand in the directories.
    pub fn walk(&self, found: &mut dyn FnMut(PathBuf)) {
        match self.names.split_first() {
            None if self.base.is_dir() => descend(&self.base, &["**".to_owned(), "*".to_owned()], found),
            None => found(self.base.clone()),
            Some(_) => descend(&self.base, &self.names, found),
        }
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &Path) -> bool {
        let Ok(rest) = path.strip_prefix(&self.base) else { return false };
        let names: Option<Vec<&str>> = rest
            .components()
            .map(|component| match component {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        // A pattern without wild cards is a file, or a directory with all in it.
        names.is_some_and(|names| self.names.is_empty() || matches_names(&self.names, &names))
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Whether every `[` has its `]`; the first character of a set may be either of them.
fn closes_sets(pattern: &[u8]) -> bool {
    let Some(open) = memchr::memchr(b'[', pattern) else { return true };
    let set = &pattern[open..];
    match set.iter().skip(2).position(|&byte| byte == b']') {
        Some(close) => closes_sets(&set[close + 3..]),
        None => false,
    }
}

fn is_wild(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

fn descend(dir: &Path, names: &[String], found: &mut dyn FnMut(PathBuf)) {
    let Some((name, rest)) = names.split_first() else { return };
    let dir_or_here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    // A directory that went away or cannot be read holds nothing for now; its files are missed and told by the engine.
    let Ok(entries) = std::fs::read_dir(dir_or_here) else { return };
    if name == "**" && !rest.is_empty() {
        descend(dir, rest, found);
    }
    for entry in entries.flatten() {
        let path = dir.join(entry.file_name());
        // Links to directories are not followed: they may form a loop.
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match entry.file_name().to_str() {
            Some(_) if name == "**" && is_dir => descend(&path, names, found),
            Some(_) if name == "**" && rest.is_empty() => found(path),
            Some(text) if name != "**" && matches_name(name.as_bytes(), text.as_bytes()) => match rest {
                [] if is_dir => {}
                [] => found(path),
                _ => descend(&path, rest, found),
            },
            _ => {}
        }
    }
}

fn matches_names(pattern: &[String], names: &[&str]) -> bool {
    match (pattern.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            matches_names(rest, names)
                || names.split_first().is_some_and(|(_, less)| matches_names(pattern, less))
        }
        (Some((first, rest)), Some((name, names))) => {
            matches_name(first.as_bytes(), name.as_bytes()) && matches_names(rest, names)
        }
        _ => false,
    }
}

fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last `*` stood and where its match ends: one step back is enough, as a later `*` takes over.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(_) if one(&pattern[p..], name[n]).is_some() => {
                p += one(&pattern[p..], name[n]).unwrap_or(1);
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    (p, n) = (at + 1, from + 1);
                    star = Some((at, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Length of the pattern's first element if it matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => {
            let close = pattern.iter().skip(2).position(|&byte| byte == b']')? + 2;
            let (not, set) = match &pattern[1..close] {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            (in_set(set, byte) != not).then_some(close + 1)
        }
        literal => (literal == byte).then_some(1),
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    match set {
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&byte) || in_set(rest, byte),
        [first, rest @ ..] => *first == byte || in_set(rest, byte),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, want: bool) {
        assert_eq!(Pattern::new(pattern).unwrap().matches(Path::new(path)), want, "{pattern} {path}");
    }

    #[test]
    fn patterns_match_names_and_depths() {
        check("/var/log/*.log", "/var/log/a.log", true);
        check("/var/log/*.log", "/var/log/a.log.1", false);
        check("/var/log/*.log*", "/var/log/a.log.1", true);
        check("/var/log/*.log", "/var/log/sub/a.log", false);
        check("/var/log/**/*.log", "/var/log/sub/deep/a.log", true);
        check("/var/log/**/*.log", "/var/log/a.log", true);
        check("/var/log/a[0-9].log", "/var/log/a5.log", true);
        check("/var/log/a[!0-9].log", "/var/log/a5.log", false);
        check("/var/log/?.log", "/var/log/ab.log", false);
        check("/var/log", "/var/log/sub/a.log", true);
        check("/var/log/a.log", "/var/log/a.log", true);
        check("*a*b*c", "xxaxxbxxc", true);
        check("/logs/[[]a[]]/[*].log", "/logs/[a]/*.log", true);
        check("/logs/[[]a[]]/[*].log", "/logs/[a]/b.log", false);
        assert!(Pattern::new("/logs/[a").is_err());
    }

    #[test]
    fn a_walk_finds_files_at_every_depth_and_no_loops() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in ["one.log", "a/two.log", "a/b/three.log", "a/four.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        let walk = |pattern: &str| {
            let mut found = Vec::new();
            Pattern::new(&format!("{}{pattern}", dir.path().display()))
                .unwrap()
                .walk(&mut |path| found.push(path));
            found.len()
        };
        assert_eq!(walk("/*.log"), 1);
        assert_eq!(walk("/**/*.log"), 3);
        // A linked directory is followed where a pattern names its depth.
        assert_eq!(walk("/a/*/*.log"), 2);
    }
}
