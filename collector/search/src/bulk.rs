//! Bulk requests: many documents in one body, each of which fails or succeeds alone.

mod outcome;

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

pub(crate) use outcome::outcomes;
pub use outcome::{BulkError, Outcome};

/// What is done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is added; if its id is there already, that stays ([`Outcome::Already`]).
    Create,
    /// It takes the place of what has its id.
    Index,
}

/// The body of a bulk request, item by item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    body: Vec<u8>,
    /// Behind the last byte of each item.
    ends: Vec<usize>,
}

impl Bulk {
    /// Adds an item. `write` appends the document, one JSON object; whatever it holds, it stays one document: line ends
    /// can stand in JSON only between values, and become spaces.
    pub fn push(&mut self, action: Action, index: &str, id: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let action = match action {
            Action::Create => "create",
            Action::Index => "index",
        };
        self.body.extend_from_slice(b"{\"");
        self.body.extend_from_slice(action.as_bytes());
        self.body.extend_from_slice(b"\":{\"_index\":");
        quote(index, &mut self.body);
        self.body.extend_from_slice(b",\"_id\":");
        quote(id, &mut self.body);
        self.body.extend_from_slice(b"}}\n");
        let start = self.body.len();
        write(&mut self.body);
        for byte in &mut self.body[start..] {
            if *byte == b'\n' || *byte == b'\r' {
                *byte = b' ';
            }
        }
        self.body.push(b'\n');
        self.ends.push(self.body.len());
    }

    /// Adds an item whose document is a value.
    ///
    /// # Errors
    /// The value cannot be written as JSON; nothing is added.
    pub fn push_value(
        &mut self,
        action: Action,
        index: &str,
        id: &str,
        document: &impl Serialize,
    ) -> serde_json::Result<()> {
        let document = serde_json::to_vec(document)?;
        self.push(action, index, id, |body| body.extend_from_slice(&document));
        Ok(())
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The body, uncompressed.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The items at these places alone, in this order.
    #[must_use]
    pub fn only(&self, items: &[usize]) -> Self {
        let mut kept = Self::default();
        for &item in items {
            let start = item.checked_sub(1).map_or(0, |before| self.ends[before]);
            kept.body.extend_from_slice(&self.body[start..self.ends[item]]);
            kept.ends.push(kept.body.len());
        }
        kept
    }
}

/// A body compressed with gzip.
pub(crate) fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    // The fastest level: log lines shrink nearly as well, and the collector has other things to do.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Appends a JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    // Text can always be written to memory.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_pushed_an_item_is_two_lines(
            documents in proptest::collection::vec(any::<Vec<u8>>(), 1..5),
            index in ".*",
            id in ".*",
        ) {
            let mut bulk = Bulk::default();
            for document in &documents {
                bulk.push(Action::Create, &index, &id, |out| out.extend_from_slice(document));
            }
            let lines: Vec<&[u8]> = bulk.body().split(|byte| *byte == b'\n').collect();
            prop_assert_eq!(lines.len(), 2 * documents.len() + 1);
            let action: serde_json::Value = serde_json::from_slice(lines[0]).unwrap();
            prop_assert_eq!(&action["create"]["_index"], &index);
            prop_assert_eq!(&action["create"]["_id"], &id);
        }

        #[test]
        fn items_can_be_taken_out(count in 1..8_usize, keep in proptest::collection::vec(any::<bool>(), 8)) {
            let push = |items: &[usize]| {
                let mut bulk = Bulk::default();
                items.iter().for_each(|item| bulk.push_value(Action::Index, "i", &item.to_string(), item).unwrap());
                bulk
            };
            let kept: Vec<usize> = (0..count).filter(|item| keep[*item]).collect();
            prop_assert_eq!(push(&(0..count).collect::<Vec<_>>()).only(&kept), push(&kept));
        }
    }
}
