//! JSON lines: pino-http, Elastic Common Schema, and nginx's `escape=json`.
//!
//! Only the keys that matter are kept, as raw text: numbers stay decimal, a value of an unexpected type is simply no
//! value, an unknown key costs nothing, and of a key that stands twice (pino does that) the last one counts.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::access::status;
use super::decimal::scaled;
use super::format::{Duration, Format, Line, Reading, Request, Target, path_of_request, path_of_url};
use super::time::any_ms;

/// The client left before the first byte of the answer, in nginx's words.
const CLIENT_CLOSED: u16 = 499;

/// Keys that matter, on whatever level.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    #[serde(rename = "@timestamp")]
    AtTimestamp,
    Agent,
    Duration,
    End,
    Event,
    #[serde(rename = "event.duration")]
    EventDuration,
    #[serde(rename = "event.end")]
    EventEnd,
    GrpcStatus,
    Headers,
    Http,
    #[serde(rename = "http.response.status_code")]
    HttpResponseStatusCode,
    HttpUserAgent,
    Msec,
    Name,
    Original,
    Path,
    ProxyUpstreamName,
    Req,
    Request,
    RequestMethod,
    RequestTime,
    RequestUri,
    Res,
    Response,
    #[serde(rename = "responseTime")]
    ResponseTime,
    Service,
    #[serde(rename = "service.name")]
    ServiceName,
    Status,
    #[serde(rename = "statusCode")]
    StatusCodeCamel,
    StatusCode,
    Time,
    #[serde(rename = "time_iso8601")]
    TimeIso8601,
    TimeLocal,
    Timestamp,
    Uri,
    Url,
    #[serde(rename = "url.original")]
    UrlOriginal,
    #[serde(rename = "url.path")]
    UrlPath,
    UserAgent,
    #[serde(rename = "user-agent")]
    UserAgentHeader,
    #[serde(rename = "user_agent.original")]
    UserAgentOriginal,
    #[serde(other)]
    Other,
}

/// The values of one object, by key.
struct Object<'a>([Option<&'a RawValue>; Key::Other as usize]);

/// Reads a line that begins with `{`.
pub(super) fn read(line: &[u8]) -> Reading<'_> {
    // Every format has a key that holds this word; most messages have none, and are done here.
    if memchr::memmem::find(line, b"status").is_none() {
        return Reading::OTHER;
    }
    if let Ok(object) = serde_json::from_slice(line) {
        return reading(&object);
    }
    // nginx's `escape=json` copies bytes that are not UTF-8.
    let text = String::from_utf8_lossy(line);
    match serde_json::from_str(&text) {
        Ok(object) => reading(&object).into_owned(),
        Err(_) if line.starts_with(b"{\"") => Reading::BROKEN,
        Err(_) => Reading::OTHER,
    }
}

fn reading<'a>(object: &Object<'a>) -> Reading<'a> {
    let (format, line) = if let Some(line) = pino(object) {
        (Format::Pino, line)
    } else if let Some(line) = ecs(object) {
        (Format::Ecs, line)
    } else if let Some(line) = nginx(object) {
        (Format::NginxJson, line)
    } else {
        (Format::Other, Line::Message)
    };
    Reading { format, line }
}

/// pino-http: `res.statusCode` and `responseTime` in milliseconds. A status of `null` says that no header was sent
/// when the connection closed: what nginx logs as 499.
fn pino<'a>(object: &Object<'a>) -> Option<Line<'a>> {
    let duration = object.raw(Key::ResponseTime)?;
    let status_code = object.object(Key::Res)?.raw(Key::StatusCodeCamel)?;
    let status = if status_code == "null" { Some(CLIENT_CLOSED) } else { status(unquoted(status_code)) };
    let Some(status) = status else { return Some(Line::Unparsed) };
    let req = object.object(Key::Req).unwrap_or_default();
    let headers = req.object(Key::Headers).unwrap_or_default();
    Some(Line::Request(Request {
        ended_ms: object.time(Key::Time),
        status,
        grpc_status: None,
        duration: Duration::logged(scaled(unquoted(duration), 3)),
        path: req.text(Key::Url).map(|url| cut(url, path_of_url)).unwrap_or_default(),
        agent: headers.text(Key::UserAgentHeader).unwrap_or_default(),
        target: object.text(Key::Name).map_or(Target::Stream, Target::Name),
    }))
}

/// Elastic Common Schema, nested or with dotted keys; `event.duration` is in nanoseconds.
fn ecs<'a>(object: &Object<'a>) -> Option<Line<'a>> {
    let nested = |outer, inner| object.object(outer)?.raw(inner);
    let status_code = object
        .raw(Key::HttpResponseStatusCode)
        .or_else(|| object.object(Key::Http)?.object(Key::Response)?.raw(Key::StatusCode))?;
    let Some(status) = status(unquoted(status_code)) else { return Some(Line::Unparsed) };
    let either = |dotted, outer, inner| object.raw(dotted).or_else(|| nested(outer, inner));
    let duration = either(Key::EventDuration, Key::Event, Key::Duration);
    let url = either(Key::UrlPath, Key::Url, Key::Path)
        .or_else(|| either(Key::UrlOriginal, Key::Url, Key::Original));
    let agent = either(Key::UserAgentOriginal, Key::UserAgent, Key::Original);
    let name = either(Key::ServiceName, Key::Service, Key::Name);
    let end = either(Key::EventEnd, Key::Event, Key::End).and_then(|time| any_ms(unquoted(time)));
    Some(Line::Request(Request {
        ended_ms: end.or_else(|| object.time(Key::AtTimestamp)),
        status,
        grpc_status: object.grpc_status(),
        duration: duration.map_or(Duration::NotLogged, |ns| Duration::logged(scaled(unquoted(ns), -3))),
        path: url.and_then(text).map(|url| cut(url, path_of_url)).unwrap_or_default(),
        agent: agent.and_then(text).unwrap_or_default(),
        target: name.and_then(text).map_or(Target::Stream, Target::Name),
    }))
}

/// nginx's variables under their own names: `status`, and one more that only a request has.
fn nginx<'a>(object: &Object<'a>) -> Option<Line<'a>> {
    let code = unquoted(object.raw(Key::Status)?);
    let marks = [Key::Request, Key::RequestMethod, Key::RequestTime, Key::RequestUri, Key::Uri];
    if !marks.into_iter().any(|key| object.raw(key).is_some()) {
        return None;
    }
    let Some(status) = status(code) else {
        // An application's own `"status":"ok"` is no request.
        return matches!(code, b"" | b"-" | b"0" | b"000" | b"009").then_some(Line::Unparsed);
    };
    let url = object.text(Key::RequestUri).or_else(|| object.text(Key::Uri)).map(|url| cut(url, path_of_url));
    let path = url.or_else(|| object.text(Key::Request).map(|request| cut(request, path_of_request)));
    let times = [Key::Msec, Key::TimeIso8601, Key::Time, Key::AtTimestamp, Key::Timestamp, Key::TimeLocal];
    let agents = [Key::HttpUserAgent, Key::UserAgent, Key::Agent];
    let duration = object.raw(Key::RequestTime);
    Some(Line::Request(Request {
        ended_ms: times.into_iter().find_map(|key| object.time(key)),
        status,
        grpc_status: object.grpc_status(),
        duration: duration.map_or(Duration::NotLogged, |s| Duration::logged(scaled(unquoted(s), 6))),
        path: path.unwrap_or_default(),
        agent: agents.into_iter().find_map(|key| object.text(key)).unwrap_or_default(),
        target: object.text(Key::ProxyUpstreamName).map_or(Target::Stream, Target::Upstream),
    }))
}

/// What stands between the quotes of a JSON string as it was written, or the value's own text.
fn unquoted(raw: &str) -> &[u8] {
    let raw = raw.as_bytes();
    raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")).unwrap_or(raw)
}

/// The characters of a JSON string; nothing for other values. A string that has no characters (half of a surrogate
/// pair) stays as it was written.
fn text(raw: &str) -> Option<Cow<'_, [u8]>> {
    let written = raw.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    if memchr::memchr(b'\\', written).is_none() {
        return Some(Cow::Borrowed(written));
    }
    let decoded: Option<String> = serde_json::from_str(raw).ok();
    Some(decoded.map_or(Cow::Borrowed(written), |decoded| Cow::Owned(decoded.into_bytes())))
}

fn cut<'a>(text: Cow<'a, [u8]>, part: fn(&[u8]) -> &[u8]) -> Cow<'a, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_vec()),
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    fn raw(&self, key: Key) -> Option<&'a str> {
        self.0[key as usize].map(RawValue::get)
    }

    fn object(&self, key: Key) -> Option<Object<'a>> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    fn text(&self, key: Key) -> Option<Cow<'a, [u8]>> {
        text(self.raw(key)?)
    }

    fn time(&self, key: Key) -> Option<i64> {
        any_ms(unquoted(self.raw(key)?))
    }

    fn grpc_status(&self) -> Option<u8> {
        u8::try_from(scaled(unquoted(self.raw(Key::GrpcStatus)?), 0)?).ok()
    }
}

impl Default for Object<'_> {
    fn default() -> Self {
        Self([None; Key::Other as usize])
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut object = Object::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Other => drop(map.next_value::<IgnoredAny>()?),
                        key => object.0[key as usize] = Some(map.next_value()?),
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}
