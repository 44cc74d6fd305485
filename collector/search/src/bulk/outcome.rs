//! What a bulk request's answer says of each item: a function of the answer.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::answer::{Answer, explain};

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is written.
    Done,
    /// It was there already: written by an earlier try, so a success.
    Already,
    /// The same item may go through later: the queue is full, a shard or a privilege is missing, the index is blocked.
    Retry {
        /// What the server says.
        reason: String,
    },
    /// The document itself is refused, and always will be.
    Rejected {
        /// What the server says.
        reason: String,
    },
}

/// Why nothing is known of the single items.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BulkError {
    /// The same request may go through later.
    #[error("{reason}")]
    Retry {
        /// How long the server wants to be left alone.
        after: Option<Duration>,
        /// What went wrong.
        reason: String,
    },
    /// It is too large as a whole: halve it.
    #[error("{reason}")]
    TooLarge {
        /// What the server says.
        reason: String,
    },
    /// The server cannot read it: one of its items breaks the request. Halve it.
    #[error("{reason}")]
    Malformed {
        /// What the server says.
        reason: String,
    },
}

/// What the answer to a request of `count` items says of each.
///
/// # Errors
/// It says nothing of them.
pub(crate) fn outcomes(answer: &Answer, count: usize) -> Result<Vec<Outcome>, BulkError> {
    match answer.status {
        200..=299 => items(answer, count),
        413 => Err(BulkError::TooLarge { reason: answer.reason() }),
        // Only the server's own word: a proxy's 400 may mean anything, and what it means passes when it is repaired.
        400 if answer.own_error().is_some_and(|error| is_about_the_document(&error)) => {
            Err(BulkError::Malformed { reason: answer.reason() })
        }
        _ => Err(BulkError::Retry { after: answer.retry_after, reason: answer.reason() }),
    }
}

fn items(answer: &Answer, count: usize) -> Result<Vec<Outcome>, BulkError> {
    let unread = |what: String| BulkError::Retry {
        after: answer.retry_after,
        reason: format!("{} answers {} to a bulk request with {what}", answer.endpoint, answer.status),
    };
    let body: Value =
        serde_json::from_slice(&answer.body).map_err(|error| unread(format!("no JSON: {error}")))?;
    let items = body.get("items").and_then(Value::as_array).ok_or_else(|| unread("no items".to_owned()))?;
    if items.len() != count {
        return Err(unread(format!("{} items in place of {count}", items.len())));
    }
    Ok(items.iter().map(outcome).collect())
}

fn outcome(item: &Value) -> Outcome {
    let Some((action, said)) = item.as_object().and_then(|item| item.iter().next()) else {
        return Outcome::Retry { reason: format!("an item's answer cannot be read: {item}") };
    };
    let status = said.get("status").and_then(Value::as_u64).unwrap_or(0);
    let error = said.get("error").unwrap_or(&Value::Null);
    let reason = || format!("{status}: {}", explain(error));
    match status {
        200..=299 => Outcome::Done,
        409 if action == "create" => Outcome::Already,
        400 if is_about_the_document(error) => Outcome::Rejected { reason: reason() },
        413 => Outcome::Rejected { reason: reason() },
        _ => Outcome::Retry { reason: reason() },
    }
}

/// Whether a 400 is the document's own fault. Others come from the state of the cluster, which somebody repairs.
fn is_about_the_document(error: &Value) -> bool {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        // The cluster's limit of shards; the index was closed; the alias has no index to write to.
        "validation_exception" => !text("reason").contains("shards open"),
        // Something else has the alias's name, so no index of the day can be made.
        "index_closed_exception" | "invalid_alias_name_exception" | "invalid_index_name_exception" => false,
        // A pipeline that was removed; an index that holds as many documents as one can.
        "illegal_argument_exception" => !["no write index", "pipeline with id", "ocuments in the index"]
            .iter()
            .any(|state| text("reason").contains(state)),
        _ => true,
    }
}
