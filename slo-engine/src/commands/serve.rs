//! `slo-engine serve`: the engine by the wall clock, until SIGTERM or SIGINT.

use std::path::PathBuf;

use prometheus::Registry;

use super::load;
use crate::app::App;
use crate::failure::Failure;

/// Arguments of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Configuration, YAML or TOML.
    #[arg(long)]
    config: PathBuf,
}

/// Runs until it is told to end.
pub(crate) async fn main(args: &ServeArgs) -> Result<(), Failure> {
    telemetry::init(telemetry::Format::Json)?;
    let _traces = telemetry::traces::start("slo-engine")?;
    let config = load(&args.config)?;
    let signals = telemetry::signals()?;
    let app = App::start(config, Registry::new()).await?;
    if let Some(addr) = app.addr() {
        tracing::info!(%addr, "serving");
    }
    let signal = signals.await;
    tracing::info!(signal, "stopping");
    app.stop().await;
    Ok(())
}
