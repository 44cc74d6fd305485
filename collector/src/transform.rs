//! Transforms: pure steps from batch to batch. Spans pass untouched; what a transform drops just leaves the events.

pub mod filter;
pub mod remap;
mod script;
pub mod sli;

use std::sync::Arc;

use settings::{Problem, Table};

use crate::event::Batch;
use filter::{Filter, FilterConfig};
use remap::{Remap, RemapConfig};
pub(crate) use script::{Script, Source, utc};
use sli::{FormatsSeen, Sli, SliConfig};

/// A transform as it is configured, proven.
#[derive(Clone, Debug)]
pub enum TransformConfig {
    /// Changes events by a VRL program.
    Remap(RemapConfig),
    /// Keeps the events that a condition holds for.
    Filter(FilterConfig),
    /// Judges request lines for the service-level indicators.
    Sli(SliConfig),
}

/// A transform that runs.
#[derive(Debug)]
pub enum Transform {
    /// See [`TransformConfig::Remap`].
    Remap(Remap),
    /// See [`TransformConfig::Filter`].
    Filter(Filter),
    /// See [`TransformConfig::Sli`].
    Sli(Sli),
}

// === impl TransformConfig ===

impl TransformConfig {
    /// The values of `type`.
    pub const KINDS: &'static [&'static str] = &["filter", "remap", "sli"];

    /// Reads a transform's own keys; mistakes go to the table's problems.
    pub fn prove(kind: &str, table: &mut Table<'_>) -> Option<TransformConfig> {
        match kind {
            "filter" => FilterConfig::prove(table).map(TransformConfig::Filter),
            "remap" => RemapConfig::prove(table).map(TransformConfig::Remap),
            "sli" => Some(TransformConfig::Sli(SliConfig::prove(table))),
            _ => None,
        }
    }

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            TransformConfig::Remap(_) => "remap",
            TransformConfig::Filter(_) => "filter",
            TransformConfig::Sli(_) => "sli",
        }
    }

    /// What is suspicious but allowed.
    pub fn warnings(&self) -> &[Problem] {
        match self {
            TransformConfig::Remap(config) => config.warnings(),
            TransformConfig::Filter(_) | TransformConfig::Sli(_) => &[],
        }
    }
}

// === impl Transform ===

impl Transform {
    /// A transform of this configuration; an `sli` tells `seen` of the log formats that it finds.
    pub fn new(config: &TransformConfig, seen: &Arc<FormatsSeen>) -> Transform {
        match config {
            TransformConfig::Remap(config) => Transform::Remap(Remap::new(config)),
            TransformConfig::Filter(config) => Transform::Filter(Filter::new(config)),
            TransformConfig::Sli(config) => Transform::Sli(Sli::new(config.clone(), seen.clone())),
        }
    }

    /// Makes one batch of another; the spans stay as they are.
    pub fn apply(&mut self, batch: Batch) -> Batch {
        match self {
            Transform::Remap(remap) => remap.apply(batch),
            Transform::Filter(filter) => filter.apply(batch),
            Transform::Sli(sli) => sli.apply(batch),
        }
    }
}
