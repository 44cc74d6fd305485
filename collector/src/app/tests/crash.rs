//! Kills at any moment, answers that get lost, checkpoints that are old: archive and engine hold every line once.

use proptest::prelude::*;

use super::harness::{Node, cri, packed, requests, runtime, text};

/// What happens to the logs or to the collector.
#[derive(Clone, Debug)]
enum Step {
    /// Lines are written to a log, of which the last one may lack its end for now.
    Append { log: usize, lines: u32, cut: bool },
    /// The log is renamed; the next line makes a new file.
    Rotate { log: usize },
    /// The newest rotated file is compressed.
    Gzip { log: usize },
    /// The log is copied and emptied.
    CopyTruncate { log: usize },
    /// The collector runs until it has polled so often, then it is gone.
    Kill { polls: u32 },
    /// A request to come fails; `applied`: only its answer gets lost.
    Fail { after: u32, applied: bool },
    /// The engine loses all that it has, at a request to come.
    Reborn { after: u32 },
    /// The checkpoint file is the one of before.
    OldCheckpoint,
    /// The checkpoint file is garbage.
    BadCheckpoint,
    /// The engine does not say what it has counted, for one start.
    Silent,
}

/// Two logs that are written, rotated and read.
struct World {
    node: Node,
    pods: bool,
    written: [Vec<String>; 2],
    rotations: usize,
    rotated: [Option<String>; 2],
    /// End of a line that was begun.
    open: [String; 2],
}

impl World {
    fn new(pods: bool) -> Self {
        let mut node = if pods { Node::with_pods() } else { Node::with_files() };
        node.batch = ", batch: {max_events: 9}".into();
        Self {
            node,
            pods,
            written: Default::default(),
            rotations: 0,
            rotated: [None, None],
            open: Default::default(),
        }
    }

    fn name(&self, log: usize) -> String {
        if self.pods { format!("shop_web_uid{log}/app/0.log") } else { format!("{log}.log") }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { log, lines, cut } => self.append(log, lines, cut),
            Step::Rotate { log } => {
                self.close(log);
                if self.node.path(&self.name(log)).exists() {
                    let name = self.fresh_name(log);
                    self.node.rename(&self.name(log), &name);
                    self.rotated[log] = Some(name);
                }
            }
            Step::Gzip { log } => {
                if let Some(name) = self.rotated[log].take() {
                    self.node.gzip(&name);
                }
            }
            // Nobody truncates the logs of pods.
            Step::CopyTruncate { log } if !self.pods => {
                self.close(log);
                if let Ok(content) = std::fs::read(self.node.path(&self.name(log))) {
                    let name = self.fresh_name(log);
                    self.node.write(&name, content);
                    self.node.write(&self.name(log), "");
                }
            }
            Step::CopyTruncate { .. } => {}
            Step::Kill { polls } => {
                self.kill(polls);
                self.node.engine.set_silent(false);
            }
            Step::Fail { after, applied } => self.node.engine.fail_at(after, applied),
            Step::Reborn { after } => self.node.engine.lose_all_at(after),
            Step::OldCheckpoint => {
                let _ = std::fs::copy(self.checkpoints("json.1"), self.checkpoints("json"));
            }
            Step::BadCheckpoint => {
                if self.checkpoints("json").exists() {
                    std::fs::write(self.checkpoints("json"), "{\"version\": 1, \"coll").unwrap();
                }
            }
            Step::Silent => self.node.engine.set_silent(true),
        }
    }

    fn append(&mut self, log: usize, lines: u32, cut: bool) {
        self.close(log);
        let from = u32::try_from(self.written[log].len()).unwrap();
        let new = requests(&format!("log{log}"), from, from + lines);
        let content = if self.pods { cri(from as usize, &new) } else { text(&new) };
        let at = if cut { content.len() - 30 } else { content.len() };
        self.written[log].extend(new);
        self.open[log] = content[at..].to_owned();
        let name = self.name(log);
        std::fs::create_dir_all(self.node.path(&name).parent().unwrap()).unwrap();
        self.node.append(&name, &content[..at]);
    }

    fn close(&mut self, log: usize) {
        let rest = std::mem::take(&mut self.open[log]);
        if !rest.is_empty() {
            self.node.append(&self.name(log), rest);
        }
    }

    fn fresh_name(&mut self, log: usize) -> String {
        self.rotations += 1;
        match self.pods {
            true => format!("{}.20260101-{:06}", self.name(log), self.rotations),
            false => format!("{}.{}", self.name(log), self.rotations),
        }
    }

    fn checkpoints(&self, extension: &str) -> std::path::PathBuf {
        self.node.data().join("checkpoints").with_extension(extension)
    }

    fn kill(&self, polls: u32) {
        runtime().block_on(async {
            let work = async {
                let app = self.node.start().await;
                app.caught_up().await.unwrap();
                app
            };
            let death = async {
                for _ in 0..polls {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                app = work => drop(app),
                () = death => {}
            }
        });
        // With the runtime, every task ends where it waits.
    }

    fn check(mut self) {
        (0..2).for_each(|log| self.close(log));
        self.node.engine.set_silent(false);
        let archived = runtime().block_on(async {
            self.node.run().await;
            self.node.archived().await
        });
        let mut want: Vec<String> = self.written.concat();
        want.sort();
        let mut archived = archived;
        archived.sort();
        let missing = want.iter().filter(|line| archived.binary_search(line).is_err()).count();
        assert_eq!((archived.len(), missing), (want.len(), 0), "archived lines, and missing ones");
        let counted = self.node.engine.counted();
        assert_eq!(
            (counted.lines, counted.requests),
            (want.len() as u64, want.len() as u64),
            "counted lines"
        );
        let totals: u64 = counted.minutes.values().map(|(total, ..)| total).sum();
        assert_eq!(totals, want.len() as u64, "counted requests");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let log = 0..2usize;
    prop_oneof![
        6 => (log.clone(), 1..120u32, any::<bool>()).prop_map(|(log, lines, cut)| Step::Append { log, lines, cut }),
        2 => log.clone().prop_map(|log| Step::Rotate { log }),
        2 => log.clone().prop_map(|log| Step::Gzip { log }),
        1 => log.prop_map(|log| Step::CopyTruncate { log }),
        6 => (0..120u32).prop_map(|polls| Step::Kill { polls }),
        3 => (0..9u32, any::<bool>()).prop_map(|(after, applied)| Step::Fail { after, applied }),
        1 => (0..9u32).prop_map(|after| Step::Reborn { after }),
        1 => Just(Step::OldCheckpoint),
        1 => Just(Step::BadCheckpoint),
        1 => Just(Step::Silent),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_archive_and_engine_hold_every_line_once(
        pods in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..24),
    ) {
        let mut world = World::new(pods);
        for step in &steps {
            world.take(step);
        }
        world.check();
    }
}

#[test]
fn killed_after_any_number_of_polls_nothing_is_lost_or_doubled() {
    for polls in 0..60 {
        let mut world = World::new(polls % 2 == 0);
        world.append(0, 100, true);
        world.append(1, 60, false);
        world.take(&Step::Fail { after: 1, applied: polls % 3 == 0 });
        world.kill(polls);
        world.take(&Step::Rotate { log: 0 });
        world.append(0, 30, false);
        world.kill(polls / 2);
        world.take(&Step::Gzip { log: 0 });
        world.check();
    }
}

#[test]
fn a_restart_between_the_parts_of_a_split_record_joins_them() {
    let line =
        |second: u32, tag: &str, text: &str| format!("2026-01-01T10:00:{second:02}Z stdout {tag} {text}\n");
    for polls in 0..40 {
        let world = World::new(true);
        let name = world.name(0);
        let old = format!("{name}.20260101-000001");
        world.node.write(&name, line(0, "F", "first") + &line(1, "P", "in "));
        world.kill(polls);
        world.node.rename(&name, &old);
        world.node.append(&old, line(2, "P", "three "));
        world.node.write(&name, line(3, "F", "parts") + &line(4, "F", "last"));
        world.kill(polls);
        world.node.write(&format!("{old}.gz"), packed(&std::fs::read(world.node.path(&old)).unwrap()));
        world.node.remove(&old);
        let mut archived = runtime().block_on(async {
            world.node.run().await;
            world.node.archived().await
        });
        archived.sort();
        assert_eq!(archived, ["first", "in three parts", "last"], "{polls} polls");
        assert_eq!(world.node.engine.counted().lines, 3, "{polls} polls");
    }
}
