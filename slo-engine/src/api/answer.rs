//! Answers to whoever reads: with an ETag, compressed where that is wanted, never kept by others.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Less than this is not worth to be compressed.
const WORTH_BYTES: usize = 1024;

/// Fast, and most of what there is to win.
const ZSTD_LEVEL: i32 = 3;

/// What a page may load and be part of: its own style sheet, and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
                           form-action 'self'; frame-ancestors 'none'";

/// A way to make a body smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The best that is accepted.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let wanted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut best: Option<(f32, Self)> = None;
        for item in wanted.flat_map(|value| value.split(',')) {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok());
            let coding = match name.trim().to_ascii_lowercase().as_str() {
                "zstd" => Self::Zstd,
                "gzip" | "x-gzip" => Self::Gzip,
                _ => continue,
            };
            let Some(quality) = quality.filter(|quality: &f32| *quality > 0.0) else { continue };
            let wins = best.is_none_or(|(q, held)| quality > q || (quality == q && held == Self::Gzip));
            if wins {
                best = Some((quality, coding));
            }
        }
        best.map(|(_, coding)| coding)
    }
}

/// How an answer is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wants {
    pub(super) coding: Option<Coding>,
    /// What the client has: `If-None-Match`.
    held: Vec<String>,
}

impl Wants {
    /// Whether the client has what bears this tag; in the weak sense, so that its coding does not matter.
    pub(super) fn has(&self, tag: &str) -> bool {
        let plain = tag.trim_start_matches("W/");
        self.held.iter().any(|held| held == "*" || held.trim_start_matches("W/") == plain)
    }
}

impl<S: Sync> FromRequestParts<S> for Wants {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let held =
            parts.headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let held = held.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect();
        Ok(Self { coding: Coding::accepted(&parts.headers), held })
    }
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Html,
    Css,
    Ndjson,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
            Self::Css => "text/css; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// An answer that is ready to be sent.
#[derive(Debug)]
pub(super) struct Answer {
    head: HeaderMap,
    /// Nothing: the client has it.
    body: Option<Bytes>,
}

impl Answer {
    /// Of a body, as it is wanted.
    pub(super) fn new(kind: Kind, body: Vec<u8>, wants: &Wants) -> Self {
        let tag = tag(&body);
        let coding = wants.coding.filter(|_| body.len() >= WORTH_BYTES);
        let (mut head, body) = match (wants.has(&tag), coding) {
            (true, _) => (head(kind, &tag, None), None),
            (false, None) => (head(kind, &tag, None), Some(body.into())),
            (false, Some(coding)) => match compressed(&body, coding) {
                Ok(small) => (head(kind, &tag, Some(coding)), Some(small.into())),
                Err(_) => (head(kind, &tag, None), Some(body.into())),
            },
        };
        if body.is_none() {
            head.remove(header::CONTENT_TYPE);
        }
        Self { head, body }
    }

    /// Of a value as JSON.
    pub(super) fn json<T: serde::Serialize>(value: &T, wants: &Wants) -> Self {
        // Views hold nothing that is no JSON.
        Self::new(Kind::Json, serde_json::to_vec(value).unwrap_or_default(), wants)
    }

    /// To whoever writes: what was done, which is no copy of anything.
    pub(super) fn committed<T: serde::Serialize>(value: &T, wants: &Wants) -> Self {
        let mut answer = Self::json(value, &Wants { held: Vec::new(), ..wants.clone() });
        answer.head.remove(header::ETAG);
        answer
    }

    /// With a link to what comes next.
    pub(super) fn next(mut self, link: Option<String>) -> Self {
        let link = link.map(|link| format!("<{link}>; rel=\"next\""));
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
            self.head.insert(header::LINK, link);
        }
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self.body {
            Some(body) => (self.head, Body::from(body)).into_response(),
            None => (StatusCode::NOT_MODIFIED, self.head).into_response(),
        }
    }
}

/// The headers of an answer that bears this tag.
pub(super) fn head(kind: Kind, tag: &str, coding: Option<Coding>) -> HeaderMap {
    let mut head = HeaderMap::new();
    let mut put =
        |name: HeaderName, value: &'static str| drop(head.insert(name, HeaderValue::from_static(value)));
    put(header::CONTENT_TYPE, kind.content_type());
    put(header::CACHE_CONTROL, "private, no-cache");
    put(header::VARY, "accept-encoding");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if kind == Kind::Html {
        put(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
        put(header::X_FRAME_OPTIONS, "DENY");
        put(header::REFERRER_POLICY, "no-referrer");
    }
    if let Some(coding) = coding {
        put(header::CONTENT_ENCODING, coding.as_str());
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        head.insert(header::ETAG, tag);
    }
    head
}

/// The tag of a body. Weak: it is the same in every coding.
pub(super) fn tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn compressed(body: &[u8], coding: Coding) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Zstd => zstd::encode_all(body, ZSTD_LEVEL),
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()
        }
    }
}

/// Writes in a coding as it goes.
pub(super) enum Encoder<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    pub(super) fn new(to: W, coding: Option<Coding>) -> io::Result<Self> {
        Ok(match coding {
            None => Self::Plain(to),
            Some(Coding::Gzip) => Self::Gzip(GzEncoder::new(to, Compression::fast())),
            Some(Coding::Zstd) => Self::Zstd(zstd::stream::write::Encoder::new(to, ZSTD_LEVEL)?),
        })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(bytes),
            Self::Gzip(to) => to.write_all(bytes),
            Self::Zstd(to) => to.write_all(bytes),
        }
    }

    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(to) => Ok(to),
            Self::Gzip(to) => to.finish(),
            Self::Zstd(to) => to.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, want: Option<Coding>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, accept.parse().unwrap());
        assert_eq!(Coding::accepted(&headers), want, "{accept}");
    }

    #[test]
    fn the_best_coding_that_is_accepted_is_taken() {
        check("gzip, deflate, br, zstd", Some(Coding::Zstd));
        check("gzip, deflate", Some(Coding::Gzip));
        check("zstd;q=0.5, gzip", Some(Coding::Gzip));
        check("zstd;q=0, gzip;q=0", None);
        check("identity, *", None);
        check("GZIP;q=0.1", Some(Coding::Gzip));
        check("gzip;q=x", None);
    }

    #[test]
    fn a_tag_is_held_in_every_coding() {
        let wants =
            |held: &[&str]| Wants { coding: None, held: held.iter().map(|tag| (*tag).to_owned()).collect() };
        let tag = tag(b"body");
        assert!(wants(&["\"x\"", &tag]).has(&tag) && wants(&["*"]).has(&tag));
        assert!(wants(&[tag.trim_start_matches("W/")]).has(&tag));
        assert!(!wants(&["\"x\""]).has(&tag) && !wants(&[]).has(&tag));
    }
}
