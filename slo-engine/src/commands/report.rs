//! `slo-engine report`: prints the report of a month, or seals it by hand.

use std::path::PathBuf;

use clap::ValueEnum;
use prometheus::Registry;

use super::{load, state};
use crate::app::App;
use crate::engine::Clock;
use crate::failure::Failure;
use crate::reports::keeper::{Keeper, Word};
use crate::reports::{render, report};
use crate::up;

/// Arguments of `report`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The month.
    #[arg(long, value_name = "YYYY-MM")]
    month: String,
    /// Format of the report.
    #[arg(long, value_enum, default_value_t = Output::Html)]
    output: Output,
    /// Configuration of the engine whose state is read.
    #[arg(long, conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// Seal the month now instead of when the schedule comes: at the earliest 72 h after its end, and once for ever.
    #[arg(long, requires = "config")]
    seal: bool,
    /// Data directory of `up`, where no configuration is given; `./.headroom/recorded` for the recorded logs.
    #[arg(long, default_value = "./.headroom")]
    data_dir: PathBuf,
}

/// Format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A page to keep or to print.
    Html,
    /// One JSON document.
    Json,
}

/// Prints or seals.
pub(crate) async fn main(args: &ReportArgs) -> Result<(), Failure> {
    // In the time of the events everything was read; by the wall clock the watermarks tell what was.
    let (config, clock) = match &args.config {
        Some(path) => (load(path)?, Clock::Wall),
        None => {
            let config = up::engine_config(&args.data_dir, up::ANY_PORT).map_err(Failure::refused)?;
            (config, Clock::Event)
        }
    };
    state(&config, "`up` or `serve`")?;
    let (reports, archive) = (config.reports.clone(), config.archive.clone());
    if args.seal {
        let app = App::open_alone(config, &Registry::new()).await?;
        let keeper = Keeper::open(reports, archive.as_ref(), app.engine.clone())?;
        let (word, _) = keeper.seal(&args.month, now()).await?;
        tell(&args.month, &word)?;
        app.stop().await;
        return Ok(());
    }
    let app = App::open(config, clock, &Registry::new()).await?;
    let report = report(&app.engine, &args.month).await?;
    app.stop().await;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Html => println!("{}", render(&report).into_string()),
    }
    Ok(())
}

/// Says what sealing a month by hand has done.
fn tell(month: &str, word: &Word) -> anyhow::Result<()> {
    match word {
        Word::Same => println!("{month} is sealed already, and its figures are the same"),
        Word::Sealed(seal) if seal.restatement == 0 => println!("{month} is sealed: {}", seal.prefix()),
        Word::Sealed(seal) => {
            println!("{month} was sealed before with other figures; said anew: {}", seal.prefix());
        }
        Word::Not(why) => anyhow::bail!("{month} is not sealed: {why}"),
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the clock for the keeper")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
