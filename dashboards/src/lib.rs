#![doc = include_str!("../README.md")]

mod board;
pub mod fields;
mod filter;
mod lens;
mod object;
mod panel;
mod render;
mod service;
pub mod validate;
mod view;
mod words;

pub use object::{CORE_MIGRATION_VERSION, Kind, Reference, SavedObject, Scope, ndjson};
pub use panel::COLUMNS;
pub use render::{Export, render};
pub use service::{ServiceDashboard, Workload};
pub use validate::{Problem, validate};
