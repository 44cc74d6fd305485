//! What is wrong with a configuration, and where: collected, so that all of it is told at once.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::Node;

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// The way from the root, `sources.app.include[0]`; empty for the root.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

// === impl Problem ===

impl Problem {
    /// A mistake at a place that no node stands for.
    pub fn new(file: &str, line: usize, path: &str, message: impl Into<String>) -> Problem {
        Problem { file: file.into(), line, path: path.to_owned(), message: message.into() }
    }

    /// A mistake in a node.
    pub fn at(node: &Node, message: impl Into<String>) -> Problem {
        Problem { file: node.file.clone(), line: node.line, path: node.path.clone(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file)?;
        if self.line > 0 {
            write!(out, ":{}", self.line)?;
        }
        if !self.path.is_empty() {
            write!(out, ": {}", self.path)?;
        }
        write!(out, ": {}", self.message)
    }
}

// === impl Problems ===

impl Problems {
    /// Adds a mistake.
    pub fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// All of them, sorted by file and line, each once.
    pub fn into_vec(self) -> Vec<Problem> {
        self.sorted()
    }

    fn sorted(&self) -> Vec<Problem> {
        let mut problems = self.0.borrow().clone();
        problems.sort();
        problems.dedup();
        problems
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.sorted().iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
