//! The `collector` program, for scenarios that start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    collector::cli::main()
}
