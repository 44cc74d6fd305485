//! Plain files: rotation, compression, truncation, copies, bad input.

use std::os::unix::fs::PermissionsExt;

use super::harness::{Node, packed, requests, text};

#[tokio::test]
async fn every_line_is_in_every_sink_once_and_a_second_run_adds_nothing() {
    let node = Node::with_files();
    let (a, b) = (requests("a", 0, 500), requests("b", 0, 300));
    node.write("a.log", text(&a));
    node.write("b.log", text(&b));
    let books = node.run().await;
    assert!(books.sinks.values().all(|account| account.read == 800), "\n{books}");
    let want = [a, b].concat();
    node.holds(&node.archived().await, &want);
    assert_eq!(node.engine.counted().requests, 800);
    let again = node.run().await;
    assert!(again.sinks.values().all(|account| account.read == 0), "\n{again}");
    node.holds(&node.archived().await, &want);
}

#[tokio::test]
async fn lines_appended_while_following_and_while_stopped_are_read() {
    let node = Node::with_files();
    let lines = requests("a", 0, 30);
    node.write("a.log", text(&lines[..10]));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    node.append("a.log", text(&lines[10..20]));
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.append("a.log", text(&lines[20..]));
    node.run().await;
    node.holds(&node.archived().await, &lines);
    assert_eq!(node.engine.streams(), 1);
}

#[tokio::test]
async fn a_line_without_its_end_waits_and_is_not_split() {
    let node = Node::with_files();
    let lines = requests("a", 0, 3);
    let whole = text(&lines);
    node.write("a.log", &whole[..whole.len() - 20]);
    let app = node.start().await;
    app.caught_up().await.unwrap();
    assert_eq!(node.engine.counted().lines, 2);
    node.append("a.log", &whole[whole.len() - 20..]);
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.holds(&node.archived().await, &lines);
}

#[tokio::test]
async fn draining_takes_the_last_line_without_its_end_and_what_follows_later_is_a_line_of_its_own() {
    let node = Node::with_files();
    node.write("a.log", "one\ntwo");
    node.write("b.log", "only");
    node.drain().await;
    node.append("a.log", "more\nthree\n");
    node.append("b.log", "\nnext");
    node.drain().await;
    let want = ["one", "two", "more", "three", "only", "", "next"].map(str::to_owned);
    node.holds(&node.archived().await, &want);
    assert_eq!(node.engine.streams(), 2);
}

#[tokio::test]
async fn rotation_by_rename_and_gzip_keeps_the_stream() {
    let node = Node::with_files();
    let (old, new) = (requests("a", 0, 100), requests("a", 100, 150));
    node.write("a.log", text(&old[..60]));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    // Written after the last look, renamed, compressed, and a new file under the old name.
    node.append("a.log", text(&old[60..80]));
    node.rename("a.log", "a.log.1");
    node.write("a.log", text(&new[..20]));
    node.append("a.log.1", text(&old[80..]));
    app.caught_up().await.unwrap();
    node.gzip("a.log.1");
    app.caught_up().await.unwrap();
    node.append("a.log", text(&new[20..]));
    app.stop().await.unwrap();
    node.run().await;
    node.holds(&node.archived().await, &[old, new].concat());
    assert_eq!(node.engine.streams(), 2);
}

#[tokio::test]
async fn a_file_compressed_while_nobody_looked_is_read_on_from_where_it_was() {
    let node = Node::with_files();
    let lines = requests("a", 0, 2000);
    node.write("a.log", text(&lines[..700]));
    node.run().await;
    node.append("a.log", text(&lines[700..]));
    node.gzip("a.log");
    node.run().await;
    node.holds(&node.archived().await, &lines);
    assert_eq!(node.engine.streams(), 1);
}

#[tokio::test]
async fn a_deleted_file_is_read_to_its_end() {
    let node = Node::with_files();
    let lines = requests("a", 0, 30);
    node.write("a.log", text(&lines[..10]));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    node.append("a.log", text(&lines[10..]));
    node.remove("a.log");
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.holds(&node.archived().await, &lines);
    assert_eq!(node.engine.ended(), 1);
}

#[tokio::test]
async fn copytruncate_gives_every_line_once() {
    let node = Node::with_files();
    let (old, new) = (requests("a", 0, 100), requests("a", 100, 130));
    node.write("a.log", text(&old[..60]));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    node.append("a.log", text(&old[60..]));
    std::fs::copy(node.path("a.log"), node.path("a.log.1")).unwrap();
    node.write("a.log", text(&new));
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.holds(&node.archived().await, &[old, new].concat());
}

#[tokio::test]
async fn a_file_written_anew_with_the_same_head_is_a_new_stream() {
    let node = Node::with_files();
    let (old, new) = (requests("a", 0, 50), requests("a", 50, 60));
    let head = "=== log of a ===\n";
    node.write("a.log", format!("{head}{}", text(&old)));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    node.write("a.log", format!("{head}{}", text(&new)));
    app.caught_up().await.unwrap();
    // To the same size, and longer.
    let same = format!("{head}{}", text(&new).replace("test", "tset"));
    node.write("a.log", &same);
    app.caught_up().await.unwrap();
    let longer = requests("z", 0, 80);
    node.write("a.log", format!("{head}{}", text(&longer)));
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    let changed: Vec<String> = new.iter().map(|line| line.replace("test", "tset")).collect();
    let heads = vec![head.trim_end().to_owned(); 4];
    node.holds(&node.archived().await, &[heads, old, new, changed, longer].concat());
    assert_eq!(node.engine.streams(), 4);
}

#[tokio::test]
async fn copies_are_read_once_and_files_that_differ_are_two_streams() {
    let node = Node::with_files();
    let lines = requests("a", 0, 100);
    node.write("a.log", text(&lines[..40]));
    node.write("copy.log", text(&lines[..20]));
    node.write("copy.log.gz", packed(text(&lines[..30]).as_bytes()));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    assert_eq!(node.engine.counted().lines, 40);
    // The copy overtakes; then another one goes its own way.
    node.append("copy.log", text(&lines[20..100]));
    app.caught_up().await.unwrap();
    assert_eq!(node.engine.counted().lines, 100);
    node.append("a.log", "something else\n");
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    let more = [&lines[..40], &["something else".to_owned()]].concat();
    node.holds(&node.archived().await, &[lines, more].concat());
    assert_eq!(node.engine.streams(), 2);
}

#[tokio::test]
async fn two_logs_with_the_same_head_are_both_read_and_keep_apart_over_restart_and_gzip() {
    let node = Node::with_files();
    let (a, b) = (requests("a", 0, 300), requests("b", 0, 200));
    let head = vec!["starting".to_owned()];
    let (a, b) = ([head.clone(), a].concat(), [head, b].concat());
    node.write("a.log", text(&a[..1]));
    node.write("b.log", text(&b[..1]));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    node.append("a.log", text(&a[1..100]));
    node.append("b.log", text(&b[1..50]));
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.append("a.log", text(&a[100..]));
    node.gzip("a.log");
    node.append("b.log", text(&b[50..]));
    node.rename("b.log", "c.log");
    node.run().await;
    node.holds(&node.archived().await, &[a, b].concat());
    assert_eq!(node.engine.streams(), 2);
}

#[tokio::test]
async fn a_half_written_gzip_is_read_to_the_break_and_on_when_it_is_whole() {
    let node = Node::with_files();
    let lines = requests("a", 0, 20_000);
    let whole = packed(text(&lines).as_bytes());
    node.write("a.log.gz", &whole[..whole.len() / 2]);
    let app = node.start().await;
    app.caught_up().await.unwrap();
    let before = node.engine.counted().lines;
    assert!((1000..19_000).contains(&before), "{before}");
    assert!(node.engine.broken()[0].contains("breaks off"), "{:?}", node.engine.broken());
    node.write("a.log.gz", &whole);
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.holds(&node.archived().await, &lines);
    assert_eq!(node.engine.streams(), 1);
}

#[tokio::test]
async fn a_line_of_20_mb_is_dead_lettered_and_its_neighbours_are_delivered() {
    let node = Node::with_files();
    let long = "x".repeat(20_000_000);
    node.write("a.log", format!("before\n{long}\nafter\n"));
    for _ in 0..2 {
        node.run().await;
        let letters = node.dead_letters();
        assert_eq!((letters.len(), letters[0].length, letters[0].offset), (1, 20_000_000, 7));
    }
    node.holds(&node.archived().await, &["before".into(), "after".into()]);
    assert_eq!(node.engine.counted().dead_lettered, 1);
}

#[tokio::test]
async fn bytes_that_are_no_text_arrive_as_they_were() {
    let node = Node::with_files();
    let line = b"\xff\xfe\x00 bad \xc0\x80 \x1b[0m\x85";
    node.write("a.log", [&line[..], b"\r\n\n\xef\xbb\xbfbom\n"].concat());
    node.run().await;
    let written = std::fs::read(node.root().join("out")).unwrap();
    assert_eq!(written, [&line[..], b"\n\n\xef\xbb\xbfbom\n"].concat());
    assert_eq!(node.archived().await.len(), 3);
}

#[tokio::test]
async fn what_is_no_file_is_passed_by() {
    let node = Node::with_files();
    std::fs::create_dir(node.path("dir.log")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        node.path("pipe.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_bits_retain(0o600),
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("/nowhere", node.path("dangling.log")).unwrap();
    node.write("empty.log", "");
    node.write("secret.log", "not for us\n");
    std::fs::set_permissions(node.path("secret.log"), PermissionsExt::from_mode(0o000)).unwrap();
    let lines = requests("a", 0, 3);
    node.write("a.log", text(&lines));
    node.write("b.log.ignored", "excluded\n");
    let app = node.start().await;
    app.caught_up().await.unwrap();
    // Root reads any file: then the unreadable one is a line more.
    let read = app.stop().await.unwrap().sinks["kept"].read;
    assert!((3..=4).contains(&read), "{read}");
    std::fs::set_permissions(node.path("secret.log"), PermissionsExt::from_mode(0o600)).unwrap();
    node.run().await;
    node.holds(&node.archived().await, &[lines, vec!["not for us".into()]].concat());
}

#[tokio::test]
async fn reading_from_the_end_leaves_out_what_was_there_before() {
    let node = Node::new("files: {type: file, include: [\"$LOGS\"], read_from: end}");
    node.write("sub/a.log", "old\nhalf");
    let app = node.start().await;
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.append("sub/a.log", " a line\nnew\n");
    node.write("b.log", "another\n");
    let app = node.start().await;
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    let mut shown = node.shown();
    shown.sort();
    assert_eq!(shown, ["another", "half a line", "new"]);
}
