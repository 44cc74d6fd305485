//! One record of a segment and its line of NDJSON, which any user can read with `zstdcat | jq`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A stream, as the one who archives it knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamMeta<'a> {
    /// Identity; stays the same over rename and compression.
    pub id: &'a str,
    /// Where it lies, for people.
    pub path: &'a str,
    /// Namespace of the pod that writes it, where there is one.
    pub namespace: Option<&'a str>,
    /// Name of that pod.
    pub pod: Option<&'a str>,
    /// Name of the container.
    pub container: Option<&'a str>,
}

/// A line to be archived; (stream, offset, index) is its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// Offset of the record's first byte in the decompressed stream.
    pub offset: u64,
    /// Offset behind its last byte, line end included.
    pub end: u64,
    /// Number among the lines that one record gave; 0 unless a transform made several of it.
    pub index: u32,
    /// When it was written, in nanoseconds since 1970.
    pub time_ns: Option<i64>,
    /// Which output it was written to.
    pub stdio: Option<Stdio>,
    /// The line without its line end.
    pub line: &'a [u8],
}

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Identity of its stream.
    pub stream: String,
    /// Offset of the record's first byte in the decompressed stream.
    pub offset: u64,
    /// Offset behind its last byte, line end included.
    pub end: u64,
    /// Number among the lines that one record gave.
    pub index: u32,
    /// When it was written, in nanoseconds since 1970.
    pub time_ns: Option<i64>,
    /// Which output it was written to.
    pub stdio: Option<Stdio>,
    /// The line without its line end, byte for byte as it was pushed.
    pub line: Vec<u8>,
}

/// Which of a container's outputs a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdio {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The JSON object of a record. Exactly one of `line` and `line_base64` is there.
#[derive(Serialize, Deserialize)]
struct Json<'a> {
    stream: Cow<'a, str>,
    offset: u64,
    end: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    index: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdio: Option<Stdio>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line_base64: Option<String>,
}

/// Appends the record's JSON object and a line feed.
pub(crate) fn encode(stream: &str, line: &Line<'_>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let text = std::str::from_utf8(line.line).ok();
    let json = Json {
        stream: Cow::Borrowed(stream),
        offset: line.offset,
        end: line.end,
        index: line.index,
        time: line.time_ns.and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok()),
        stdio: line.stdio,
        line: text.map(Cow::Borrowed),
        line_base64: text.is_none().then(|| STANDARD.encode(line.line)),
    };
    serde_json::to_writer(&mut *out, &json)?;
    out.push(b'\n');
    Ok(())
}

/// Reads one line of NDJSON back; the error says what is wrong with it.
pub(crate) fn decode(ndjson: &[u8]) -> Result<Record, String> {
    let json: Json<'_> = serde_json::from_slice(ndjson).map_err(|e| e.to_string())?;
    let line = match (json.line, json.line_base64) {
        (Some(text), None) => text.into_owned().into_bytes(),
        (None, Some(coded)) => STANDARD.decode(coded).map_err(|e| format!("line_base64: {e}"))?,
        _ => return Err("exactly one of line and line_base64 must be there".to_owned()),
    };
    // Invariant: every time that this crate wrote fits, because it came from an i64.
    let time_ns = json.time.map(|time| i64::try_from(time.as_nanosecond())).transpose();
    Ok(Record {
        stream: json.stream.into_owned(),
        offset: json.offset,
        end: json.end,
        index: json.index,
        time_ns: time_ns.map_err(|e| format!("time: {e}"))?,
        stdio: json.stdio,
        line,
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(index: &u32) -> bool {
    *index == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: Line<'_>, want: &str) {
        let mut out = Vec::new();
        encode("s", &line, &mut out).unwrap();
        assert_eq!(String::from_utf8(out.clone()).unwrap(), format!("{want}\n"));
        let back = decode(&out).unwrap();
        assert_eq!((back.line.as_slice(), back.time_ns), (line.line, line.time_ns));
    }

    #[test]
    fn a_record_is_one_readable_line_of_json() {
        let line = Line { offset: 7, end: 12, line: b"say \"hi\"\x00", ..Line::default() };
        check(line, r#"{"stream":"s","offset":7,"end":12,"line":"say \"hi\"\u0000"}"#);
        let time_ns = Some(1_700_000_000_123_456_789);
        let line = Line { time_ns, stdio: Some(Stdio::Stderr), index: 2, line: b"x", ..Line::default() };
        let want = r#""index":2,"time":"2023-11-14T22:13:20.123456789Z","stdio":"stderr","line":"x"}"#;
        check(line, &format!(r#"{{"stream":"s","offset":0,"end":0,{want}"#));
        for extreme in [i64::MIN, -1, 0, i64::MAX] {
            let mut out = Vec::new();
            encode("s", &Line { time_ns: Some(extreme), ..Line::default() }, &mut out).unwrap();
            assert_eq!(decode(&out).unwrap().time_ns, Some(extreme));
        }
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_kept_in_base64() {
        check(
            Line { line: b"\xff\xfe", ..Line::default() },
            r#"{"stream":"s","offset":0,"end":0,"line_base64":"//4="}"#,
        );
    }

    #[test]
    fn a_record_without_a_line_or_with_two_is_refused() {
        assert!(decode(br#"{"stream":"s","offset":0,"end":1}"#).is_err());
        assert!(decode(br#"{"stream":"s","offset":0,"end":1,"line":"","line_base64":""}"#).is_err());
        assert!(decode(b"{").is_err());
    }
}
