//! Sinks that lag behind the rotation of files: every line once all the same, or counted.

use std::path::PathBuf;
use std::process::Command;

use prometheus::Registry;

use super::harness::{Node, balanced, cri, packed, pass, requests, runtime, text, until};
use crate::app::App;

const APP: &str = "shop_web-5d9c_3b1f-77/app";

impl Node {
    /// The sink `shown` fails from now on: a directory lies in the place of its file.
    fn break_shown(&self) {
        std::fs::create_dir(self.root().join("out")).unwrap();
    }

    fn mend_shown(&self) {
        std::fs::remove_dir(self.root().join("out")).unwrap();
    }

    fn segments(&self, sink: &str) -> Vec<PathBuf> {
        let dir = self.data().join("spool").join(sink).join("files");
        let entries = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut segments: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "spool")).collect();
        segments.sort();
        segments
    }

    fn spooled(&self, sink: &str) -> u64 {
        self.segments(sink).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum()
    }

    /// The engine has counted so many lines, and a look at the files has passed since.
    async fn counted(&self, lines: usize) {
        until("the engine's count", || self.engine.counted().lines == lines as u64).await;
        pass(5).await;
    }

    /// Writes a file, rotates it by rename, compresses it and deletes it, each seen by the collector.
    async fn rotate_away(&self, name: &str, content: String, lines: usize) {
        self.write(name, &content);
        self.counted(lines).await;
        let old = format!("{name}.20260101-1{:05}", lines);
        self.rename(name, &old);
        self.write(name, "");
        pass(3).await;
        self.gzip(&old);
        pass(3).await;
        self.remove(&format!("{old}.gz"));
        pass(3).await;
    }

    async fn finish(&self, app: App, lines: &[String]) {
        app.caught_up().await.unwrap();
        balanced(&app.stop().await.unwrap());
        self.holds(&self.archived().await, lines);
    }
}

fn value(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> f64 {
    let families = registry.gather();
    let metrics =
        families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
    let is = |metric: &&prometheus::proto::Metric| {
        let has = |(name, value): &(&str, &str)| {
            metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
        };
        labels.iter().all(has)
    };
    metrics.filter(is).map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_over_many_rotations_gets_every_line_when_it_is_back() {
    for pods in [true, false] {
        let (mut node, name) = match pods {
            true => (Node::with_pods(), format!("{APP}/0.log")),
            false => (Node::with_files(), "a.log".to_owned()),
        };
        node.batch = ", batch: {max_events: 9, timeout_secs: 1}".into();
        node.break_shown();
        let lines = requests("web", 0, 3500);
        let app = node.start().await;
        for turn in 0..6 {
            let new = &lines[turn * 500..(turn + 1) * 500];
            let content = if pods { cri(turn * 500, new) } else { text(new) };
            node.rotate_away(&name, content, (turn + 1) * 500).await;
        }
        node.write(&name, if pods { cri(3000, &lines[3000..]) } else { text(&lines[3000..]) });
        node.counted(3500).await;
        assert!(node.spooled("shown") > 0);
        node.mend_shown();
        node.finish(app, &lines).await;
        node.run().await;
        assert_eq!(node.shown(), lines, "in order, and nothing twice after a restart");
        assert_eq!(node.segments("shown"), <[PathBuf; 0]>::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_alone_is_spooled_for_too() {
    let mut node = Node::with_pods();
    node.alone = true;
    node.batch = ", batch: {max_events: 9, timeout_secs: 1}".into();
    node.break_shown();
    let (lines, name) = (requests("web", 0, 3000), format!("{APP}/0.log"));
    let app = node.start().await;
    node.write(&name, cri(0, &lines[..2000]));
    pass(10).await;
    node.rename(&name, &format!("{name}.20260101-100000"));
    node.write(&name, cri(2000, &lines[2000..]));
    until("the spool", || node.spooled("shown") > cri(0, &lines[..2000]).len() as u64 / 2).await;
    node.remove(&format!("{name}.20260101-100000"));
    pass(5).await;
    node.mend_shown();
    app.caught_up().await.unwrap();
    balanced(&app.stop().await.unwrap());
    assert_eq!(node.shown(), lines);
}

#[tokio::test(start_paused = true)]
async fn a_record_split_over_a_rotation_is_one_record_in_the_spool() {
    let line =
        |second: u32, tag: &str, text: &str| format!("2026-01-01T11:00:{second:02}Z stdout {tag} {text}\n");
    let mut node = Node::with_pods();
    node.batch = ", batch: {max_events: 9, timeout_secs: 1}".into();
    node.break_shown();
    let (mut lines, name) = (requests("web", 0, 800), format!("{APP}/0.log"));
    node.write(&name, cri(0, &lines) + &line(1, "P", "in "));
    let app = node.start().await;
    node.counted(800).await;
    let old = format!("{name}.20260101-120000");
    node.rename(&name, &old);
    node.write(&name, line(2, "P", "three ") + &line(3, "F", "parts") + &line(4, "F", "last"));
    node.counted(802).await;
    node.remove(&old);
    pass(3).await;
    node.mend_shown();
    lines.extend(["in three parts".into(), "last".into()]);
    node.finish(app, &lines).await;
}

/// Runs a collector until the story is told, then it is gone where it stands.
fn killed_when(node: &Node, story: impl Future<Output = ()>) {
    runtime().block_on(async {
        let _app = node.start().await;
        story.await;
    });
}

/// A file is rotated away while the engine hangs.
async fn rotation_while_the_engine_hangs(node: &Node, lines: &[String]) {
    until("the lines", || node.shown().len() == 900).await;
    node.rename("a.log", "a.log.1");
    node.write("a.log", text(&lines[900..]));
    until("the spool", || node.spooled("counted") > text(&lines[..900]).len() as u64).await;
    node.remove("a.log.1");
    until("the rest", || node.shown().len() == lines.len()).await;
}

#[test]
fn killed_after_any_number_of_polls_of_a_replay_nothing_is_lost_or_doubled() {
    for polls in (0..90).step_by(3) {
        let mut node = Node::with_files();
        node.batch = ", batch: {max_events: 40}".into();
        let lines = requests("a", 0, 1000);
        node.write("a.log", text(&lines[..900]));
        node.engine.set_hanging(true);
        killed_when(&node, rotation_while_the_engine_hangs(&node, &lines));
        node.engine.set_hanging(false);
        for polls in [polls, polls / 2] {
            runtime().block_on(async {
                let work = async {
                    let app = node.start().await;
                    app.caught_up().await.unwrap();
                };
                let death = async {
                    for _ in 0..polls {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! { biased; () = work => {}, () = death => {} }
            });
        }
        runtime().block_on(node.run());
        // The engine of these tests panics at ranges that overlap.
        assert_eq!(node.engine.counted().lines, 1000, "{polls} polls");
    }
}

#[test]
fn what_is_deleted_before_a_sink_that_keeps_up_has_delivered_it_survives_a_kill() {
    let mut node = Node::with_pods();
    node.batch = ", batch: {max_events: 1000000, timeout_secs: 3600}".into();
    let (lines, name) = (requests("web", 0, 300), format!("{APP}/0.log"));
    node.write(&name, cri(0, &lines));
    killed_when(&node, async {
        pass(5).await;
        std::fs::remove_dir_all(node.path("shop_web-5d9c_3b1f-77")).unwrap();
        until("the spools", || ["kept", "counted", "shown"].iter().all(|sink| node.spooled(sink) > 0)).await;
    });
    assert_eq!(node.shown().len(), 0);
    for _ in 0..2 {
        runtime().block_on(async {
            node.run().await;
            node.holds(&node.archived().await, &lines);
        });
    }
    assert_eq!(node.segments("kept"), <[PathBuf; 0]>::default());
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_that_blocks_holds_the_files_until_there_is_room() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 900, timeout_secs: 1}".into();
    node.buffer = ", buffer: {max_size: 1048576, when_full: block}".into();
    node.break_shown();
    let (registry, lines) = (Registry::new(), requests("a", 0, 20_000));
    let app = node.start_with(&registry).await;
    for turn in 0..4 {
        node.write("a.log", text(&lines[turn * 5000..(turn + 1) * 5000]));
        node.counted((turn + 1) * 5000).await;
        node.rename("a.log", &format!("a.log.{turn}"));
        pass(3).await;
        node.remove(&format!("a.log.{turn}"));
        pass(3).await;
    }
    let shown = [("component_id", "shown")];
    let full = [("component_id", "shown"), ("error_type", "buffer_full")];
    assert!(value(&registry, "component_errors_total", &full) > 0.0);
    assert!(value(&registry, "buffer_byte_size", &shown) > 500_000.0);
    assert!(node.spooled("shown") <= 1 << 20);
    node.mend_shown();
    node.finish(app, &lines).await;
    assert_eq!(value(&registry, "component_errors_total", &[("error_type", "lost")]), 0.0);
    assert_eq!(value(&registry, "buffer_events", &shown), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_that_drops_the_newest_counts_them_and_the_books_balance() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 900, timeout_secs: 1}".into();
    node.buffer = ", buffer: {max_size: 1048576, when_full: drop_newest}".into();
    node.break_shown();
    let (registry, lines) = (Registry::new(), requests("a", 0, 20_000));
    let app = node.start_with(&registry).await;
    for turn in 0..4 {
        node.write("a.log", text(&lines[turn * 5000..(turn + 1) * 5000]));
        node.counted((turn + 1) * 5000).await;
        node.rename("a.log", &format!("a.log.{turn}"));
        pass(3).await;
        node.remove(&format!("a.log.{turn}"));
        pass(3).await;
    }
    node.mend_shown();
    app.caught_up().await.unwrap();
    let books = app.stop().await.unwrap();
    balanced(&books);
    let account = books.sinks["shown"];
    assert!(account.dropped > 5000, "\n{books}");
    assert_eq!((account.read, account.delivered), (20_000, 20_000 - account.dropped), "\n{books}");
    assert_eq!(node.shown().len() as u64, account.delivered);
    let shown = ("component_id", "shown");
    assert_eq!(value(&registry, "buffer_discarded_events_total", &[shown]) as u64, account.dropped);
    assert_eq!(value(&registry, "component_errors_total", &[("error_type", "lost")]), 0.0);
    // The others have all, and a restart gives nothing more.
    assert_eq!((node.archived().await.len(), node.engine.counted().lines), (20_000, 20_000));
    node.run().await;
    assert_eq!(node.shown().len() as u64, account.delivered);
}

#[test]
fn a_damaged_record_costs_what_it_holds_where_the_file_is_gone_and_nothing_where_it_is_not() {
    for gone in [true, false] {
        let mut node = Node::with_files();
        node.batch = ", batch: {max_events: 40}".into();
        let lines = requests("a", 0, 1000);
        node.engine.set_hanging(true);
        node.write("a.log", text(&lines));
        node.write("copy.ignored", packed(text(&lines).as_bytes()));
        killed_when(&node, async {
            until("the lines", || node.shown().len() == 1000).await;
            node.rename("a.log", "a.log.1");
            until("the spool", || node.spooled("counted") > text(&lines).len() as u64).await;
        });
        node.remove("a.log.1");
        if !gone {
            node.rename("copy.ignored", "a.log.1.gz");
        }
        let segment = &node.segments("counted")[0];
        let mut bytes = std::fs::read(segment).unwrap();
        bytes[50_000] ^= 1;
        std::fs::write(segment, bytes).unwrap();
        node.engine.set_hanging(false);
        let registry = Registry::new();
        runtime().block_on(async {
            let app = node.start_with(&registry).await;
            app.caught_up().await.unwrap();
            balanced(&app.stop().await.unwrap());
        });
        let lost = [("component_id", "counted"), ("error_type", "lost")];
        let discarded = [("component_id", "counted"), ("intentional", "false")];
        let (lost, discarded) = (
            value(&registry, "component_errors_total", &lost),
            value(&registry, "component_discarded_events_total", &discarded),
        );
        let counted = node.engine.counted().lines;
        assert_eq!((lost, counted + discarded as u64), (f64::from(u8::from(gone)), 1000), "gone: {gone}");
        assert_eq!(counted == 1000, !gone);
        assert!(node.data().join("spool/counted/files/quarantine").read_dir().unwrap().count() == 1);
    }
}

/// A file system of its own, gone with this.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_holds_the_sink_up_until_it_is_freed() {
    let mut node = Node::with_files();
    node.batch = ", batch: {max_events: 9, timeout_secs: 1}".into();
    let dir = node.data().join("spool/shown");
    std::fs::create_dir_all(&dir).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&dir).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        eprintln!(
            "no leave to mount a file system: the limit of the buffer stands for the disk in the other tests"
        );
        return;
    }
    let _mount = Mount(dir.clone());
    std::fs::write(dir.join("ballast"), vec![1; 1_000_000]).unwrap();
    node.break_shown();
    let (registry, lines) = (Registry::new(), requests("a", 0, 3000));
    let app = node.start_with(&registry).await;
    node.write("a.log", text(&lines));
    node.counted(3000).await;
    node.rename("a.log", "a.log.1");
    pass(3).await;
    node.remove("a.log.1");
    let failed = [("component_id", "shown"), ("error_type", "buffer_failed")];
    until("the disk to be full", || value(&registry, "component_errors_total", &failed) > 0.0).await;
    std::fs::remove_file(dir.join("ballast")).unwrap();
    node.mend_shown();
    node.finish(app, &lines).await;
    assert_eq!(value(&registry, "component_errors_total", &[("error_type", "lost")]), 0.0);
}
