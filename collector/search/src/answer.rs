//! An answer as it came, and what it says: a function of status, `Retry-After` and body.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::error::SearchError;

/// Bytes of an answer's text that an error shows.
const SHOWN: usize = 300;

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whom it came from, for errors.
    pub endpoint: String,
    /// HTTP status.
    pub status: u16,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body of a success as JSON; an empty one is null.
    ///
    /// # Errors
    /// The status is no success, or the body is no JSON.
    pub fn json(&self) -> Result<Value, SearchError> {
        self.success()?;
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            SearchError::unavailable(format!("{} answers with what is no JSON: {error}", self.endpoint))
        })
    }

    /// Whether it is a success.
    ///
    /// # Errors
    /// It is none.
    pub fn success(&self) -> Result<(), SearchError> {
        let (after, reason) = (self.retry_after, self.reason());
        match self.status {
            200..=299 => Ok(()),
            400..=407 | 409..=424 | 426..=428 | 431..=499 => {
                Err(SearchError::Refused { status: self.status, reason })
            }
            _ => Err(SearchError::Unavailable { after, reason }),
        }
    }

    /// Cause, place and next step of a failure.
    pub(crate) fn reason(&self) -> String {
        let (endpoint, status) = (&self.endpoint, self.status);
        let hint = match status {
            401 => "; check the user and password, or the key, in auth",
            403 => "; the user in auth lacks a privilege",
            _ => "",
        };
        format!("{endpoint} answers {status}: {}{hint}", said(&self.body))
    }

    /// The server's own error object, if it is one that says `status`.
    pub(crate) fn own_error(&self) -> Option<Value> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let same = body.get("status")?.as_u64()? == u64::from(self.status);
        body.get("error").filter(|_| same).cloned()
    }
}

/// What a body says of an error.
fn said(body: &[u8]) -> String {
    if let Ok(value) = serde_json::from_slice::<Value>(body)
        && let Some(error) = value.get("error")
    {
        return explain(error);
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    shorten(text.trim())
}

/// `type: reason (cause's type: reason)` of an error object.
pub(crate) fn explain(error: &Value) -> String {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(error) = error.as_str() {
        return shorten(error);
    }
    let own = format!("{}: {}", text(error, "type"), text(error, "reason"));
    let own = shorten(&own);
    match error.get("caused_by") {
        Some(cause) => {
            format!("{own} ({})", shorten(&format!("{}: {}", text(cause, "type"), text(cause, "reason"))))
        }
        None => own,
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
