//! The `slo-engine` program, for scenarios that start and kill it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    slo_engine::cli::main().await
}
