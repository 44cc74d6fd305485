//! The key `notifiers`: ways to reach someone.

use std::collections::BTreeMap;

use alerts::{ChannelName, NotifierConfig, Notifiers};
use settings::{Node, Table};

use super::place::{decode, place};

/// Without any, pages go to the engine's own log, so that nothing that would page is unseen.
pub(super) fn notifiers(table: &mut Table<'_>) -> Option<Notifiers> {
    let problems = table.problems();
    let node = table.node("notifiers");
    let entries = node.map(Node::entries).unwrap_or_default();
    let mut configs: BTreeMap<ChannelName, NotifierConfig> = BTreeMap::new();
    for (name, node) in entries {
        configs.insert(ChannelName(name.clone()), decode(node, problems)?);
    }
    if configs.is_empty() {
        let log = serde_json::json!({"type": "log"});
        configs.insert(ChannelName("log".to_owned()), serde_json::from_value(log).ok()?);
    }
    Notifiers::build(configs).map_err(|errors| place(errors, node, problems)).ok()
}
