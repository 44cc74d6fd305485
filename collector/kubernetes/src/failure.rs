//! Why a watch does not get on, in words that say what to do.

use kube::Resource;
use kube::core::Status;
use kube::runtime::watcher;
use thiserror::Error;

use crate::objects::Kept;

/// What befell a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A try failed; what is known is kept, and it is tried again.
    Failed {
        /// Why.
        failure: Failure,
        /// The try before did not fail for the same cause: to be told to people.
        is_news: bool,
    },
    /// It works again.
    Recovered,
}

/// Why a try failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// 403: RBAC.
    #[error(
        "the service account may not {verb} {resource}: give its ClusterRole the verb {verb} on {resource}, as the chart's has; the API server says: {reason}"
    )]
    Denied {
        /// `list` or `watch`.
        verb: &'static str,
        /// Such as `pods`, or `ingresses.networking.k8s.io`.
        resource: String,
        /// In the API server's words.
        reason: String,
    },
    /// 410: it does not know any more what happened since the last event; all is listed again.
    #[error("the API server has forgotten where the watch of {resource} was; listing them again")]
    Gone {
        /// What was watched.
        resource: String,
    },
    /// Nobody is there, the connection broke, or anything else.
    #[error("cannot {verb} {resource}, going on with what is known: {reason}")]
    Failed {
        /// `list` or `watch`.
        verb: &'static str,
        /// What.
        resource: String,
        /// What happened.
        reason: String,
    },
}

impl Failure {
    /// Reads what the watch of a kind of object says.
    pub(crate) fn of<T: Kept>(error: &watcher::Error) -> Self {
        let (group, plural) = (T::Object::group(&()), T::Object::plural(&()));
        let resource = if group.is_empty() { plural.into_owned() } else { format!("{plural}.{group}") };
        let (verb, cause) = match error {
            watcher::Error::InitialListFailed(cause) => ("list", Some(cause)),
            watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => {
                ("watch", Some(cause))
            }
            watcher::Error::WatchError(status) => return Self::said("watch", resource, status),
            watcher::Error::NoResourceVersion => ("watch", None),
        };
        match cause {
            Some(kube::Error::Api(status)) => Self::said(verb, resource, status),
            Some(cause) => Self::Failed { verb, resource, reason: chain(cause) },
            None => Self::Failed { verb, resource, reason: error.to_string() },
        }
    }

    fn said(verb: &'static str, resource: String, status: &Status) -> Self {
        match status.code {
            403 => Self::Denied { verb, resource, reason: status.message.clone() },
            410 => Self::Gone { resource },
            code => Self::Failed { verb, resource, reason: format!("{code}: {}", status.message) },
        }
    }

    /// Whether both have the same cause, whatever the words.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Denied { verb, .. }, Self::Denied { verb: other, .. }) => verb == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// An error with what caused it: the outer ones do not say that nobody listened.
fn chain(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text += &format!(": {words}");
        }
        cause = inner.source();
    }
    text
}
