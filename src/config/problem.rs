//! Problems of a config: what is wrong, and what to do about it.

use std::path::{Path, PathBuf};

/// A mistake in a config, or something that its author may not have meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` if it belongs to no line, or its line is not known yet.
    pub line: Option<usize>,
    /// The mistake.
    pub what: String,
    /// The remedy.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { line: None, what: what.into(), remedy: remedy.into() }
    }

    /// Returns the problem of something that a later release supports.
    pub(super) fn not_yet(what: &str) -> Self {
        Self::new(
            format!("this release does not support {what} yet"),
            "remove it, or use a release that supports it",
        )
    }

    pub(super) fn on_line(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }

    /// Returns the problem as a line that names its file: `lakeward.toml:3: what: remedy`.
    pub fn at(&self, path: &Path) -> String {
        let Problem { line, what, remedy } = self;
        match line {
            Some(line) => format!("{}:{line}: {what}: {remedy}", path.display()),
            None => format!("{what}: {remedy}"),
        }
    }
}

/// The reason why a config can't be used; prints one line for each problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The problems; never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}", problem.at(&self.path))?;
        }
        Ok(())
    }
}
