//! Rotations, deletions, outages and kills in any order: archive and engine hold every line once.

use proptest::prelude::*;

use super::harness::{Node, cri, pass, requests, runtime, text};
use crate::app::outlet::PATIENCE;

/// What happens while a collector runs.
#[derive(Clone, Debug)]
enum Step {
    /// Lines are written.
    Append { lines: u32 },
    /// The log is renamed, and a new one begins.
    Rotate,
    /// The newest rotated file is compressed.
    Gzip,
    /// The oldest rotated file is deleted, as the kubelet does; it was seen before.
    Delete,
    /// The log is deleted with all that was rotated, as it is with its pod.
    DeleteAll,
    /// The engine answers nothing any more, or again.
    Hang { hanging: bool },
    /// Time passes.
    Wait { seconds: u64 },
    /// The collector is killed; another one starts.
    Kill,
}

struct World {
    node: Node,
    pods: bool,
    written: Vec<String>,
    rotated: Vec<String>,
    rotations: usize,
    pod: usize,
}

/// Seconds until what happened to a file is seen and spooled: a look, and twice the patience with the one queue that may
/// fill up here. The round that runs may wait for it, and so may the next one, before it comes to the file.
const SEEN: u64 = 1 + 2 * PATIENCE.as_secs();

impl World {
    fn new(pods: bool) -> Self {
        let mut node = if pods { Node::with_pods() } else { Node::with_files() };
        node.batch = ", batch: {max_events: 40, timeout_secs: 20}".into();
        Self { node, pods, written: Vec::new(), rotated: Vec::new(), rotations: 0, pod: 0 }
    }

    fn name(&self) -> String {
        if self.pods { format!("shop_web_uid{}/app/0.log", self.pod) } else { "a.log".to_owned() }
    }

    fn append(&mut self, lines: u32) {
        let from = self.written.len();
        let first = u32::try_from(from).unwrap();
        let new = requests("log", first, first + lines);
        let content = if self.pods { cri(from, &new) } else { text(&new) };
        std::fs::create_dir_all(self.node.path(&self.name()).parent().unwrap()).unwrap();
        self.node.append(&self.name(), content);
        self.written.extend(new);
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { lines } => self.append(lines),
            Step::Rotate if self.node.path(&self.name()).exists() => {
                self.rotations += 1;
                let rotated = match self.pods {
                    true => format!("{}.20260101-{:06}", self.name(), self.rotations),
                    false => format!("a.log.{}", self.rotations),
                };
                self.node.rename(&self.name(), &rotated);
                self.rotated.push(rotated);
                self.append(1);
            }
            Step::Gzip => {
                if let Some(newest) = self.rotated.last_mut().filter(|name| !name.ends_with(".gz")) {
                    self.node.gzip(newest);
                    newest.push_str(".gz");
                }
            }
            Step::Delete if !self.rotated.is_empty() => {
                pass(SEEN).await;
                let oldest = self.rotated.remove(0);
                self.node.remove(&oldest);
                pass(SEEN).await;
            }
            Step::DeleteAll => {
                pass(SEEN).await;
                self.rotated.drain(..).for_each(|name| self.node.remove(&name));
                let _ = std::fs::remove_file(self.node.path(&self.name()));
                self.pod += 1;
                pass(SEEN).await;
            }
            Step::Hang { hanging } => self.node.engine.set_hanging(hanging),
            Step::Wait { seconds } => pass(seconds).await,
            Step::Rotate | Step::Delete | Step::Kill => {}
        }
    }

    /// One collector takes the steps, and is gone where it stands.
    fn live(&mut self, steps: &[Step]) {
        runtime().block_on(async {
            let _app = self.node.start().await;
            for step in steps {
                self.take(step).await;
            }
        });
    }

    fn check(&self) {
        self.node.engine.set_hanging(false);
        let mut archived = runtime().block_on(async {
            self.node.run().await;
            self.node.archived().await
        });
        archived.sort();
        let mut want = self.written.clone();
        want.sort();
        let missing: Vec<_> =
            want.iter().filter(|line| archived.binary_search(line).is_err()).take(3).collect();
        assert_eq!((archived.len(), &missing[..]), (want.len(), &[][..]), "archived lines, and missing ones");
        // The engine of these tests panics at ranges that overlap.
        assert_eq!(self.node.engine.counted().lines, want.len() as u64, "counted lines");
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..900u32).prop_map(|lines| Step::Append { lines }),
        4 => Just(Step::Rotate),
        2 => Just(Step::Gzip),
        3 => Just(Step::Delete),
        1 => Just(Step::DeleteAll),
        3 => any::<bool>().prop_map(|hanging| Step::Hang { hanging }),
        4 => (1..40u64).prop_map(|seconds| Step::Wait { seconds }),
        2 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_rotates_and_fails_archive_and_engine_hold_every_line_once(
        pods in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(pods);
        for life in steps.split(|step| matches!(step, Step::Kill)) {
            world.live(life);
        }
        world.check();
    }
}

#[test]
fn deleted_files_are_spooled_though_a_queue_that_just_filled_up_is_waited_for() {
    let mut world = World::new(false);
    world.live(&[
        Step::Append { lines: 1 },
        Step::Append { lines: 1 },
        Step::Wait { seconds: 21 },
        Step::Rotate,
        Step::Append { lines: 297 },
        Step::Rotate,
        Step::Hang { hanging: true },
        Step::DeleteAll,
    ]);
    world.live(&[]);
    world.check();
}
