//! The command line: `collector --config FILE`, `collector validate FILE…`, `collector test FILE…`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use rustix::fs::Mode;

use crate::app::{App, Options};
use crate::config::{Config, Purpose, process_env};
use crate::unit_test;

/// Exit code for a configuration that is refused (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

#[derive(Debug, Parser)]
#[command(
    name = "collector",
    version,
    about = "Reads log lines and delivers each of them exactly once to every sink",
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    /// Configuration file, YAML or TOML; several together are one configuration
    #[arg(short, long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// How own logs are written to standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One object a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration and show who reads from whom; nothing is started
    Validate {
        /// Configuration files
        #[arg(value_name = "FILE", required = true)]
        config: Vec<PathBuf>,
    },
    /// Run the unit tests of a configuration
    Test {
        /// Configuration files
        #[arg(value_name = "FILE", required = true)]
        config: Vec<PathBuf>,
    },
}

/// What a command says, and how it ends.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    stdout: String,
    stderr: String,
    code: u8,
}

/// Reads the arguments of this process and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let answer = match cli.command {
        None => return run(&cli.config, cli.log_format),
        Some(Command::Validate { config }) => validate(&config),
        Some(Command::Test { config }) => test(&config),
    };
    print!("{}", answer.stdout);
    eprint!("{}", answer.stderr);
    ExitCode::from(answer.code)
}

fn run(paths: &[PathBuf], format: LogFormat) -> ExitCode {
    // Spools hold lines that nobody but root may read where they come from.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let config = match Config::load(paths, Purpose::Run, &process_env) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems.to_string()),
    };
    if let Err(error) = telemetry::init(format.into()) {
        return refuse(&error.to_string());
    }
    // Dropped last: what the end tells is sent too.
    let _traces = match telemetry::traces::start("collector") {
        Ok(traces) => traces,
        Err(error) => return refuse(&error.to_string()),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(until_signal(config));
    // A read of standard input cannot be called back; it must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn until_signal(config: Config) -> anyhow::Result<()> {
    let signal = telemetry::signals().context("cannot catch signals")?;
    let app = App::start(config, Options::default()).await?;
    tracing::info!(collector = app.collector_id(), "started");
    if let Some(addr) = app.addr() {
        tracing::info!(%addr, "serving /metrics, /healthz and /readyz");
    }
    let signal = signal.await;
    tracing::info!(signal, "stopping");
    let books = app.stop().await?;
    for (sink, account) in books.sinks.iter().filter(|(_, account)| account.in_flight > 0) {
        let lines = account.in_flight;
        tracing::warn!(
            sink,
            lines,
            "stopped before these lines were delivered; they are read again at the next start"
        );
    }
    Ok(())
}

fn refuse(problems: &str) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(EXIT_CONFIG)
}

fn validate(paths: &[PathBuf]) -> Answer {
    match Config::load(paths, Purpose::Run, &process_env) {
        Ok(config) => {
            let warnings = config.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            Answer { stdout: format!("ok\n{}", config.describe()), stderr: warnings, code: 0 }
        }
        Err(problems) => refused(&problems.to_string()),
    }
}

fn test(paths: &[PathBuf]) -> Answer {
    let config = match Config::load(paths, Purpose::Test, &process_env) {
        Ok(config) => config,
        Err(problems) => return refused(&problems.to_string()),
    };
    let outcomes = unit_test::run(&config);
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    let mut stdout: String = outcomes.iter().map(|outcome| format!("{outcome}\n")).collect();
    stdout.push_str(&format!("{} passed, {failed} failed\n", outcomes.len() - failed));
    Answer { stdout, stderr: String::new(), code: u8::from(failed > 0) }
}

fn refused(problems: &str) -> Answer {
    Answer { stdout: String::new(), stderr: format!("{problems}\n"), code: EXIT_CONFIG }
}

impl From<LogFormat> for telemetry::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Human,
            LogFormat::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests;
