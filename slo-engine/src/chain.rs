//! `slo-engine ledger`: the last word on every minute, and whether the chain holds.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;
use slo::counts::Sli;
use slo::ledger::{Block, EntryState, Tip, table, verify_chain};

use crate::config::Config;
use crate::discovery::sli_name;
use crate::failure::Failure;
use crate::store::{Store, ledger};

/// Arguments of `ledger`.
#[derive(Clone, Debug, clap::Args)]
pub struct LedgerArgs {
    /// Configuration of the engine whose state is read.
    #[arg(long)]
    pub config: PathBuf,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = LedgerOutput::Text)]
    pub output: LedgerOutput,
}

/// Format of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LedgerOutput {
    /// A line a minute, service and SLI.
    Text,
    /// One JSON document.
    Json,
}

/// A ledger, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Blocks of the chain.
    pub blocks: u64,
    /// Hash of the last block, 64 hexadecimal digits; of none, zeros.
    pub tip: String,
    /// The last word on each minute, by minute, service and SLI. What is not there was idle.
    pub minutes: Vec<Minute>,
}

/// The last word on a minute of an SLI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Its start.
    pub minute: String,
    /// `namespace/name`.
    pub service: String,
    /// `availability` or `latency`.
    pub slo: &'static str,
    /// `read`, `partial`, `unmeasured` or `excluded`.
    pub state: &'static str,
    /// Requests that the SLI judges.
    pub total: u64,
    /// Those of them that were bad.
    pub bad: u64,
    /// Requests that the rules leave out.
    pub excluded: u64,
    /// Requests by bucket of latency.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<u64>,
}

impl Ledger {
    /// Verifies the chain and takes the last word on each minute from it.
    ///
    /// # Errors
    /// A block does not follow the one before it.
    pub fn of(blocks: &[Block]) -> anyhow::Result<Self> {
        let tip = verify_chain(Tip::START, blocks)?;
        let minutes = table(blocks).into_iter().map(|((minute, service, sli), entry)| Minute {
            minute: minute.start().to_string(),
            service,
            slo: sli_name(sli),
            state: word(entry.state),
            total: entry.counts.total,
            bad: entry.counts.bad,
            excluded: entry.counts.excluded,
            ladder: if sli == Sli::Latency { entry.ladder } else { Vec::new() },
        });
        Ok(Self { blocks: tip.next, tip: crate::store::hex(&tip.hash), minutes: minutes.collect() })
    }
}

fn word(state: EntryState) -> &'static str {
    match state {
        EntryState::Read => "read",
        EntryState::Partial => "partial",
        EntryState::Unmeasured => "unmeasured",
        EntryState::Excluded => "excluded",
    }
}

/// `slo-engine ledger`.
pub(crate) async fn main(args: &LedgerArgs) -> Result<(), Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let config =
        Config::load(&args.config, &env).map_err(|problems| Failure::Config(problems.to_string()))?;
    let path = config.data_dir.join("engine.db");
    if !path.exists() {
        let nothing = anyhow::anyhow!("there is no state at {}: run `serve` first", path.display());
        return Err(nothing.into());
    }
    let store = Store::open(&path).await.map_err(anyhow::Error::from)?;
    let mut tx = store.begin().await.map_err(anyhow::Error::from)?;
    let blocks = ledger::blocks(&mut tx).await.map_err(anyhow::Error::from)?;
    drop(tx);
    store.close().await;
    let ledger = Ledger::of(&blocks)?;
    match args.output {
        LedgerOutput::Json => println!("{}", serde_json::to_string(&ledger)?),
        LedgerOutput::Text => print(&ledger),
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
