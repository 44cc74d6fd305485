//! The key `escalation`: whom to tell, in which order.

use alerts::{Notifiers, Policies, PoliciesConfig};
use settings::Table;

use super::place::{decode, place};

/// The policies, proven against the notifiers that there are.
pub(super) fn policies(table: &mut Table<'_>, notifiers: &Notifiers) -> Option<Policies> {
    let problems = table.problems();
    let node = table.node("escalation");
    let raw: PoliciesConfig = match node {
        Some(node) => decode(node, problems)?,
        None => PoliciesConfig::default(),
    };
    raw.prove(&notifiers.channels()).map_err(|errors| place(errors, node, problems)).ok()
}
