#![doc = include_str!("../README.md")]

pub mod api;
pub mod app;
pub mod bootstrap;
pub mod chain;
pub mod cli;
pub mod config;
pub mod counts;
pub mod discovery;
pub mod engine;
pub mod evaluator;
pub mod export;
mod failure;
pub mod figures;
mod format;
pub mod kibana;
pub mod metrics;
pub mod overview;
pub mod page;
mod probe;
pub mod refill;
pub mod reports;
pub mod schedule;
pub mod specs;
pub mod store;
pub mod table;
mod traces;
pub mod up;
