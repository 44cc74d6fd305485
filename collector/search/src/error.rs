//! Why a call failed.

use std::time::Duration;

use thiserror::Error;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SearchError {
    /// The same call may go through later: nobody answers, or who answers is busy or broken.
    #[error("{reason}")]
    Unavailable {
        /// How long the server wants to be left alone.
        after: Option<Duration>,
        /// What went wrong, and where.
        reason: String,
    },
    /// The server does not do this: the call, the credentials or what it is about must change first.
    #[error("{reason}")]
    Refused {
        /// HTTP status: 400, 401, 403, 404 …
        status: u16,
        /// What the server says.
        reason: String,
    },
}

impl SearchError {
    /// Whether what was asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { after: None, reason: reason.into() }
    }
}
