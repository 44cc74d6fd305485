//! `slo-engine ledger`: verifies the chain, prints the last word on every minute.

use std::path::PathBuf;

use super::{Output, load, state};
use crate::chain::{Chain, Ledger, Minute};
use crate::failure::Failure;
use crate::store::Store;

/// Arguments of `ledger`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LedgerArgs {
    /// Configuration of the engine whose state is read.
    #[arg(long)]
    config: PathBuf,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Reads the store and says what its ledger says.
pub(crate) async fn main(args: &LedgerArgs) -> Result<(), Failure> {
    let config = load(&args.config)?;
    let path = state(&config, "`serve`")?;
    let store = Store::open(&path).await.map_err(anyhow::Error::from)?;
    let mut tx = store.read().await.map_err(anyhow::Error::from)?;
    let chain = Chain::read(&mut tx).await.map_err(anyhow::Error::from)?;
    drop(tx);
    store.close().await;
    let ledger = Ledger::of(&chain)?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string(&ledger)?),
        Output::Text => print(&ledger),
    }
    Ok(())
}

fn print(ledger: &Ledger) {
    for minute in &ledger.minutes {
        let Minute { minute, service, slo, state, total, bad, excluded, .. } = minute;
        println!("{minute} {service} {slo} {state} total {total} bad {bad} excluded {excluded}");
    }
    println!("{} blocks, each follows the one before it; the last one is {}", ledger.blocks, ledger.tip);
}
