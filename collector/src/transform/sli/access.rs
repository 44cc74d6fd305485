//! Access lines: combined and ingress-nginx's upstreaminfo, scanned by hand because they are the bulk of all lines.
//!
//! ```text
//! addr ident user [time] "request" status bytes "referer" "agent"                         combined, and then
//!     length time [upstream] [alternative] upstream_addr upstream_length … request_id     upstreaminfo
//! ```
//!
//! What stands behind `[upstream]` (lists of every upstream that was tried) is not read: a retried request counts
//! once, by the status that the client saw.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use super::decimal::{is_digits, scaled};
use super::format::{Duration, Format, Line, Reading, Request, Target, path_of_request};
use super::time::{CLF_LEN, clf_ms, is_clf};

/// The quoted and numeric fields behind the time.
struct Record<'a> {
    request: &'a [u8],
    status: &'a [u8],
    agent: &'a [u8],
    tail: &'a [u8],
}

/// What upstreaminfo adds.
struct Ingress<'a> {
    time: &'a [u8],
    upstream: &'a [u8],
}

/// Reads `line` if it begins as an access line does, else nothing.
pub(super) fn read(line: &[u8]) -> Option<Reading<'_>> {
    let (time, rest) = head(line)?;
    let Some(record) = record(rest) else { return Some(Reading::BROKEN) };
    let ingress = match ingress(record.tail) {
        Ok(ingress) => ingress,
        Err(Cut) => return Some(Reading::BROKEN),
    };
    let format = if ingress.is_some() { Format::Upstreaminfo } else { Format::Combined };
    let Some(status) = status(record.status) else { return Some(Reading { format, line: Line::Unparsed }) };
    let (duration, target) = ingress.map_or((Duration::NotLogged, Target::Stream), |ingress| {
        (Duration::logged(scaled(ingress.time, 6)), Target::Upstream(Cow::Borrowed(ingress.upstream)))
    });
    let request = Request {
        ended_ms: clf_ms(time),
        status,
        grpc_status: None,
        duration,
        path: Cow::Borrowed(path_of_request(record.request)),
        agent: Cow::Borrowed(record.agent),
        target,
    };
    Some(Reading { format, line: Line::Request(request) })
}

/// Reads a status of three digits; `-`, `000` and HTTP/0.9's `009` are none.
pub(super) fn status(text: &[u8]) -> Option<u16> {
    let &[hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = text else { return None };
    Some(u16::from(hundreds - b'0') * 100 + u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
}

/// Finds `addr ident user [time] "` and returns the time and what follows. A user name may hold brackets, but no
/// quote that is not escaped, so the first match is the true one.
fn head(line: &[u8]) -> Option<(&[u8], &[u8])> {
    memchr_iter(b'[', line).find_map(|at| {
        let (time, rest) = line[at + 1..].split_at_checked(CLF_LEN)?;
        let rest = rest.strip_prefix(b"] \"")?;
        (is_clf(time) && is_client(&line[..at])).then_some((time, rest))
    })
}

/// Whether `text` can be `addr ident user ` (the user may hold spaces).
fn is_client(text: &[u8]) -> bool {
    text.first().is_some_and(|&byte| byte != b' ')
        && text.last() == Some(&b' ')
        && memchr_iter(b' ', text).take(3).count() == 3
}

/// Reads `request" status bytes "referer" "agent"`; the common format ends behind the bytes.
fn record(text: &[u8]) -> Option<Record<'_>> {
    let (request, rest) = quoted(text)?;
    let (status, rest) = word(rest)?;
    let (_bytes, rest) = word(rest)?;
    if rest.is_empty() {
        return Some(Record { request, status, agent: b"", tail: b"" });
    }
    let (_referer, rest) = quoted(rest.strip_prefix(b" \"")?)?;
    let (agent, tail) = quoted(rest.strip_prefix(b" \"")?)?;
    Some(Record { request, status, agent, tail })
}

/// The line ends within a field that is needed.
struct Cut;

/// Reads ` length time [upstream]`; nothing where something else follows the agent.
fn ingress(tail: &[u8]) -> Result<Option<Ingress<'_>>, Cut> {
    let fields = word(tail).and_then(|(length, rest)| {
        let (time, rest) = word(rest)?;
        let rest = rest.strip_prefix(b" [")?;
        is_digits(length).then_some((time, rest))
    });
    let Some((time, rest)) = fields else { return Ok(None) };
    let end = memchr(b']', rest).ok_or(Cut)?;
    Ok(Some(Ingress { time, upstream: &rest[..end] }))
}

/// Splits behind the quote that closes `text`. nginx writes quotes within as `\x22`, Apache as `\"`.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr_iter(b'"', text).find(|&at| {
        let backslashes = text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
        backslashes % 2 == 0
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// Splits one word off ` word rest`; the space before the rest stays.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b" ")?;
    let (word, rest) = text.split_at(memchr(b' ', text).unwrap_or(text.len()));
    (!word.is_empty()).then_some((word, rest))
}
