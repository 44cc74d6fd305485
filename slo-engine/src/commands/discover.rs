//! `slo-engine discover`: lists the objects of the cluster once, and shows what is seen.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kubernetes::Access;
use prometheus::Registry;
use slo::counts::MinuteId;

use super::{Output, load};
use crate::app::App;
use crate::cluster::discover::{Discovery, seen, text};
use crate::cluster::watch::{Watched, now};
use crate::cluster::{Cluster, Name, find};
use crate::config::Config;
use crate::engine::Clock;
use crate::failure::Failure;

/// How long the API server may take to list everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether everything is listed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Arguments of `discover`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DiscoverArgs {
    /// Configuration of the engine: its access to the cluster, its OpenSLO documents, and what it has counted.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How the cluster is reached, outside of a pod.
    #[arg(long)]
    kube_config_file: Option<PathBuf>,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Lists once and prints.
pub(crate) async fn main(args: &DiscoverArgs) -> Result<(), Failure> {
    let config = args.config.as_ref().map(|path| load(path)).transpose()?;
    let access = match (&args.kube_config_file, &config) {
        (Some(file), _) => Access::KubeConfig(file.clone()),
        (None, Some(config)) => config.kubernetes.clone().unwrap_or_default(),
        (None, None) => Access::InCluster,
    };
    let client = access.client().await?;
    let watched = Watched::default();
    tokio::select! {
        () = watched.follow(client, |_| {}) => {}
        () = settled(&watched) => {}
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let failures: Vec<String> = watched.failures(now()).into_iter().map(|(_, why)| why).collect();
    let Some(objects) = watched.objects() else {
        let why = failures.first().cloned().unwrap_or_else(|| format!("no answer within {PATIENCE:?}"));
        return Err(anyhow::anyhow!("cannot list the namespaces and services of the cluster: {why}").into());
    };
    let specs = config.as_ref().map(|config| config.specs.clone()).unwrap_or_default();
    let counted = counted(config).await?;
    let cluster = find(&objects, &Cluster::default(), &counted, MinuteId::of_timestamp(now()));
    let discovery = Discovery { services: seen(&cluster, &specs), failures };
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&discovery)?),
        Output::Text => println!("{}", text(&discovery)),
    }
    match discovery.failures.as_slice() {
        [] => Ok(()),
        failures => Err(anyhow::anyhow!("not everything could be listed: {}", failures.join("; ")).into()),
    }
}

async fn settled(watched: &Watched) {
    while !watched.is_settled() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Services of which the engine of the configuration has counted requests.
async fn counted(config: Option<Config>) -> anyhow::Result<BTreeSet<Name>> {
    let Some(config) = config.filter(|config| config.data_dir.join("engine.db").exists()) else {
        return Ok(BTreeSet::new());
    };
    let app = App::open(config, Clock::Wall, &Registry::new()).await?;
    let counted = app.engine.counted_services();
    app.stop().await;
    Ok(counted)
}
