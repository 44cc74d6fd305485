//! Whatever is killed or damaged, every line comes back exactly once.

use std::fs;

use proptest::prelude::*;

use super::{Fuse, Node, Source, next_segment, poll, source};
use crate::{Spool, SpoolError, State};

#[test]
fn a_kill_between_any_two_steps_loses_and_repeats_nothing() {
    let source = source();
    for steps in 0.. {
        let mut node = Node::new();
        let killed = node.run(&source, 2, Fuse(Some(steps))).is_err();
        let recovered = node.run(&source, 2, Fuse(None)).unwrap();
        let report = node.expect(&source);
        assert_eq!(
            (report.overlaps, report.incomplete.len(), report.segments),
            (0, 0, 4),
            "killed at step {steps}"
        );
        assert_eq!(
            (recovered.state, recovered.quarantined.len()),
            (State::Kept, 0),
            "killed at step {steps}"
        );
        if !killed {
            assert!(steps > 20, "only {steps} steps were tried");
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn many_kills_with_batches_of_any_size_lose_and_repeat_nothing(
        kills in prop::collection::vec((0u32..12, 1usize..4), 0..6),
    ) {
        let (source, mut node) = (source(), Node::new());
        for (steps, batch) in kills {
            let _ = node.run(&source, batch, Fuse(Some(steps)));
        }
        node.run(&source, 3, Fuse(None)).unwrap();
        prop_assert_eq!(node.expect(&source).overlaps, 0);
    }
}

type Damage = fn(&[u8]) -> Option<Vec<u8>>;

/// What disks do to files. None is: the file is gone.
const DAMAGES: [(&str, Damage); 6] = [
    ("gone", |_| None),
    ("empty", |_| Some(Vec::new())),
    ("torn tail", |bytes| Some(bytes[..bytes.len() * 2 / 3].to_vec())),
    ("zeroed tail", |bytes| {
        Some([&bytes[..bytes.len() / 2], &vec![0; bytes.len() - bytes.len() / 2]].concat())
    }),
    ("garbage", |_| Some(b"\x7fELF not ours\n{}".to_vec())),
    ("one bit flipped", |bytes| {
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 0x10;
        Some(flipped)
    }),
];

/// Kills with two segments delivered and two staged, damages a file of the spool, and starts again.
#[track_caller]
fn check(file: &str, damage: (&str, Damage), source: &Source) {
    let mut node = Node::new();
    node.run(source, 1, Fuse(Some(12))).unwrap_err();
    let (mut spool, recovered) = node.open();
    assert_eq!((recovered.state, recovered.pending.len()), (State::Kept, 0));
    for _ in 0..3 {
        let segment = next_segment(source, spool.positions(), 1).unwrap();
        spool.stage(&segment).unwrap();
    }
    // The first of the three is in the store although nobody noted it.
    poll(node.store.put_segment(spool.pending().next().unwrap())).unwrap();
    drop(spool);
    let path = node.spool_path().join(file);
    match damage.1(&fs::read(&path).unwrap()) {
        Some(bytes) => fs::write(&path, bytes).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
    let recovered = node.run(source, 2, Fuse(None)).unwrap();
    let report = node.expect(source);
    let orphan = damage.0 == "gone" && file.ends_with("4.manifest.json");
    assert!(orphan || matches!(recovered.state, State::Lost { .. }), "{file} {}: {recovered:?}", damage.0);
    assert!(orphan || report.overlaps > 0, "{file} {}: {report:?}", damage.0);
    let again = node.run(source, 2, Fuse(None)).unwrap();
    assert_eq!((again.state, again.pending.len()), (State::Kept, 0), "{file} {}", damage.0);
    assert_eq!(node.expect(source), report);
}

#[test]
fn damage_to_any_file_of_the_spool_begins_an_epoch_and_loses_nothing() {
    let source = source();
    let segments = [2, 3, 4].map(|n| format!("pending/{n:020}"));
    let staged =
        segments.iter().flat_map(|name| [format!("{name}.ndjson.zst"), format!("{name}.manifest.json")]);
    let files = ["positions.0".to_owned(), "positions.1".to_owned()].into_iter().chain(staged);
    for file in files {
        for damage in DAMAGES {
            check(&file, damage, &source);
        }
    }
}

#[test]
fn a_lost_directory_is_told_as_a_first_start_and_reading_everything_again_doubles_nothing() {
    let (source, mut node) = (source(), Node::new());
    assert_eq!(node.run(&source, 2, Fuse(None)).unwrap().state, State::First);
    fs::remove_dir_all(node.spool_path()).unwrap();
    let recovered = node.run(&source, 3, Fuse(None)).unwrap();
    assert_eq!((recovered.state, recovered.positions.len()), (State::First, 0));
    assert_eq!(node.expect(&source).overlaps, 11);
}

#[test]
fn a_damaged_segment_is_kept_aside_with_its_reason() {
    let (source, mut node) = (source(), Node::new());
    let (mut spool, _) = node.open();
    let staged = spool.stage(&next_segment(&source, spool.positions(), 2).unwrap()).unwrap();
    drop(spool);
    fs::write(&staged.data, b"damaged").unwrap();
    let (_, recovered) = node.open();
    assert_eq!(recovered.quarantined[0].reason, "its data has another checksum than its manifest says");
    let kept = node.spool_path().join("quarantine").join(staged.data.file_name().unwrap());
    assert_eq!(fs::read(kept).unwrap(), b"damaged");
    assert_eq!(recovered.positions.len(), 0);
}

#[test]
fn what_a_newer_release_wrote_is_refused_with_the_version_named() {
    let mut node = Node::new();
    drop(node.open());
    let json = b"{\"unknown\":true}\n";
    let file = [format!("headroom-spool 7 {}\n", crate::sha256_hex(json)).as_bytes(), json].concat();
    fs::write(node.spool_path().join("positions.1"), &file).unwrap();
    let error = Spool::open(&node.spool_path(), "node-1", "e9").unwrap_err();
    assert!(matches!(error, SpoolError::Version { found: 7, .. }), "{error}");
    assert_eq!(fs::read(node.spool_path().join("positions.1")).unwrap(), file);
}

#[test]
fn a_second_process_is_refused_and_told_who_has_the_spool() {
    let mut node = Node::new();
    let held = node.open();
    let error = Spool::open(&node.spool_path(), "node-1", "e9").unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(held);
    assert_eq!(node.open().1.state, State::Kept);
}

#[test]
fn an_epoch_that_was_used_before_is_no_fresh_one() {
    let mut node = Node::new();
    drop(node.open());
    fs::write(node.spool_path().join("positions.0"), "garbage").unwrap();
    let error = Spool::open(&node.spool_path(), "node-1", "epoch-1").unwrap_err();
    assert!(matches!(error, SpoolError::StaleEpoch { .. }), "{error}");
}

#[test]
fn another_collector_gets_an_epoch_of_its_own() {
    let mut node = Node::new();
    drop(node.open());
    let (spool, recovered) = Spool::open(&node.spool_path(), "node-2", "fresh").unwrap();
    assert!(matches!(recovered.state, State::Lost { .. }));
    assert_eq!(spool.epoch(), "fresh");
    assert!(matches!(Spool::open(&node.spool_path(), "../up", "e"), Err(SpoolError::Name(_))));
}

#[test]
fn deliveries_are_noted_oldest_first_and_twice_without_harm() {
    let (source, mut node) = (source(), Node::new());
    let (mut spool, _) = node.open();
    let first = spool.stage(&next_segment(&source, spool.positions(), 1).unwrap()).unwrap();
    let second = spool.stage(&next_segment(&source, spool.positions(), 1).unwrap()).unwrap();
    let error = spool.delivered(&second).unwrap_err();
    assert!(matches!(error, SpoolError::Order { sequence: 1, oldest: 0 }), "{error}");
    for staged in [&first, &first, &second, &second] {
        spool.delivered(staged).unwrap();
    }
    assert_eq!(spool.pending().count(), 0);
}

#[test]
fn a_segment_that_could_not_be_staged_is_staged_later_under_the_same_name() {
    let (source, mut node) = (source(), Node::new());
    let (mut spool, _) = node.open();
    let segment = next_segment(&source, spool.positions(), 2).unwrap();
    let pending = node.spool_path().join("pending");
    fs::remove_dir(&pending).unwrap();
    assert!(matches!(spool.stage(&segment), Err(SpoolError::Io { .. })));
    assert_eq!((spool.positions().len(), spool.pending().count()), (0, 0));
    fs::create_dir(&pending).unwrap();
    assert_eq!(spool.stage(&segment).unwrap().sequence(), 0);
}
