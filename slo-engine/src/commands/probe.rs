//! `slo-engine probe`: prints a line, as any container does, and waits until it lies in Elasticsearch.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use search::{Client, Kind, SearchError};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::env;
use crate::config::Config;
use crate::failure::Failure;
use crate::store;

/// How often it looks for the line.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Arguments of `probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Configuration of the engine, of which `elasticsearch` and `environment` are read alone.
    #[arg(long)]
    config: PathBuf,
    /// How many seconds the line may take.
    #[arg(long, default_value_t = 120)]
    within_secs: u64,
}

/// Prints the line, then says on stderr where it was found and how long it took.
#[expect(clippy::disallowed_methods, reason = "a command that waits by the wall clock")]
pub(crate) async fn main(args: &ProbeArgs) -> Result<(), Failure> {
    let (environment, elasticsearch) =
        Config::load_elasticsearch(&args.config, &env).map_err(Failure::refused)?;
    let elasticsearch = elasticsearch.context(
        "the configuration has no `elasticsearch`, which is where the line is looked for; add it, or see in the \
         engine's /v1/overview whether `input.lines` grows",
    )?;
    let client = Client::new(&elasticsearch.client)?;
    let daily = Kind::Logs.daily(&environment);
    let (alias, id) = (daily.alias(), store::random()?);
    // The one line that this container writes to its log, but for what is wrong.
    println!("headroom probe {id}");
    let (begun, within) = (Instant::now(), Duration::from_secs(args.within_secs));
    let mut last = None;
    match timeout(within, arrives(&client, alias, &id, &mut last)).await {
        Ok(document) => {
            let pod = document["kubernetes"]["pod_name"].as_str().unwrap_or("no pod");
            eprintln!("found in {alias} after {} s, written by {pod}", begun.elapsed().as_secs());
            Ok(())
        }
        Err(_) => Err(anyhow!(
            "the line did not arrive in {alias} within {within:?}{}; see the log and /metrics of the collector on \
             this node (component_errors_total, component_delivered_to_timestamp_seconds)",
            last.map(|error: SearchError| format!(", where the last look failed: {error}")).unwrap_or_default()
        )
        .into()),
    }
}

/// The document of the line, once it is there. A failed look is one more reason to look again.
async fn arrives(client: &Client, alias: &str, id: &str, last: &mut Option<SearchError>) -> Value {
    let body = json!({"size": 1, "query": {"match": {"message": {"query": id, "operator": "and"}}}});
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match client.post(&format!("/{alias}/_search"), Some(&body)).await {
            Ok(answer) => {
                *last = None;
                if let Some(hit) = answer["hits"]["hits"].get(0) {
                    return hit["_source"].clone();
                }
            }
            // Before the first line of all there is no index.
            Err(error) if error.is_missing() => *last = None,
            Err(error) => *last = Some(error),
        }
    }
}
