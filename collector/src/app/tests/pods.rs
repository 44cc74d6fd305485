//! The logs of pods: CRI lines, partial ones, generations.

use super::harness::{Node, cri, packed, requests};

const APP: &str = "shop_web-5d9c_3b1f-77/app";

#[tokio::test]
async fn generations_of_a_container_are_read_in_order_and_rotation_repeats_nothing() {
    let node = Node::with_pods();
    let lines = requests("web", 0, 400);
    node.write(&format!("{APP}/0.log.20260101-100000.gz"), packed(cri(0, &lines[..100]).as_bytes()));
    node.write(&format!("{APP}/0.log.20260101-110000"), cri(100, &lines[100..200]));
    node.write(&format!("{APP}/0.log"), cri(200, &lines[200..300]));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    assert_eq!((node.engine.streams(), node.engine.ended()), (3, 2));
    node.rename(&format!("{APP}/0.log"), &format!("{APP}/0.log.20260101-120000"));
    node.gzip(&format!("{APP}/0.log.20260101-110000"));
    node.write(&format!("{APP}/0.log"), cri(300, &lines[300..]));
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.run().await;
    node.holds(&node.archived().await, &lines);
    assert_eq!((node.engine.streams(), node.engine.ended()), (4, 3));
}

#[tokio::test]
async fn a_record_split_over_a_rotation_is_one_record() {
    let node = Node::with_pods();
    let line =
        |time: u32, tag: &str, text: &str| format!("2026-01-01T10:00:{time:02}Z stdout {tag} {text}\n");
    node.write(&format!("{APP}/0.log"), line(1, "F", "first") + &line(2, "P", "one "));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    assert_eq!(node.shown(), ["first"]);
    node.append(&format!("{APP}/0.log"), line(3, "P", "record "));
    node.rename(&format!("{APP}/0.log"), &format!("{APP}/0.log.20260101-100000"));
    node.write(&format!("{APP}/0.log"), line(4, "F", "in three") + &line(5, "F", "last"));
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    let again = node.run().await;
    assert!(again.sinks.values().all(|account| account.read == 0), "\n{again}");
    node.holds(&node.archived().await, &["first".into(), "one record in three".into(), "last".into()]);
}

#[tokio::test]
async fn a_partial_line_that_nothing_follows_is_delivered_when_the_container_is_gone() {
    let node = Node::with_pods();
    node.write(
        &format!("{APP}/0.log"),
        "2026-01-01T10:00:00Z stdout F a\n2026-01-01T10:00:01Z stdout P cut off\n",
    );
    let app = node.start().await;
    app.caught_up().await.unwrap();
    assert_eq!(node.shown(), ["a"]);
    node.write(&format!("{APP}/1.log"), "2026-01-01T10:00:02Z stdout F b\n");
    app.caught_up().await.unwrap();
    app.stop().await.unwrap();
    node.holds(&node.archived().await, &["a".into(), "cut off".into(), "b".into()]);
}

#[tokio::test]
async fn lines_that_are_not_cri_are_dead_lettered() {
    let node = Node::with_pods();
    let lines = requests("web", 0, 2);
    node.write(&format!("{APP}/0.log"), format!("{}no CRI line\n", cri(0, &lines)));
    node.run().await;
    node.holds(&node.archived().await, &lines);
    let letters = node.dead_letters();
    assert_eq!((letters.len(), letters[0].content.as_str()), (1, "no CRI line"));
}

#[tokio::test]
async fn the_same_logs_in_another_layout_give_the_same_counts() {
    let lines = requests("web", 0, 900);
    let (one, other) = (Node::with_pods(), Node::with_pods());
    one.write(&format!("{APP}/0.log"), cri(0, &lines));
    other.write(&format!("{APP}/0.log.20260101-100000.gz"), packed(cri(0, &lines[..500]).as_bytes()));
    other.write(&format!("{APP}/0.log.20260101-110000"), cri(500, &lines[500..501]));
    other.write(&format!("{APP}/0.log"), cri(501, &lines[501..]));
    other.drain().await;
    other.drain().await;
    one.drain().await;
    assert_eq!(one.engine.counted(), other.engine.counted());
    assert_eq!(one.engine.counted().requests, 900);
}
