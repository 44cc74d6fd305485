//! What goes into a segment comes out of it, and nothing else does.

use proptest::prelude::*;

use super::{meta, push};
use crate::segment::decode;
use crate::{Line, SegmentBuilder, SegmentError, Stdio};

proptest! {
    #[test]
    fn any_bytes_come_back_as_they_were(
        lines in prop::collection::vec(
            (0usize..3, prop::collection::vec(any::<u8>(), 0..40), any::<Option<i64>>(), any::<Option<bool>>()), 0..30,
        ),
    ) {
        let mut builder = SegmentBuilder::new().unwrap();
        let mut want = Vec::new();
        for (i, (stream, line, time_ns, out)) in lines.iter().enumerate() {
            let (offset, stream) = (i as u64 * 50, ["a", "b \"\n", "../c"][*stream]);
            let stdio = out.map(|out| if out { Stdio::Stdout } else { Stdio::Stderr });
            let (end, time_ns) = (offset + line.len() as u64 + 1, *time_ns);
            builder.push(&meta(stream), &Line { offset, end, index: 0, time_ns, stdio, line }).unwrap();
            want.push((stream.to_owned(), offset, end, time_ns, stdio, line.clone()));
        }
        let (records, raw_bytes) = (builder.records(), builder.raw_bytes());
        let segment = builder.finish().unwrap();
        let found = decode(&segment.bytes, &segment.contents).unwrap();
        let found = found.into_iter().map(|r| (r.stream, r.offset, r.end, r.time_ns, r.stdio, r.line));
        prop_assert_eq!(found.collect::<Vec<_>>(), want);
        prop_assert_eq!((records, raw_bytes), (segment.contents.records, segment.contents.raw_bytes));
        prop_assert_eq!(segment.contents.first_time_ns, lines.iter().filter_map(|line| line.2).min());
        prop_assert_eq!(segment.contents.last_time_ns, lines.iter().filter_map(|line| line.2).max());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut builder = SegmentBuilder::new().unwrap();
        push(&mut builder, "a", 0, 6, b"hello");
        let mut segment = builder.finish().unwrap();
        let at = at.index(segment.bytes.len());
        segment.bytes[at] ^= 1 << bit;
        prop_assert!(decode(&segment.bytes, &segment.contents).is_err());
    }
}

#[test]
fn lines_out_of_order_and_ranges_of_no_length_are_refused_and_leave_the_segment_as_it_was() {
    let mut builder = SegmentBuilder::new().unwrap();
    let line = |offset, end, index| Line { offset, end, index, line: b"x", ..Line::default() };
    builder.push(&meta("a"), &line(10, 12, 0)).unwrap();
    builder.push(&meta("a"), &line(10, 12, 1)).unwrap();
    for refused in [line(10, 12, 1), line(10, 12, 0), line(8, 10, 0)] {
        assert!(matches!(builder.push(&meta("a"), &refused), Err(SegmentError::Order { .. })));
    }
    assert!(matches!(builder.push(&meta("a"), &line(20, 20, 0)), Err(SegmentError::Range { .. })));
    assert!(matches!(builder.cover(&meta("b"), 5, 4), Err(SegmentError::Range { .. })));
    builder.push(&meta("c"), &line(0, 2, 0)).unwrap();
    let segment = builder.finish().unwrap();
    assert_eq!(decode(&segment.bytes, &segment.contents).unwrap().len(), 3);
    assert_eq!(segment.contents.streams.keys().collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn a_range_that_was_read_is_covered_though_its_lines_were_filtered() {
    let mut builder = SegmentBuilder::new().unwrap();
    assert!(builder.is_empty());
    builder.cover(&meta("a"), 0, 100).unwrap();
    push(&mut builder, "a", 40, 50, b"kept");
    builder.cover(&meta("a"), 100, 120).unwrap();
    assert!(!builder.is_empty());
    let contents = builder.finish().unwrap().contents;
    assert_eq!((contents.streams["a"].ranges.as_slice(), contents.records), ([(0, 120)].as_slice(), 1));
}

#[test]
fn a_manifest_that_does_not_agree_with_the_data_is_found() {
    let mut builder = SegmentBuilder::new().unwrap();
    push(&mut builder, "a", 0, 6, b"hello");
    let segment = builder.finish().unwrap();
    let mut lies = vec![segment.contents.clone(); 6];
    lies[0].records = 2;
    lies[1].raw_bytes += 1;
    lies[2].raw_bytes -= 1;
    lies[3].streams.get_mut("a").unwrap().lines = 0;
    lies[4].streams.get_mut("a").unwrap().ranges = vec![(0, 5)].into();
    lies[5].streams.clear();
    for lie in lies {
        assert!(decode(&segment.bytes, &lie).is_err(), "{lie:?}");
    }
}
