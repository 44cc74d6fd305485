//! `slo-engine serve`: the engine by the wall clock, until SIGTERM or SIGINT; SIGHUP takes the configuration anew.

use std::path::PathBuf;
use std::pin::pin;

use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};

use super::{env, load};
use crate::app::App;
use crate::failure::Failure;
use crate::reload::Reloader;

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
    let mut signals = pin!(telemetry::signals()?);
    let mut hangups = signal(SignalKind::hangup())?;
    let registry = Registry::new();
    let mut reloader = Reloader::new(&args.config, env, &registry)?;
    let app = App::start(config, registry).await?;
    if let Some(addr) = app.addr() {
        tracing::info!(%addr, "serving");
    }
    let signal = loop {
        tokio::select! {
            signal = &mut signals => break signal,
            Some(()) = hangups.recv() => {}
            () = reloader.changed() => {}
        }
        reloader.reload(&app).await;
    };
    tracing::info!(signal, "stopping");
    app.stop().await;
    Ok(())
}
