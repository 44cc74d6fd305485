//! A chunk as the payload of a record: what a source read, before any transform.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use jiff::Timestamp;

use crate::event::{Body, Event, Metadata, Place, Pod, Span, Stdio, Stream, StreamId};
use crate::source::chunk::{Chunk, Mark, describe};

const ENDED: u8 = 1;
const BROKEN: u8 = 2;
const IN_POD: u8 = 4;
const DESCRIBED: u8 = 8;

const DEAD_LETTERED: u8 = 1;
const TIMED: u8 = 2;
const LINE: u8 = 4;
const STDOUT: u8 = 8;
const STDERR: u8 = 16;

/// Writes a chunk.
pub(crate) fn encode(chunk: &Chunk) -> Vec<u8> {
    let mut events: BTreeMap<(&StreamId, u64), &Event> = BTreeMap::new();
    for event in &chunk.batch.events {
        events.insert((&event.place.stream.id, event.place.offset), event);
    }
    let mut out = Vec::new();
    out.put_u32_le(count(chunk.batch.spans.len()));
    for (span, marks) in chunk.batch.spans.iter().zip(&chunk.marks) {
        put_span(&mut out, span);
        out.put_u32_le(count(marks.len()));
        for mark in marks {
            put_mark(&mut out, mark, events.get(&(&span.stream.id, mark.offset)).copied());
        }
    }
    out
}

/// Reads a chunk; nothing if it is none.
pub(crate) fn decode(payload: Vec<u8>) -> Option<Chunk> {
    let mut input = Bytes::from(payload);
    let mut chunk = Chunk::default();
    for _ in 0..input.try_get_u32_le().ok()? {
        let mut span = get_span(&mut input)?;
        let mut marks = Vec::new();
        for _ in 0..input.try_get_u32_le().ok()? {
            let (mark, event) = get_mark(&mut input, &span.stream)?;
            marks.push(mark);
            chunk.batch.events.extend(event);
        }
        describe(&mut span, &marks);
        chunk.batch.spans.push(span);
        chunk.marks.push(marks);
    }
    input.is_empty().then_some(chunk)
}

fn put_span(out: &mut Vec<u8>, span: &Span) {
    let pod = span.stream.pod.as_ref();
    let metadata = span.stream.metadata.as_ref();
    let flag = |set, flag| if set { flag } else { 0 };
    let of_stream = flag(pod.is_some(), IN_POD) | flag(metadata.is_some(), DESCRIBED);
    out.put_u8(flag(span.ended, ENDED) | flag(span.broken.is_some(), BROKEN) | of_stream);
    put_text(out, &span.stream.id);
    put_text(out, &span.stream.path);
    if let Some(pod) = pod {
        for text in [&pod.namespace, &pod.name, &pod.uid, &pod.container] {
            put_text(out, text);
        }
        out.put_u32_le(pod.restart);
    }
    if let Some(metadata) = metadata {
        put_text(out, metadata.members());
    }
    out.put_u64_le(span.start);
    out.put_u64_le(span.end);
    if let Some(reason) = &span.broken {
        put_text(out, reason);
    }
}

fn get_span(input: &mut Bytes) -> Option<Span> {
    let flags = input.try_get_u8().ok()?;
    let (id, path) = (get_text(input)?, get_text(input)?);
    let pod = match flags & IN_POD {
        0 => None,
        _ => Some(Pod {
            namespace: get_text(input)?,
            name: get_text(input)?,
            uid: get_text(input)?,
            container: get_text(input)?,
            restart: input.try_get_u32_le().ok()?,
        }),
    };
    let metadata = match flags & DESCRIBED {
        0 => None,
        _ => Some(Arc::new(Metadata::parse(&get_text(input)?)?)),
    };
    let (start, end) = (input.try_get_u64_le().ok()?, input.try_get_u64_le().ok()?);
    let broken = if flags & BROKEN == 0 { None } else { Some(get_text(input)?.into()) };
    let stream = Arc::new(Stream { id: id.into(), path, pod, metadata });
    Some(Span {
        stream,
        start,
        end,
        lines: 0,
        dead_lettered: 0,
        times: None,
        ended: flags & ENDED != 0,
        broken,
    })
}

fn put_mark(out: &mut Vec<u8>, mark: &Mark, event: Option<&Event>) {
    let line = event.and_then(|event| match &event.body {
        Body::Line(line) => Some(line),
        // Only before the transforms: there are none but lines.
        Body::Fields(_) | Body::Hit(_) => None,
    });
    let flag = |set, flag| if set { flag } else { 0 };
    let stdio = match event.and_then(|event| event.stdio) {
        Some(Stdio::Stdout) => STDOUT,
        Some(Stdio::Stderr) => STDERR,
        None => 0,
    };
    let time = flag(mark.time.is_some(), TIMED);
    out.put_u8(flag(mark.dead_lettered, DEAD_LETTERED) | time | flag(line.is_some(), LINE) | stdio);
    out.put_u64_le(mark.offset);
    if let Some(time) = mark.time {
        out.put_i64_le(time.as_second());
        out.put_i32_le(time.subsec_nanosecond());
    }
    if let Some(line) = line {
        out.put_u32_le(count(line.len()));
        out.put_slice(line);
    }
}

fn get_mark(input: &mut Bytes, stream: &Arc<Stream>) -> Option<(Mark, Option<Event>)> {
    let flags = input.try_get_u8().ok()?;
    let offset = input.try_get_u64_le().ok()?;
    let time = match flags & TIMED {
        0 => None,
        _ => {
            let (second, nanos) = (input.try_get_i64_le().ok()?, input.try_get_i32_le().ok()?);
            Some(Timestamp::new(second, nanos).ok()?)
        }
    };
    let stdio = match flags & (STDOUT | STDERR) {
        STDOUT => Some(Stdio::Stdout),
        STDERR => Some(Stdio::Stderr),
        _ => None,
    };
    let event = match flags & LINE {
        0 => None,
        _ => {
            let body = Body::Line(get_bytes(input)?);
            let place = Place { stream: stream.clone(), offset, index: 0 };
            Some(Event { place, time, stdio, body })
        }
    };
    Some((Mark { offset, dead_lettered: flags & DEAD_LETTERED != 0, time }, event))
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u32_le(count(text.len()));
    out.put_slice(text.as_bytes());
}

fn get_text(input: &mut Bytes) -> Option<String> {
    String::from_utf8(get_bytes(input)?.to_vec()).ok()
}

fn get_bytes(input: &mut Bytes) -> Option<Bytes> {
    let length = input.try_get_u32_le().ok()? as usize;
    (length <= input.len()).then(|| input.split_to(length))
}

/// A chunk holds a few hundred KiB of lines, or one line of at most 64 MiB.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vrl::value::{ObjectMap, Value};

    use super::*;

    type Line = (Option<Vec<u8>>, Option<i32>, u8);

    fn chunk(pod: bool, start: u64, lines: Vec<Line>, ended: bool, broken: bool) -> Chunk {
        let pod = pod.then(|| Pod {
            namespace: "shop".into(),
            name: "web".into(),
            uid: "uid".into(),
            container: "app".into(),
            restart: 3,
        });
        let labels = Value::Object(ObjectMap::from([("app".into(), "wéb \"".into())]));
        let fields = ObjectMap::from([("pod_labels".into(), labels)]);
        let metadata = pod.as_ref().map(|_| Arc::new(Metadata::new(fields, ended)));
        let stream = Arc::new(Stream { id: "id".into(), path: "/logs/ä".into(), pod, metadata });
        let (mut chunk, mut marks, mut offset) = (Chunk::default(), Vec::new(), start);
        for (line, nanos, stdio) in lines {
            let time = nanos.and_then(|nanos| Timestamp::new(1_767_225_600, nanos).ok());
            marks.push(Mark { offset, dead_lettered: line.is_none(), time });
            let stdio = [None, Some(Stdio::Stdout), Some(Stdio::Stderr)][usize::from(stdio)];
            if let Some(line) = line {
                let place = Place { stream: stream.clone(), offset, index: 0 };
                chunk.batch.events.push(Event { place, time, stdio, body: Body::Line(line.into()) });
            }
            offset += 10;
        }
        let broken = broken.then(|| "cut off".into());
        let mut span =
            Span { stream, start, end: offset, lines: 0, dead_lettered: 0, times: None, ended, broken };
        describe(&mut span, &marks);
        chunk.batch.spans.push(span);
        chunk.marks.push(marks);
        chunk
    }

    proptest! {
        #[test]
        fn a_chunk_comes_back_as_it_was_and_a_part_of_it_is_none(
            pod in any::<bool>(),
            start in any::<u32>(),
            lines in proptest::collection::vec((any::<Option<Vec<u8>>>(), proptest::option::of(0..1_000_000_000), 0..3u8), 0..9),
            ended in any::<bool>(),
            broken in any::<bool>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = chunk(pod, start.into(), lines, ended, broken);
            let payload = encode(&whole);
            prop_assert_eq!(format!("{:?}", decode(payload.clone()).unwrap()), format!("{whole:?}"));
            prop_assert!(decode(payload[..cut.index(payload.len())].to_vec()).is_none());
        }
    }
}
