//! How a command fails: refused before anything was started, or on the way.

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration was refused; nothing was started.
    Config(String),
    /// Something failed on the way.
    Run(anyhow::Error),
}

impl Failure {
    /// A configuration that was refused, with every mistake.
    pub(crate) fn refused(problems: settings::Problems) -> Self {
        Self::Config(problems.to_string())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}
