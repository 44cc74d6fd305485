//! What stands behind the question mark: each value is proven, and what is not known is refused.

use std::fmt::Write as _;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::refusal::Refusal;
use crate::figures::Filter;
use crate::format::in_url;
use crate::page::STATES;

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let read = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        match read {
            Ok(axum::extract::Query(mut pairs)) => {
                // A form sends what was left empty, too.
                pairs.retain(|(_, value)| !value.is_empty());
                Ok(Self(pairs))
            }
            Err(error) => Err(Refusal::bad(format!("the query cannot be read: {error}"))),
        }
    }
}

impl Query {
    /// Refuses every parameter that is not one of `allowed`, and one that comes twice.
    pub(super) fn only(&self, allowed: &[&str]) -> Result<(), Refusal> {
        for (at, (key, _)) in self.0.iter().enumerate() {
            let allowed_here = || if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            if !allowed.contains(&key.as_str()) {
                let text = format!("unknown parameter {key:?}; allowed here: {}", allowed_here());
                return Err(Refusal::bad(text));
            }
            if self.0[..at].iter().any(|(other, _)| other == key) {
                return Err(Refusal::bad(format!("the parameter {key:?} is there twice; keep one")));
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    /// A whole number from 1 to `most`.
    pub(super) fn whole(&self, key: &str, default: usize, most: usize) -> Result<usize, Refusal> {
        let Some(text) = self.text(key) else { return Ok(default) };
        match text.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(Refusal::bad(format!("{key}={text:?} is not a whole number from 1 to {most}"))),
        }
    }

    /// `true` or `false`; nothing where it is not there.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.text(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(text) => Err(Refusal::bad(format!("{key}={text:?} is neither true nor false"))),
        }
    }

    /// What `q`, `namespace` and `state` say.
    pub(super) fn filter(&self) -> Result<Filter, Refusal> {
        let words = || STATES.map(|(state, _)| state);
        let state = match self.text("state") {
            None => None,
            Some(text) => Some(words().into_iter().find(|state| *state == text).ok_or_else(|| {
                Refusal::bad(format!("state={text:?} is not one of {}", words().join(", ")))
            })?),
        };
        let namespace = self.text("namespace").map(str::to_owned);
        Ok(Filter { text: self.text("q").unwrap_or_default().to_lowercase(), namespace, state })
    }

    /// The same question with another value of `key`.
    pub(super) fn with(&self, path: &str, key: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(other, _)| other != key);
        let others = others.map(|(key, value)| (key.as_str(), value.as_str()));
        let mut link = path.to_owned();
        for (at, (key, value)) in others.chain([(key, value)]).enumerate() {
            let sign = if at == 0 { '?' } else { '&' };
            // Writing to a String cannot fail.
            let _ = write!(link, "{sign}{}={}", in_url(key), in_url(value));
        }
        link
    }
}
