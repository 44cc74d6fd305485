//! The ledger as it is shown: the last word on every minute, and whether the chain holds.

use serde::Serialize;
use slo::counts::Sli;
use slo::ledger::{Block, EntryState, Tip, table, verify_chain};

use crate::discovery::sli_name;
use crate::store::hex;

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
        Ok(Self { blocks: tip.next, tip: hex(&tip.hash), minutes: minutes.collect() })
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
