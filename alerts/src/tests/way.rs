//! The whole way of a page, machine to file, with deaths in between: no message lost, none doubled, order kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::model::{Op, history, input, policies};
use super::outbox::MemoryOutbox;
use super::{at, intents, take};
use crate::{Dispatcher, Escalations, Intent, Kind, Log, Notifier, Notifiers};

/// Every intent of a history, each added to the outbox as soon as it is commanded and sent while the outbox dies.
async fn run(history: Vec<(i64, usize, Op)>, deaths: Vec<bool>, notifiers: Notifiers) -> Vec<Intent> {
    let outbox = Arc::new(MemoryOutbox::dying(deaths));
    let dispatcher = Dispatcher::new(Arc::clone(&outbox), Arc::new(notifiers));
    let mut machine = Escalations::new(policies());
    let (mut now, mut all) = (at(0), Vec::new());
    for (wait, index, op) in history {
        now = Timestamp::from_second(now.as_second() + wait).unwrap();
        let key = format!("k{index}");
        let input = input(op, &key, machine.incidents().find(|incident| incident.alert.key == key));
        machine.handle_timeout(now);
        machine.handle(input, now);
        let new = intents(&take(&mut machine));
        new.iter().for_each(|intent| outbox.add(intent.clone()));
        all.extend(new);
        let _death_or_report = dispatcher.drain_once(now).await;
    }
    while dispatcher.drain_once(now).await.is_err() {}
    all
}

/// What must have arrived: all triggers, and the rest where a trigger arrived, which is the first channel.
fn wanted(intents: &[Intent]) -> Vec<String> {
    let arrives = |intent: &&Intent| intent.kind == Kind::Trigger || intent.channel.0 == "pager";
    intents.iter().filter(arrives).map(|intent| intent.id.0.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_message_arrives_once_and_in_the_order_of_its_lane(
        history in history(),
        deaths in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages.jsonl");
        std::fs::write(&path, "").unwrap();
        let notifiers = ["pager", "mail"].map(|name| (name.into(), Notifier::Log(Log::File(path.clone()))));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let intents = runtime.block_on(run(history, deaths, notifiers.into_iter().collect()));
        let (mut got, mut want) = (super::log::ids(&path), wanted(&intents));
        let lanes: BTreeMap<_, _> =
            intents.iter().map(|intent| (intent.id.0.clone(), (intent.target.clone(), intent.dedup_key.clone()))).collect();
        // Stable: only the order between lanes is free.
        got.sort_by_key(|id| lanes[id].clone());
        want.sort_by_key(|id| lanes[id].clone());
        prop_assert_eq!(got, want);
    }
}
