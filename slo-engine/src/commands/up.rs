//! `slo-engine up`: collector and engine in one process, and what they found on the terminal.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Output;
use crate::failure::Failure;
use crate::table;
use crate::up::{Read, Run, Wanted};

/// Arguments of `up`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Logs to read: a /var/log/pods tree, a folder, a plain file or a rotated .gz; may be given several times. By
    /// default the recorded logs that come with the sources.
    #[arg(long = "logs", value_name = "PATH")]
    logs: Vec<PathBuf>,
    /// Where state, archive and dead letters lie; those of the recorded logs lie in its folder `recorded`.
    #[arg(long, default_value = "./.headroom")]
    data_dir: PathBuf,
    /// Address of the page and the API.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// End when the input is read, instead of serving the page.
    #[arg(long)]
    once: bool,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Runs until the input is read, or until it is told to end.
pub(crate) async fn main(args: &UpArgs) -> Result<(), Failure> {
    telemetry::init(telemetry::Format::Human)?;
    let _traces = telemetry::traces::start("slo-engine")?;
    let signals = telemetry::signals()?;
    let wanted = Wanted {
        logs: args.logs.clone(),
        data_dir: args.data_dir.clone(),
        listen: (!args.once).then_some(args.listen),
    };
    let run = Run::start(&wanted).await?;
    tokio::select! {
        done = go(run, args) => done,
        signal = signals => {
            tracing::debug!(signal, "stopping");
            Ok(())
        }
    }
}

/// Reads, judges, shows; then ends, or serves the page and follows the files.
async fn go(run: Run, args: &UpArgs) -> Result<(), Failure> {
    run.caught_up().await?;
    if args.once {
        let read = run.drain().await?;
        read.settle().await?;
        show(&read, args.output).await?;
        read.stop().await;
        return Ok(());
    }
    run.read.settle().await?;
    show(&run.read, args.output).await?;
    eprintln!("\nThe page is at http://{} until Ctrl-C.", run.read.addr().unwrap_or(args.listen));
    Ok(run.follow().await?)
}

async fn show(read: &Read, output: Output) -> Result<(), Failure> {
    let engine = read.engine();
    let model = engine.page_model().await?;
    for (path, lines, broken) in engine.curious_streams().await? {
        match broken {
            Some(why) => eprintln!("{path}: {why}; {lines} lines were read"),
            None => eprintln!("{path}: no request in {lines} lines"),
        }
    }
    match output {
        Output::Json => {
            eprintln!("{}", read.formats());
            println!("{}", serde_json::to_string(&model.overview)?);
        }
        Output::Text => {
            println!("{}\n", read.formats());
            println!("{}", table::render(&model.overview, &model.details, &model.incidents));
        }
    }
    Ok(())
}
