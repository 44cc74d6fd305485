//! Overlaps, holes and foreign hands in an archive.

use std::fs;

use super::{Fuse, Node, meta, poll, push, source};
use crate::{Line, Reader, RestoreError, SegmentBuilder, restore, verify};

impl Node {
    /// Delivers one segment with these ranges of stream `a`, one line each.
    fn archive(&mut self, lines: &[(u64, u64)]) {
        self.archive_stream("a", lines);
    }

    fn archive_stream(&mut self, stream: &str, lines: &[(u64, u64)]) {
        let mut builder = SegmentBuilder::new().unwrap();
        for &(offset, end) in lines {
            push(&mut builder, stream, offset, end, format!("{offset}").as_bytes());
        }
        let (mut spool, _) = self.open();
        let staged = spool.stage(&builder.finish().unwrap()).unwrap();
        poll(self.store.put_segment(&staged)).unwrap();
        spool.delivered(&staged).unwrap();
    }

    fn object(&self, ending: &str) -> std::path::PathBuf {
        let keys = poll(self.store.list("segments/")).unwrap();
        let key = keys.into_iter().find(|key| key.ends_with(ending)).unwrap();
        self.directory.path().join("store").join(key)
    }
}

#[track_caller]
fn check(segments: &[&[(u64, u64)]], want: &str, overlaps: u64, cut: u64, gaps: &[(u64, u64)]) {
    let mut node = Node::new();
    segments.iter().for_each(|lines| node.archive(lines));
    let (files, report) = node.restored();
    assert_eq!(String::from_utf8(files["a"].clone()).unwrap().replace('\n', " ").trim(), want);
    let found: Vec<_> = report.gaps.iter().map(|gap| (gap.start, gap.end)).collect();
    assert_eq!((report.overlaps, report.cut, found.as_slice()), (overlaps, cut, gaps));
    assert_eq!(report.is_sound(), cut == 0 && gaps.is_empty());
}

#[test]
fn overlaps_are_dropped_and_counted_and_holes_are_told() {
    check(&[&[(0, 10), (10, 20)], &[(20, 30)]], "0 10 20", 0, 0, &[]);
    check(&[&[(0, 10), (10, 20)], &[(0, 10), (10, 20)]], "0 10", 2, 0, &[]);
    check(&[&[(0, 10), (10, 20)], &[(10, 20), (20, 30)]], "0 10 20", 1, 0, &[]);
    check(&[&[(10, 20)], &[(0, 10), (10, 20), (20, 30)]], "0 10 20", 1, 0, &[]);
    check(&[&[(20, 30), (40, 50)], &[(0, 10), (10, 20), (30, 40)]], "0 10 20 30 40", 0, 0, &[]);
    check(&[&[(0, 10)], &[(20, 30)]], "0 20", 0, 0, &[(10, 20)]);
    check(&[&[(5, 10)]], "5", 0, 0, &[(0, 5)]);
    check(&[&[(0, 10)], &[(0, 15)]], "0", 1, 1, &[]);
}

#[test]
fn several_lines_of_one_record_are_kept_apart_and_in_order() {
    let mut node = Node::new();
    let mut builder = SegmentBuilder::new().unwrap();
    for (index, line) in [b"one", b"two"].into_iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        builder.push(&meta("a"), &Line { offset: 0, end: 9, index, line, ..Line::default() }).unwrap();
    }
    push(&mut builder, "a", 9, 15, b"three");
    let (mut spool, _) = node.open();
    let staged = spool.stage(&builder.finish().unwrap()).unwrap();
    poll(node.store.put_segment(&staged)).unwrap();
    assert_eq!(node.restored().0["a"], b"one\ntwo\nthree\n");
}

#[test]
fn a_damaged_segment_is_passed_and_another_one_that_holds_its_lines_takes_its_place() {
    let mut node = Node::new();
    node.archive(&[(0, 10)]);
    fs::write(node.object(".ndjson.zst"), b"damaged").unwrap();
    node.archive(&[(0, 10)]);
    let (files, report) = node.restored();
    assert_eq!((files["a"].as_slice(), report.corrupt.len(), report.overlaps), (b"0\n".as_slice(), 1, 0));
    assert_eq!(report.corrupt[0].reason, "the bytes have another checksum than the manifest says");
    assert!(!report.is_sound());
}

#[test]
fn data_without_a_manifest_is_ignored_and_a_manifest_without_data_is_told() {
    let mut node = Node::new();
    node.archive(&[(0, 10)]);
    let manifest = node.object(".manifest.json");
    let text = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    let report = poll(verify(&node.store)).unwrap();
    assert_eq!((report.segments, report.incomplete.len(), report.corrupt.len()), (0, 1, 0));
    fs::remove_file(node.object(".ndjson.zst")).unwrap();
    fs::write(&manifest, text).unwrap();
    let report = poll(verify(&node.store)).unwrap();
    assert_eq!((report.segments, report.incomplete.len(), report.corrupt.len()), (0, 0, 1));
}

#[test]
fn a_manifest_under_the_name_of_another_segment_is_refused() {
    let mut node = Node::new();
    node.archive(&[(0, 10)]);
    let manifest = node.object(".manifest.json");
    let copy = manifest.with_file_name("00000000000000000009.manifest.json");
    fs::copy(&manifest, copy).unwrap();
    fs::write(manifest.with_file_name("00000000000000000010.manifest.json"), "[]").unwrap();
    let report = poll(verify(&node.store)).unwrap();
    assert_eq!((report.segments, report.corrupt.len()), (1, 2));
}

#[test]
fn a_manifest_in_which_one_digit_of_a_range_changed_is_refused() {
    let mut node = Node::new();
    node.archive(&[(0, 10)]);
    let manifest = node.object(".manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let changed = text.replacen("10\n", "90\n", 1);
    assert_ne!(text, changed, "{text}");
    fs::write(&manifest, changed).unwrap();
    let report = poll(verify(&node.store)).unwrap();
    assert_eq!(report.corrupt[0].reason, "not a manifest: its own checksum does not agree");
}

#[test]
fn a_format_of_the_future_is_refused_with_its_version() {
    let mut node = Node::new();
    node.archive(&[(0, 10)]);
    let manifest = node.object(".manifest.json");
    fs::write(&manifest, crate::manifest::seal(b"{\n  \"version\": 2".to_vec())).unwrap();
    assert!(poll(verify(&node.store)).unwrap_err().to_string().contains("format version 2"));
}

#[test]
fn a_stream_whose_name_is_a_path_is_restored_inside_the_directory() {
    let mut node = Node::new();
    for stream in ["../../escaped", "/etc/passwd", "..", "a\nb", ""] {
        node.archive_stream(stream, &[(0, 10)]);
    }
    let target = node.directory.path().join("deep/target");
    let restored = poll(restore(&node.store, &target)).unwrap();
    assert_eq!(restored.files.len(), 5);
    assert!(restored.files.values().all(|path| path.parent() == Some(&target) && path.exists()));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 5);
    assert!(matches!(poll(restore(&node.store, &target)), Err(RestoreError::NotEmpty { .. })));
}

#[test]
fn a_reader_gives_each_segment_with_its_manifest() {
    let (source, mut node) = (source(), Node::new());
    node.run(&source, 3, Fuse(None)).unwrap();
    let mut reader = poll(Reader::open(&node.store)).unwrap();
    let mut records = Vec::new();
    while let Some(part) = poll(reader.next()).unwrap() {
        assert_eq!(part.manifest.contents.records, part.records.len() as u64);
        assert_eq!(part.manifest.contents.streams["a"].namespace.as_deref(), Some("shop"));
        records.push(part.records.len());
    }
    assert_eq!((records.as_slice(), reader.overlaps(), reader.corrupt().len()), ([6, 4, 1].as_slice(), 0, 0));
}
