//! Sinks that fail, lag, refuse or forget.

use std::time::Duration;

use slo::counts::MinuteId;

use super::harness::{Engine, Node, balanced, requests, text};

/// 2026-01-01T10:01:00Z.
const SECOND_MINUTE: MinuteId = MinuteId(29_454_361);

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_does_not_hold_up_the_others_and_gets_all_when_it_is_back() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 9, timeout_secs: 1}".into();
    // A directory in the place of the file that is to be written.
    std::fs::create_dir(node.root().join("out")).unwrap();
    let lines = requests("a", 0, 3000);
    node.write("a.log", text(&lines[..2000]));
    let app = node.start().await;
    while node.engine.counted().lines < 2000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    node.append("a.log", text(&lines[2000..]));
    while node.engine.counted().lines < 3000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    std::fs::remove_dir(node.root().join("out")).unwrap();
    app.caught_up().await.unwrap();
    balanced(&app.stop().await.unwrap());
    node.holds(&node.archived().await, &lines);
    assert_eq!(node.shown(), lines);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_lost_everything_and_was_silent_at_start_gets_everything_again() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 9}".into();
    let lines = requests("a", 0, 500);
    node.write("a.log", text(&lines[..300]));
    node.run().await;
    node.engine.lose_all();
    node.engine.set_silent(true);
    node.append("a.log", text(&lines[300..]));
    let app = node.start().await;
    node.engine.set_silent(false);
    app.caught_up().await.unwrap();
    balanced(&app.stop().await.unwrap());
    node.holds(&node.archived().await, &lines);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_born_anew_gets_what_is_left_in_the_files_and_only_then_a_watermark() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 9}".into();
    let lines = requests("a", 0, 500);
    node.write("a.log", text(&lines[..300]));
    node.write("b.log", text(&requests("b", 0, 50)));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    // What is in no file any more cannot be read again, and is not waited for.
    node.remove("b.log");
    node.rename("a.log", "a.log.1");
    app.caught_up().await.unwrap();
    node.gzip("a.log.1");
    node.engine.lose_all();
    node.write("a.log", text(&lines[300..400]));
    app.caught_up().await.unwrap();
    assert_eq!((node.engine.counted().lines, node.engine.lines_at_watermark()), (400, Some(400)));
    node.engine.lose_all();
    // Nothing is written: the next heartbeat finds out.
    app.caught_up().await.unwrap();
    node.append("a.log", text(&lines[400..]));
    app.caught_up().await.unwrap();
    balanced(&app.stop().await.unwrap());
    assert_eq!((node.engine.counted().lines, node.engine.lines_at_watermark()), (500, Some(400)));
    assert_eq!(node.archived().await.len(), 550);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_born_anew_does_not_wait_for_what_is_never_read() {
    let node = Node::new("files: {type: file, include: [\"$LOGS\"], read_from: end}");
    let lines = requests("a", 0, 300);
    node.write("a.log", text(&lines[..100]));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    node.append("a.log", text(&lines[100..200]));
    app.caught_up().await.unwrap();
    node.engine.lose_all();
    node.append("a.log", text(&lines[200..]));
    app.caught_up().await.unwrap();
    balanced(&app.stop().await.unwrap());
    assert_eq!(node.engine.counted().lines, 200);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_silent_at_start_is_not_sent_what_it_has() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 9}".into();
    let lines = requests("a", 0, 500);
    node.write("a.log", text(&lines[..300]));
    node.run().await;
    // The positions of the checkpoint file are lost, the engine's are not.
    std::fs::remove_file(node.data().join("checkpoints.json")).unwrap();
    std::fs::remove_file(node.data().join("checkpoints.json.1")).unwrap();
    node.engine.set_silent(true);
    node.append("a.log", text(&lines[300..]));
    let app = node.start().await;
    node.engine.set_silent(false);
    app.caught_up().await.unwrap();
    balanced(&app.stop().await.unwrap());
    // The engine of these tests panics at ranges that overlap.
    assert_eq!(node.engine.counted().lines, 500);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_in_time_while_an_engine_is_silent_or_hangs_and_the_next_run_gives_it_all() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 9}".into();
    let lines = requests("a", 0, 500);
    node.write("a.log", text(&lines[..300]));
    let trouble: [fn(&Engine, bool); 2] = [Engine::set_silent, Engine::set_hanging];
    for trouble in trouble {
        trouble(&node.engine, true);
        let app = node.start().await;
        // The others have taken what is there, so they end at once and the engine is waited for alone.
        tokio::time::sleep(Duration::from_secs(60)).await;
        tokio::time::timeout(Duration::from_secs(11), app.stop()).await.unwrap().unwrap();
        trouble(&node.engine, false);
    }
    node.append("a.log", text(&lines[300..]));
    node.run().await;
    node.holds(&node.archived().await, &lines);
}

#[tokio::test(start_paused = true)]
async fn a_refused_line_is_dead_lettered_alone_and_stays_so() {
    let node = Node::with_files();
    let lines = requests("a", 0, 180);
    node.write("a.log", text(&lines));
    node.engine.reject(SECOND_MINUTE);
    let books = node.run().await;
    assert_eq!(
        (books.sinks["counted"].delivered, books.sinks["counted"].dead_lettered),
        (120, 60),
        "\n{books}"
    );
    assert_eq!(node.dead_letters().len(), 60);
    let counted = node.engine.counted();
    assert_eq!((counted.lines, counted.requests, counted.dead_lettered), (180, 120, 60));
    let again = node.run().await;
    assert_eq!(again.sinks["counted"].read, 0, "\n{again}");
}

#[tokio::test(start_paused = true)]
async fn the_watermark_comes_with_the_end_of_the_files_and_goes_on_without_lines() {
    let node = Node::with_files();
    node.write("a.log", text(&requests("a", 0, 10)));
    let app = node.start().await;
    app.caught_up().await.unwrap();
    assert!(node.engine.watermark_ms().is_some());
    assert_eq!(app.progress().bytes_read, app.progress().bytes_total);
    assert_eq!(app.progress().lines, 10);
    app.stop().await.unwrap();
}
