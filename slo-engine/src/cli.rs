//! The command line of `slo-engine`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::bootstrap::{self, BootstrapArgs};
use crate::commands::dashboards::{self, DashboardsCommand};
use crate::commands::discover::{self, DiscoverArgs};
use crate::commands::ledger::{self, LedgerArgs};
use crate::commands::probe::{self, ProbeArgs};
use crate::commands::refill::{self, RefillArgs};
use crate::commands::report::{self, ReportArgs};
use crate::commands::serve::{self, ServeArgs};
use crate::commands::up::{self, UpArgs};
use crate::commands::validate::{self, ValidateArgs};
use crate::failure::Failure;

/// Exit code of a configuration that was refused (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// Error budgets, burn rates and pages for every service, from its logs.
#[derive(Debug, Parser)]
#[command(name = "slo-engine", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs collector and engine in one process, over the recorded logs that come with the sources or over your own.
    Up(UpArgs),
    /// Runs the engine with a configuration file.
    Serve(ServeArgs),
    /// Proves a configuration and the files and variables that it names, and starts nothing.
    Validate(ValidateArgs),
    /// Installs the index templates in Elasticsearch or OpenSearch, and shows what differed.
    Bootstrap(BootstrapArgs),
    /// Prints a line and waits until it lies in Elasticsearch: the way of a line from a container's log to a search.
    Probe(ProbeArgs),
    /// Fills the state of an engine that is not running, where nothing is counted.
    Refill(RefillArgs),
    /// Shows the services of the Kubernetes cluster: which SLOs they have and why, how their pods are, what is wrong.
    Discover(DiscoverArgs),
    /// Verifies the ledger and prints the last word on every minute.
    Ledger(LedgerArgs),
    /// Writes the report of a calendar month.
    Report(ReportArgs),
    /// Renders Kibana dashboards, or brings them into Kibana.
    #[command(subcommand)]
    Dashboards(DashboardsCommand),
}

/// Parses the arguments, runs the command, and says on stderr what went wrong.
pub async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::main(&args).await,
        Command::Serve(args) => serve::main(&args).await,
        Command::Validate(args) => validate::main(&args),
        Command::Bootstrap(args) => bootstrap::main(&args).await,
        Command::Probe(args) => probe::main(&args).await,
        Command::Refill(args) => refill::main(&args).await,
        Command::Discover(args) => discover::main(&args).await,
        Command::Ledger(args) => ledger::main(&args).await,
        Command::Report(args) => report::main(&args).await,
        Command::Dashboards(command) => dashboards::main(&command).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(problems)) => {
            eprintln!("{problems}");
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Failure::Run(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
