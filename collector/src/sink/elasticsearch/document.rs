//! An event as a document: a pure function of it, and of the names of the indices.

use std::sync::Arc;

use base64::Engine;
use jiff::Timestamp;
use jiff::civil::Date;
use search::{Action, Bulk, Daily, day_of, document_id};
use serde::Serialize;
use vrl::value::{KeyString, ObjectMap, Value};

use super::time::{of_value, time_of};
use crate::event::{Body, Event, Stream};

/// What is written in an index's name in place of the day, for events that nobody knows the time of. No retention
/// deletes them.
const UNDATED: &str = "undated";

/// Longest name or text of a label, in bytes; a real one has at most 317, and 63.
const LONGEST_LABEL: usize = 1024;

/// Fields that the servers keep for themselves.
const RESERVED: [&str; 17] = [
    "_data_stream_timestamp",
    "_doc_count",
    "_feature",
    "_field_names",
    "_id",
    "_ignored",
    "_ignored_source",
    "_index",
    "_nested_path",
    "_primary_term",
    "_routing",
    "_seq_no",
    "_source",
    "_tier",
    "_type",
    "_version",
    "_inference_fields",
];

/// Writes events as items of a bulk request.
#[derive(Debug)]
pub(super) struct Encoder {
    daily: Daily,
    /// The last index that was named: most events in a row have the same.
    index: Option<(Option<Date>, String)>,
    /// What all lines of the last stream have, as JSON members.
    origin: Option<(Arc<Stream>, Vec<u8>)>,
}

impl Encoder {
    pub(super) fn new(daily: Daily) -> Self {
        Self { daily, index: None, origin: None }
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: &Event, bulk: &mut Bulk) {
        let time = time_of(event);
        let place = &event.place;
        let id = document_id(&[
            place.stream.id.as_bytes(),
            &place.offset.to_be_bytes(),
            &place.index.to_be_bytes(),
        ]);
        let index = self.index(time.map(day_of)).to_owned();
        bulk.push(Action::Create, &index, &id, |out| {
            out.push(b'{');
            if let Some(time) = time {
                member("@timestamp", &time, out);
            }
            let unfit = match &event.body {
                Body::Line(line) => {
                    self.line(event, line, out);
                    ObjectMap::new()
                }
                Body::Fields(value) => fields(value, time, out),
                Body::Hit(_) => fields(&event.to_value(), time, out),
            };
            headroom(event, &unfit, out);
            out.push(b'}');
        });
    }

    fn index(&mut self, day: Option<Date>) -> &str {
        if self.index.as_ref().is_none_or(|(named, _)| *named != day) {
            let name = match day {
                Some(day) => self.daily.index(day),
                None => format!("{}-{UNDATED}", self.daily.alias()),
            };
            self.index = Some((day, name));
        }
        self.index.as_ref().map_or("", |(_, name)| name)
    }

    fn line(&mut self, event: &Event, line: &[u8], out: &mut Vec<u8>) {
        message(line, out);
        if let Some(stdio) = event.stdio {
            member("stream", stdio.as_str(), out);
        }
        let stream = &event.place.stream;
        if self.origin.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, stream)) {
            self.origin = Some((stream.clone(), origin(stream)));
        }
        if let Some((_, origin)) = &self.origin {
            out.extend_from_slice(origin);
        }
    }
}

/// `file` and `kubernetes`, for behind another member.
fn origin(stream: &Stream) -> Vec<u8> {
    let mut out = Vec::new();
    member("file", &stream.path, &mut out);
    if let Some(pod) = &stream.pod {
        key("kubernetes", &mut out);
        out.push(b'{');
        member("pod_namespace", &pod.namespace, &mut out);
        member("pod_name", &pod.name, &mut out);
        member("pod_uid", &pod.uid, &mut out);
        member("container_name", &pod.container, &mut out);
        if let Some(metadata) = stream.metadata.as_ref().filter(|metadata| !metadata.members().is_empty()) {
            out.push(b',');
            out.extend_from_slice(metadata.members().as_bytes());
        }
        out.push(b'}');
    }
    out
}

/// The line as text, and as it is beside it where it is no text.
fn message(line: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(line) {
        Ok(text) => member("message", text, out),
        Err(_) => {
            member("message", &*String::from_utf8_lossy(line), out);
            member("message_base64", &base64::engine::general_purpose::STANDARD.encode(line), out);
        }
    }
}

/// Writes an event's fields, but those that stand in `@timestamp` already; gives back what would refuse the document.
fn fields(value: &Value, time: Option<Timestamp>, out: &mut Vec<u8>) -> ObjectMap {
    let mut unfit = ObjectMap::new();
    let Some(fields) = value.as_object() else {
        unfit.insert("value".into(), value.clone());
        return unfit;
    };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("@timestamp" | "timestamp", value) if time.is_some() && of_value(value) == time => {}
            (name, value) if fits(name, value) => match value.as_bytes().filter(|_| name == "message") {
                Some(text) => message(text, out),
                None => member(name, value, out),
            },
            _ => drop(unfit.insert(name.clone(), value.clone())),
        }
    }
    unfit
}

/// Where the event comes from, and as text the fields that cannot stand in the document themselves.
fn headroom(event: &Event, unfit: &ObjectMap, out: &mut Vec<u8>) {
    let place = &event.place;
    key("headroom", out);
    out.push(b'{');
    member("stream", &*place.stream.id, out);
    member("offset", &place.offset, out);
    member("index", &place.index, out);
    if !unfit.is_empty() {
        member("fields", &serde_json::to_string(unfit).unwrap_or_default(), out);
    }
    out.push(b'}');
}

/// Whether the servers take a field: they refuse some names, and an object in the place of a text.
fn fits(name: &str, value: &Value) -> bool {
    let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
    let names_something = name.split('.').all(|part| !part.trim().is_empty());
    names_something
        && !RESERVED.contains(&head)
        && match (head, rest) {
            ("@timestamp" | "headroom" | "message_base64", _) => false,
            ("file" | "message" | "stream", Some(_)) => false,
            ("kubernetes", Some(rest)) if is_labels(rest) => false,
            ("file" | "message" | "stream", None) | ("kubernetes", Some(_)) => !holds_object(value),
            ("kubernetes", None) => value.as_object().is_some_and(|fields| fields.iter().all(fits_pod)),
            _ => true,
        }
}

/// Whether a field can stand in `kubernetes`.
fn fits_pod((name, value): (&KeyString, &Value)) -> bool {
    if !name.split('.').all(|part| !part.trim().is_empty()) {
        return false;
    }
    match name.as_str() {
        "pod_labels" | "namespace_labels" | "node_labels" => are_labels(value),
        name if is_labels(name) => false,
        "container_name" | "pod_name" | "pod_namespace" | "pod_uid" => !holds_object(value),
        "pod_ip" | "pod_node_name" | "pod_owner" | "container_image" | "container_id" | "enrichment" => {
            !holds_object(value)
        }
        _ => true,
    }
}

/// Whether a name below `kubernetes` is that of labels or leads into them.
fn is_labels(name: &str) -> bool {
    let head = name.split_once('.').map_or(name, |(head, _)| head);
    matches!(head, "pod_labels" | "namespace_labels" | "node_labels")
}

/// Whether a value is what the servers take as labels: texts by name, none of which is empty or has a byte that they
/// separate names from texts with.
fn are_labels(value: &Value) -> bool {
    let fits = |(name, value): (&KeyString, &Value)| {
        let is_name = !name.is_empty() && name.len() <= LONGEST_LABEL && !name.contains('\0');
        is_name && value.as_bytes().is_some_and(|text| text.len() <= LONGEST_LABEL && !text.contains(&0))
    };
    value.as_object().is_some_and(|labels| labels.iter().all(fits))
}

fn holds_object(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(holds_object),
        _ => false,
    }
}

/// Appends a member of an object.
fn member(name: &str, value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    key(name, out);
    // All that stands in an event can be written to memory.
    let _ = serde_json::to_writer(out, value);
}

/// Appends a member's name. No value ends in an opening brace, so one says that this is the first.
fn key(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
}

#[cfg(test)]
mod tests;
