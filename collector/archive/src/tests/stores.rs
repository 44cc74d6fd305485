//! A directory store never overwrites and never leaves its root.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Node, next_segment, poll, source};
use crate::{DirectoryStore, Put, Store, StoreError, sha256_hex};

fn put(store: &Store, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
    poll(store.put_if_absent(key, bytes, &sha256_hex(bytes)))
}

#[test]
fn the_same_bytes_twice_are_one_object_and_others_are_a_conflict() {
    let store = Node::new();
    assert_eq!(put(&store.store, "segments/a", b"one").unwrap(), Put::Created);
    assert_eq!(put(&store.store, "segments/a", b"one").unwrap(), Put::AlreadySame);
    let error = put(&store.store, "segments/a", b"two").unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { found, .. } if *found == sha256_hex(b"one")), "{error}");
    assert_eq!(poll(store.store.get("segments/a")).unwrap(), b"one");
    assert!(matches!(poll(store.store.get("segments/b")), Err(StoreError::Missing { .. })));
}

#[test]
fn bytes_that_were_damaged_on_the_way_are_not_kept() {
    let node = Node::new();
    let error = poll(node.store.put_if_absent("a", b"one", &sha256_hex(b"two"))).unwrap_err();
    assert!(matches!(error, StoreError::Checksum { .. }), "{error}");
    assert_eq!(poll(node.store.list("")).unwrap(), Vec::<String>::new());
}

#[test]
fn a_staged_segment_that_rots_on_the_local_disk_is_not_delivered() {
    let mut node = Node::new();
    let (mut spool, _) = node.open();
    let staged = spool.stage(&next_segment(&source(), spool.positions(), 2).unwrap()).unwrap();
    fs::write(&staged.data, b"rot").unwrap();
    assert!(matches!(poll(node.store.put_segment(&staged)), Err(StoreError::Checksum { .. })));
    assert_eq!(poll(node.store.list("")).unwrap(), Vec::<String>::new());
}

#[test]
fn hostile_keys_write_nothing_anywhere() {
    let node = Node::new();
    let outside = node.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, node.directory.path().join("store/link")).unwrap();
    let absolute = outside.join("x");
    let long = "x".repeat(300);
    let keys =
        ["../outside/x", "a/../../outside/x", absolute.to_str().unwrap(), "", "a//b", "a/", ".incoming/x"];
    for key in keys.into_iter().chain(["a\0b", "a\\..\\b", "a/./b", "%2e%2e/x", "a\nb", &long]) {
        assert!(matches!(put(&node.store, key, b"x"), Err(StoreError::Key { .. })), "{key:?}");
        assert!(matches!(poll(node.store.get(key)), Err(StoreError::Key { .. })), "{key:?}");
    }
    for key in ["link", "link/x", "link/sub/x"] {
        let error = put(&node.store, key, b"x").unwrap_err();
        assert!(error.to_string().contains("store/link is a symbolic link"), "{error}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::write(outside.join("secret"), b"x").unwrap();
    assert!(matches!(poll(node.store.get("link/secret")), Err(StoreError::Io { .. })));
    assert_eq!(poll(node.store.list("")).unwrap(), Vec::<String>::new());
}

#[test]
fn a_list_holds_the_keys_under_a_prefix_in_order() {
    let node = Node::new();
    for key in ["segments/b/2", "segments/a/1", "segments/a/0", "seg", "other/x"] {
        put(&node.store, key, b"x").unwrap();
    }
    assert_eq!(poll(node.store.list("segments/")).unwrap(), ["segments/a/0", "segments/a/1", "segments/b/2"]);
    assert_eq!(poll(node.store.list("segments/a/")).unwrap(), ["segments/a/0", "segments/a/1"]);
    assert_eq!(poll(node.store.list("seg")).unwrap().len(), 4);
    assert_eq!(poll(node.store.list("none")).unwrap().len(), 0);
}

#[test]
fn opening_clears_what_a_killed_writer_left_and_spares_what_a_live_one_writes() {
    let node = Node::new();
    let root = node.directory.path().join("store");
    fs::write(root.join(".incoming/1-0"), b"half").unwrap();
    fs::write(root.join(".incoming/2-0"), b"half").unwrap();
    let live = fs::File::open(root.join(".incoming/2-0")).unwrap();
    live.lock().unwrap();
    DirectoryStore::open(&root).unwrap();
    let left: Vec<_> =
        fs::read_dir(root.join(".incoming")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["2-0"]);
}

#[test]
fn writers_racing_for_one_key_agree_on_one_object() {
    let node = Node::new();
    let created: Vec<bool> = std::thread::scope(|scope| {
        let write = |i: u8| {
            let store = &node.store;
            scope.spawn(move || matches!(put(store, "segments/a", &[i / 4; 1000]), Ok(Put::Created)))
        };
        let threads: Vec<_> = (0..8).map(write).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(created.iter().filter(|created| **created).count(), 1);
    assert_eq!(poll(node.store.get("segments/a")).unwrap().len(), 1000);
}
