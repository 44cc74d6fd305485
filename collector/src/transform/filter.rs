//! `filter`: keeps the events that a VRL condition holds for, as they are.

use settings::Table;

use super::Script;
use crate::event::Batch;

/// A `filter` as it is configured.
#[derive(Clone, Debug)]
pub struct FilterConfig {
    condition: Script,
}

/// A `filter` that runs.
#[derive(Debug)]
pub struct Filter {
    condition: Script,
}

impl FilterConfig {
    /// Reads and compiles `condition`.
    pub fn prove(table: &mut Table<'_>) -> Option<FilterConfig> {
        let Some(node) = table.node("condition") else {
            table.problem("condition", "this key is missing; expected a condition in VRL");
            return None;
        };
        Script::condition(node, table.problems()).map(|condition| FilterConfig { condition })
    }
}

impl Filter {
    /// A transform of this configuration.
    pub fn new(config: &FilterConfig) -> Filter {
        Filter { condition: config.condition.clone() }
    }

    /// Drops the events that the condition is false for, or fails for.
    pub fn apply(&mut self, mut batch: Batch) -> Batch {
        batch.events.retain(|event| self.condition.holds(&mut event.to_value()).unwrap_or(false));
        batch
    }
}

#[cfg(test)]
mod tests;
