//! The `sli` transform: turns each line into what it adds to the counts of a service's SLIs.

mod access;
mod config;
mod decimal;
pub mod fold;
pub mod format;
mod json;
pub mod rules;
mod seen;
mod service;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vrl::value::Value;

pub use self::config::SliConfig;
pub use self::seen::FormatsSeen;
use crate::event::{Batch, Body, Event, Hit, Pod};
use format::{Format, Line};

/// The transform. It reads no clock and no file; every event goes out once, as [`Body::Hit`].
#[derive(Debug)]
pub struct Sli {
    config: SliConfig,
    seen: Arc<FormatsSeen>,
    /// UIDs of pods that were found to write upstreaminfo: ingress controllers.
    controllers: BTreeSet<String>,
}

impl Sli {
    /// The transform with `config`; it tells `seen` of the formats that it finds.
    pub fn new(config: SliConfig, seen: Arc<FormatsSeen>) -> Self {
        Self { config, seen, controllers: BTreeSet::new() }
    }

    /// Judges every event of `batch`; events that are judged already stay as they are.
    pub fn apply(&mut self, mut batch: Batch) -> Batch {
        let mut seen: BTreeMap<_, BTreeMap<_, u64>> = BTreeMap::new();
        for event in &mut batch.events {
            if matches!(event.body, Body::Hit(_)) {
                continue;
            }
            let (format, hit) = self.judge(event);
            event.body = Body::Hit(Box::new(hit));
            let stream = &event.place.stream.id;
            if !seen.contains_key(stream) {
                seen.insert(stream.clone(), BTreeMap::new());
            }
            if let Some(formats) = seen.get_mut(stream) {
                *formats.entry(format).or_default() += 1;
            }
        }
        self.seen.add(seen);
        batch
    }

    fn judge(&mut self, event: &Event) -> (Format, Hit) {
        let Some(line) = line(&event.body) else { return (Format::Other, Hit::Ignored) };
        let reading = format::read(line);
        let pod = event.place.stream.pod.as_ref();
        let is_controller = pod.is_some_and(|pod| self.is_controller(pod, reading.format));
        let hit = match &reading.line {
            Line::Message => Hit::Ignored,
            Line::Unparsed => Hit::Unparsed,
            Line::Request(request) => rules::classify(request, event.time, &self.config.rules, || {
                service::attribute(&request.target, reading.format, pod, is_controller)
            }),
        };
        (reading.format, hit)
    }

    /// Whether `pod` is an ingress controller, as far as its lines have told up to now.
    fn is_controller(&mut self, pod: &Pod, format: Format) -> bool {
        let is_known = self.controllers.contains(&pod.uid);
        if !is_known && format == Format::Upstreaminfo {
            self.controllers.insert(pod.uid.clone());
        }
        is_known || format == Format::Upstreaminfo
    }
}

/// The line of an event: as it was read, or the field `message`.
fn line(body: &Body) -> Option<&[u8]> {
    match body {
        Body::Line(line) => Some(line),
        Body::Fields(fields) => match &**fields {
            Value::Object(fields) => fields.get("message")?.as_bytes().map(|bytes| &**bytes),
            _ => None,
        },
        Body::Hit(_) => None,
    }
}

#[cfg(test)]
mod tests;
