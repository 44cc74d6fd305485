#![doc = include_str!("../README.md")]

mod board;
mod config;
pub mod fields;
mod filter;
mod kibana;
mod lens;
mod object;
mod panel;
pub mod queries;
mod render;
mod service;
pub mod validate;
mod view;
mod words;

pub use config::{Auth, Config};
pub use kibana::{ImportError, Kibana};
pub use object::{CORE_MIGRATION_VERSION, Kind, Reference, SavedObject, Scope, ndjson};
pub use panel::COLUMNS;
pub use render::{Export, each, render};
pub use service::{ServiceDashboard, Workload};
pub use validate::{Problem, validate};
