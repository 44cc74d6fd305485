//! The ledger as it is shown: the last word on every minute, and whether the chain holds: each block follows the one before
//! it, its columns say what it says, and it ends where the store and the sealed months say that it does.

use anyhow::ensure;
use serde::Serialize;
use slo::counts::{MinuteId, Sli};
use slo::ledger::{Block, EntryState, Tip, table};

use crate::discovery::sli_name;
use crate::seal::Seal;
use crate::store::ledger::{self, StoredBlock, Told};
use crate::store::{FILLED_MS, StoreError, Transaction, hex, meta_number, seals};

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

/// A chain and everything that is said of it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its blocks.
    pub blocks: Vec<StoredBlock>,
    /// What the store says of them.
    pub told: Told,
    /// Sealed months that speak of it.
    pub seals: Vec<Seal>,
}

impl Chain {
    /// Reads it.
    ///
    /// # Errors
    /// The store failed, or a block cannot be read.
    pub async fn read(tx: &mut Transaction) -> Result<Self, StoreError> {
        let filled_ms = meta_number(tx, FILLED_MS).await?;
        Ok(Self {
            blocks: ledger::stored(tx).await?,
            told: ledger::told(tx).await?,
            seals: seals::own(tx, filled_ms).await?,
        })
    }

    /// Checks it; the tip behind its last block.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self) -> anyhow::Result<Tip> {
        let mut tip = Tip::START;
        for StoredBlock { number, minute, hash, block } in &self.blocks {
            tip = block.verify(tip)?;
            ensure!(
                u64::try_from(*number) == Ok(block.number()),
                "ledger block {}: it lies as block {number}",
                block.number()
            );
            ensure!(
                *minute == block.minute(),
                "ledger block {number}: its column says minute {}, it says {}",
                name(*minute),
                name(block.minute())
            );
            ensure!(
                *hash == hex(&tip.hash),
                "ledger block {number}: its column says hash {hash}, it has {}",
                hex(&tip.hash)
            );
        }
        if let Some(broken) = &self.told.broken {
            anyhow::bail!("the ledger was changed by someone else while an engine went on with it: {broken}");
        }
        if let Some((count, hash)) = &self.told.tip {
            let found = (tip.next, hex(&tip.hash));
            ensure!(
                (*count, hash) == (found.0, &found.1),
                "the ledger ends with {} blocks, the last one {}; {count} were said, the last one {hash}",
                found.0,
                found.1
            );
        }
        if let Some(to) = self.told.to {
            let beyond = self.blocks.iter().find(|block| block.minute >= to);
            ensure!(
                beyond.is_none(),
                "the ledger has not spoken of {} and later, yet there is a block about it",
                name(to)
            );
        }
        self.seals.iter().try_for_each(|seal| self.check_seal(seal))?;
        Ok(tip)
    }

    /// A sealed month says how many blocks there were and what the last one was: these are there still.
    fn check_seal(&self, seal: &Seal) -> anyhow::Result<()> {
        let what = format!("the month {}, sealed at {},", seal.month, seal.sealed_at);
        let count = usize::try_from(seal.ledger.blocks)?;
        let Some(before) = self.blocks.get(..count) else {
            anyhow::bail!("{what} knows {count} blocks of the ledger; {} are there", self.blocks.len());
        };
        if let Some(last) = before.last() {
            let found = hex(&last.block.hash());
            ensure!(
                found == seal.ledger.tip,
                "{what} knows {} as block {}; it is {found}",
                seal.ledger.tip,
                last.number
            );
        }
        let instant = |text: &str| text.parse().ok().map(MinuteId::of_timestamp);
        if let Some((from, to)) = instant(&seal.window.from).zip(instant(&seal.window.to)) {
            let of_month = before.iter().filter(|block| (from..to).contains(&block.block.minute())).count();
            ensure!(
                of_month as u64 == seal.ledger.of_month,
                "{what} knows {} blocks about it; {of_month} are there",
                seal.ledger.of_month
            );
        }
        Ok(())
    }
}

impl Ledger {
    /// Verifies the chain and takes the last word on each minute from it.
    ///
    /// # Errors
    /// What of the chain does not hold.
    pub fn of(chain: &Chain) -> anyhow::Result<Self> {
        let tip = chain.verify()?;
        let blocks: Vec<&Block> = chain.blocks.iter().map(|stored| &stored.block).collect();
        let minutes = table(blocks).into_iter().map(|((minute, service, sli), entry)| Minute {
            minute: name(minute),
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

fn name(minute: MinuteId) -> String {
    minute.start().to_string()
}

fn word(state: EntryState) -> &'static str {
    match state {
        EntryState::Read => "read",
        EntryState::Partial => "partial",
        EntryState::Unmeasured => "unmeasured",
        EntryState::Excluded => "excluded",
    }
}

#[cfg(test)]
mod tests;
