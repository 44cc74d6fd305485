//! The command line of `slo-engine`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bootstrap::BootstrapArgs;
use crate::chain::LedgerArgs;
use crate::cluster::discover::{self, DiscoverArgs};
use crate::failure::Failure;
use crate::kibana::DashboardsCommand;
use crate::probe::ProbeArgs;
use crate::refill::RefillArgs;
use crate::reports::ReportArgs;
use crate::up::UpArgs;
use crate::{app, bootstrap, chain, kibana, probe, refill, reports, up};

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
    Serve {
        /// Configuration, YAML or TOML.
        #[arg(long)]
        config: PathBuf,
    },
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
        Command::Up(args) => up::main(args).await,
        Command::Serve { config } => app::main(&config).await,
        Command::Bootstrap(args) => bootstrap::main(args).await,
        Command::Probe(args) => probe::main(&args).await,
        Command::Refill(args) => refill::main(&args).await,
        Command::Discover(args) => discover::main(&args).await,
        Command::Ledger(args) => chain::main(&args).await,
        Command::Report(args) => reports::main(&args).await,
        Command::Dashboards(command) => kibana::main(&command).await,
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
