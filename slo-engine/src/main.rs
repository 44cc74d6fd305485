//! The `slo-engine` binary: parse, start, wait, stop.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    slo_engine::cli::main().await
}
