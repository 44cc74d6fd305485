//! The command line of `slo-engine`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::{app, reports, up};

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
    /// Writes the report of a calendar month.
    Report(ReportArgs),
}

/// Arguments of `up`.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Logs to read: a /var/log/pods tree, a folder, a plain file or a rotated .gz; may be given several times. By
    /// default the recorded logs that come with the sources.
    #[arg(long = "logs", value_name = "PATH")]
    pub logs: Vec<PathBuf>,
    /// Where state, archive and dead letters lie; those of the recorded logs lie in its folder `recorded`.
    #[arg(long, default_value = "./.headroom")]
    pub data_dir: PathBuf,
    /// Address of the page and the API.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// End when the input is read, instead of serving the page.
    #[arg(long)]
    pub once: bool,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Format of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables for people.
    Text,
    /// One JSON document.
    Json,
}

/// Arguments of `report`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The month.
    #[arg(long, value_name = "YYYY-MM")]
    pub month: String,
    /// Format of the report.
    #[arg(long, value_enum, default_value_t = ReportOutput::Html)]
    pub output: ReportOutput,
    /// Configuration of the engine whose state is read.
    #[arg(long, conflicts_with = "data_dir")]
    pub config: Option<PathBuf>,
    /// Data directory of `up`, where no configuration is given; `./.headroom/recorded` for the recorded logs.
    #[arg(long, default_value = "./.headroom")]
    pub data_dir: PathBuf,
}

/// Format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportOutput {
    /// A page to keep or to print.
    Html,
    /// One JSON document.
    Json,
}

/// Parses the arguments, runs the command, and says on stderr what went wrong.
pub async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::main(args).await,
        Command::Serve { config } => app::main(&config).await,
        Command::Report(args) => reports::main(&args).await,
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

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The configuration was refused; nothing was started.
    Config(String),
    /// Something failed on the way.
    Run(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}
