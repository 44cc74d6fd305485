//! The collector over real files: every line once in every sink, whatever happens to files and processes.

mod crash;
mod elasticsearch;
mod files;
mod harness;
mod page;
mod pods;
mod sinks;
mod spool;
mod storm;
