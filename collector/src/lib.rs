#![doc = include_str!("../README.md")]

pub mod app;
mod archived;
pub mod books;
pub mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod dead_letters;
mod durable;
pub mod event;
pub mod identity;
pub mod metrics;
pub mod sink;
pub mod source;
pub mod spool;
mod traces;
pub mod transform;
pub mod unit_test;
