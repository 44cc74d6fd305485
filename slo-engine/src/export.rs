//! What the engine writes to Elasticsearch: its counts, so that an engine on an empty disk can be filled again, and the
//! results that dashboards show.

pub mod document;
#[cfg(test)]
pub(crate) mod double;
pub mod exporter;
pub mod results;
pub mod retention;
pub mod spans;
