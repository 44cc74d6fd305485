//! `slo-engine dashboards`: renders Kibana dashboards to files, or brings them into Kibana.

use std::path::PathBuf;

use dashboards::Kibana;
use prometheus::Registry;

use super::{load, state};
use crate::app::App;
use crate::engine::Clock;
use crate::failure::Failure;
use crate::kibana::{Target, write};
use crate::up;

/// What to do with dashboards.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum DashboardsCommand {
    /// Writes them as NDJSON: one file for each, and one with everything.
    Render {
        /// Configuration of the engine whose services they are of.
        #[arg(long, conflicts_with = "data_dir")]
        config: Option<PathBuf>,
        /// Data directory of `up`, where no configuration is given; `./.headroom/recorded` for the recorded logs.
        #[arg(long, default_value = "./.headroom")]
        data_dir: PathBuf,
        /// Folder to write to.
        #[arg(long)]
        out: PathBuf,
    },
    /// Brings them into the Kibana of the configuration; what it brought before is replaced.
    Apply {
        /// Configuration of the engine whose services they are of.
        #[arg(long)]
        config: PathBuf,
    },
}

/// Renders or applies.
pub(crate) async fn main(command: &DashboardsCommand) -> Result<(), Failure> {
    // In the time of the events everything was read; by the wall clock the watermarks tell what was.
    let (config, clock) = match command {
        DashboardsCommand::Render { config: None, data_dir, .. } => {
            (up::engine_config(data_dir, up::ANY_PORT).map_err(Failure::refused)?, Clock::Event)
        }
        DashboardsCommand::Render { config: Some(path), .. } => (load(path)?, Clock::Wall),
        DashboardsCommand::Apply { config } => (load(config)?, Clock::Wall),
    };
    state(&config, "`up` or `serve`")?;
    let target = Target::of(&config);
    let kibana = config.dashboards.as_ref().map(Kibana::new).transpose().map_err(anyhow::Error::from)?;
    let app = App::open(config, clock, &Registry::new()).await?;
    let services = target.services(&app.engine);
    app.stop().await;
    let objects = target.render(&services);
    match (command, kibana) {
        (DashboardsCommand::Render { out, .. }, _) => {
            for path in write(&objects, out)? {
                println!("{}", path.display());
            }
        }
        (DashboardsCommand::Apply { .. }, Some(kibana)) => {
            let count = kibana.import(&objects).await.map_err(anyhow::Error::from)?;
            println!(
                "{count} objects are in Kibana: the overview and the dashboards of {} services",
                services.len()
            );
        }
        (DashboardsCommand::Apply { config }, None) => {
            let error =
                anyhow::anyhow!("{} says no `dashboards.url`: set it to where Kibana is", config.display());
            return Err(error.into());
        }
    }
    Ok(())
}
