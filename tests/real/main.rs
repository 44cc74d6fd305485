//! Scenarios against real servers, which are fetched and started: `cargo test -p tests --test real`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod alertmanager;
mod dashboards;
mod elasticsearch;
mod export;
mod kill;
mod outage;
mod path;
mod refill;
mod s3;
mod servers;
mod stack;
