#![doc = include_str!("../README.md")]

mod answer;
mod bulk;
mod client;
mod config;
mod error;
mod id;
mod name;
mod template;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use bulk::{Action, Bulk, BulkError, Outcome};
pub use client::{Client, Walk};
pub use config::{Auth, ClientConfig, Tls};
pub use error::SearchError;
pub use id::document_id;
pub use name::{Daily, Environment, Kind, NameError, day_of};
pub use template::{Product, template};
