//! Scenarios: the whole product on this machine, with no network, no other server and no special rights.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod archive;
mod audit;
mod bad_input;
mod contract;
mod counts;
mod dashboards;
mod discovery;
mod golden;
mod images;
mod kill;
mod production;
mod refill;
mod serve;
mod taken_over;
mod tidy;
mod traces;
mod up;
mod walkthrough;

use std::path::PathBuf;

use tests::program::Program;

/// `slo-engine`.
fn engine() -> Program {
    Program::new(env!("CARGO_BIN_EXE_headroom-slo-engine"))
}

/// `collector`.
fn collector() -> Program {
    Program::new(env!("CARGO_BIN_EXE_headroom-collector"))
}

/// No logs but those that come with the sources.
const NO_LOGS: &[PathBuf] = &[];
