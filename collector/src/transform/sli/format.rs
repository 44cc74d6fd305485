//! What one line is: which format it has, and the request that it tells of.

use std::borrow::Cow;
use std::fmt;

use super::{access, json};

/// Formats of request logs that are known, told line by line: a container may mix access lines and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// ingress-nginx's `upstreaminfo`.
    Upstreaminfo,
    /// The combined (or common) log format of nginx and Apache, whatever follows it.
    Combined,
    /// One JSON object by nginx's `escape=json` with `status` and the usual variable names.
    NginxJson,
    /// pino-http.
    Pino,
    /// Elastic Common Schema with `http.response.status_code`.
    Ecs,
    /// No request log: messages, and lines that are broken.
    Other,
}

/// One line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Its format.
    pub format: Format,
    /// What it tells.
    pub line: Line<'a>,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Of a request, health checks included.
    Request(Request<'a>),
    /// Of something else.
    Message,
    /// It looks like a request but cannot be read.
    Unparsed,
}

/// A request as its line has it; nothing is judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The line's own time, in milliseconds since 1970: when the request ended.
    pub ended_ms: Option<i64>,
    /// Status that the client saw, 100 to 999.
    pub status: u16,
    /// gRPC status, where it is logged.
    pub grpc_status: Option<u8>,
    /// What the client waited.
    pub duration: Duration,
    /// Path without its query, as logged; empty where the request names none.
    pub path: Cow<'a, [u8]>,
    /// User agent, as logged.
    pub agent: Cow<'a, [u8]>,
    /// Whom the line says that the request was for.
    pub target: Target<'a>,
}

/// What a line says of how long the client waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// Nothing: the format has none.
    NotLogged,
    /// Something that is no duration (negative, `null`).
    Unreadable,
    /// Microseconds, cut.
    Us(u64),
}

/// What a line says of whom a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Only the stream can tell.
    Stream,
    /// The application names itself (`service.name`, pino's `name`).
    Name(Cow<'a, [u8]>),
    /// nginx's `$proxy_upstream_name`.
    Upstream(Cow<'a, [u8]>),
}

/// Reads one line. Never fails: what cannot be read is [`Line::Unparsed`] or [`Line::Message`].
pub fn read(line: &[u8]) -> Reading<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    match line.trim_ascii_start() {
        object @ [b'{', ..] => json::read(object),
        _ => access::read(line).unwrap_or(Reading::OTHER),
    }
}

/// Path of a request line `GET /path?query HTTP/1.1`, without the query; empty for what is none (`hello`, TLS bytes).
pub(super) fn path_of_request(request: &[u8]) -> &[u8] {
    let Some(space) = memchr::memchr(b' ', request) else { return b"" };
    let url = &request[space + 1..];
    let end = memchr::memrchr(b' ', url).filter(|&at| url[at + 1..].starts_with(b"HTTP/"));
    path_of_url(&url[..end.unwrap_or(url.len())])
}

/// Everything of `url` before `?` or `#`.
pub(super) fn path_of_url(url: &[u8]) -> &[u8] {
    &url[..memchr::memchr2(b'?', b'#', url).unwrap_or(url.len())]
}

// === impl Format ===

impl Format {
    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstreaminfo => "upstreaminfo",
            Self::Combined => "combined",
            Self::NginxJson => "nginx-json",
            Self::Pino => "pino",
            Self::Ecs => "ecs",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// A line that tells of no request.
    pub(super) const OTHER: Reading<'static> = Reading { format: Format::Other, line: Line::Message };
    /// A line that looks like a request but is broken.
    pub(super) const BROKEN: Reading<'static> = Reading { format: Format::Other, line: Line::Unparsed };

    /// The same without borrowing.
    pub(super) fn into_owned(self) -> Reading<'static> {
        let line = match self.line {
            Line::Request(request) => Line::Request(request.into_owned()),
            Line::Message => Line::Message,
            Line::Unparsed => Line::Unparsed,
        };
        Reading { format: self.format, line }
    }
}

// === impl Request ===

impl Request<'_> {
    fn into_owned(self) -> Request<'static> {
        let owned = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
        Request {
            path: owned(self.path),
            agent: owned(self.agent),
            target: match self.target {
                Target::Stream => Target::Stream,
                Target::Name(name) => Target::Name(owned(name)),
                Target::Upstream(name) => Target::Upstream(owned(name)),
            },
            ended_ms: self.ended_ms,
            status: self.status,
            grpc_status: self.grpc_status,
            duration: self.duration,
        }
    }
}

// === impl Duration ===

impl Duration {
    /// A duration that could be read or not.
    pub(super) fn logged(us: Option<u64>) -> Self {
        us.map_or(Self::Unreadable, Self::Us)
    }

    /// Microseconds, where they are known.
    pub fn us(self) -> Option<u64> {
        match self {
            Self::Us(us) => Some(us),
            Self::NotLogged | Self::Unreadable => None,
        }
    }
}

#[cfg(test)]
mod tests;
