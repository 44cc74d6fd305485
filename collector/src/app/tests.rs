//! The collector over real files: every line once in every sink, whatever happens to files and processes.

#[allow(dead_code, reason = "the crate whose double it is uses all of it")]
#[path = "../../kubernetes/src/double.rs"]
mod api_server;
mod cluster;
mod crash;
mod elasticsearch;
mod files;
mod harness;
mod page;
mod pods;
mod sinks;
mod spool;
mod storm;
