//! The `collector` binary: everything is in the library, so that other binaries can be it, too.

use std::process::ExitCode;

fn main() -> ExitCode {
    collector::cli::main()
}
