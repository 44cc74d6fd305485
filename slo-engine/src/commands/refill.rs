//! `slo-engine refill`: fills the state of an engine that is not running.

use std::path::PathBuf;

use prometheus::Registry;

use super::load;
use crate::app::App;
use crate::engine::Filled;
use crate::failure::Failure;
use crate::refill::{From, Refill};

/// Arguments of `refill`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RefillArgs {
    /// Configuration of the engine, which must not be running.
    #[arg(long)]
    config: PathBuf,
    /// Where the counts come from.
    #[arg(long, value_enum)]
    from: From,
}

/// Fills the state and says what was added.
pub(crate) async fn main(args: &RefillArgs) -> Result<(), Failure> {
    telemetry::init(telemetry::Format::Human)?;
    let config = load(&args.config)?;
    let refill = Refill::new(&config);
    let app = App::open_alone(config, &Registry::new()).await?;
    let Filled { rows, lines } = refill.by_hand(&app.engine, args.from).await?;
    app.stop().await;
    println!("{lines} lines and {rows} count rows were added");
    Ok(())
}
