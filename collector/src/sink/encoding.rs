//! Events as lines of text for `console` and `file`.

use bytes::Bytes;
use settings::Table;
use vrl::value::Value;

use crate::event::{Body, Event};

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// All its fields as one JSON object.
    Json,
    /// The line as it was read; an event that has fields writes its `message`.
    Text,
}

impl Encoding {
    /// Reads `encoding.codec`.
    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let Some(mut encoding) = table.table("encoding") else { return Self::Json };
        let codec = encoding.one_of("codec", &["json", "text"], None);
        encoding.finish();
        match codec {
            Some("text") => Self::Text,
            _ => Self::Json,
        }
    }

    /// Appends an event and a line end.
    pub(super) fn write(self, event: &Event, out: &mut Vec<u8>) {
        match (self, &event.body) {
            (Self::Text, Body::Line(line)) => out.extend_from_slice(line),
            (Self::Text, Body::Fields(value)) => match message(value) {
                Some(message) => out.extend_from_slice(message),
                None => json(event, out),
            },
            _ => json(event, out),
        }
        out.push(b'\n');
    }
}

fn message(value: &Value) -> Option<&Bytes> {
    value.as_object()?.get("message")?.as_bytes()
}

/// Appends an event's fields as JSON.
pub(super) fn json(event: &Event, out: &mut Vec<u8>) {
    let value = event.to_value();
    // A value of VRL can always be written to memory: its keys are text and its floats are finite.
    let written = serde_json::to_vec(&value).unwrap_or_else(|error| error.to_string().into_bytes());
    out.extend_from_slice(&written);
}
