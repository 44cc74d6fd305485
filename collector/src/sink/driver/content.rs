//! What an event holds, and how much that is.

use crate::event::{Body, Event};
use crate::sink::encoding::json;

/// Bytes that an event takes, about.
pub(super) fn size(event: &Event) -> usize {
    64 + match &event.body {
        Body::Line(line) => line.len(),
        Body::Fields(_) => 512,
        Body::Hit(_) => 128,
    }
}

/// What an event holds, for the dead-letter store.
pub(super) fn content(event: &Event) -> Vec<u8> {
    let mut text = Vec::new();
    match &event.body {
        Body::Line(line) => text.extend_from_slice(line),
        Body::Fields(_) | Body::Hit(_) => json(event, &mut text),
    }
    text
}
