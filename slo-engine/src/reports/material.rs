//! What a month is sealed from: its report, its minute table, and the seal that binds them. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use slo::ledger::{self, Block, EntryState};
use slo::objective::SloSpec;

use super::{Report, render};
use crate::seal::{LedgerMark, REPORT_JSON, SEAL, Seal, Sealed, SealedFile};

/// Level of compression of the minute table.
const ZSTD_LEVEL: i32 = 3;

/// What a month is sealed from.
#[derive(Clone, Debug)]
pub struct Material {
    /// The report; not provisional.
    pub report: Report,
    /// Blocks about minutes of the month, in the order of the chain.
    pub blocks: Vec<Block>,
    /// Where the ledger stands.
    pub tip: ledger::Tip,
    /// The SLOs in force, by service.
    pub definitions: BTreeMap<String, Vec<SloSpec>>,
    /// Services that are known by name.
    pub known_services: Vec<String>,
    /// Namespaces that are known.
    pub known_namespaces: Vec<String>,
}

/// One line of the minute table.
#[derive(Serialize)]
struct MinuteLine<'a> {
    minute: String,
    service: &'a str,
    slo: &'static str,
    state: &'static str,
    total: u64,
    bad: u64,
    excluded: u64,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    ladder: &'a [u64],
}

impl Material {
    /// Binds a month. The same material gives the same files at any time; only the seal says when.
    ///
    /// # Errors
    /// None in practice: everything can be written as JSON.
    pub fn seal(&self, environment: &str, restatement: u32, sealed_at: Timestamp) -> anyhow::Result<Sealed> {
        let mut files = BTreeMap::from([
            ("report.html".to_owned(), render(&self.report).into_string().into_bytes()),
            (REPORT_JSON.to_owned(), self.report_json()?),
            ("minutes.ndjson.zst".to_owned(), self.minutes()?),
        ]);
        let sealed_file =
            |bytes: &Vec<u8>| SealedFile { sha256: archive::sha256_hex(bytes), bytes: bytes.len() as u64 };
        let seal = Seal {
            version: 1,
            month: self.report.month.clone(),
            environment: environment.to_owned(),
            restatement,
            sealed_at,
            window: self.report.window.clone(),
            files: files.iter().map(|(name, bytes)| (name.clone(), sealed_file(bytes))).collect(),
            ledger: LedgerMark {
                blocks: self.tip.next,
                tip: self.tip.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
                of_month: self.blocks.len() as u64,
            },
            definitions: self.definitions.clone(),
            known_services: self.known_services.clone(),
            known_namespaces: self.known_namespaces.clone(),
        };
        files.insert(SEAL.to_owned(), serde_json::to_vec_pretty(&seal)?);
        Ok(Sealed { seal, files })
    }

    /// The report as it is sealed.
    ///
    /// # Errors
    /// None in practice.
    pub fn report_json(&self) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&self.report)?)
    }

    /// The last word on every minute, one a line, sorted by minute, service and SLI.
    fn minutes(&self) -> anyhow::Result<Vec<u8>> {
        let mut lines = Vec::new();
        for ((minute, ..), entry) in &ledger::table(&self.blocks) {
            let line = MinuteLine {
                minute: minute.start().to_string(),
                service: &entry.service,
                slo: crate::discovery::sli_name(entry.sli),
                state: state(entry.state),
                total: entry.counts.total,
                bad: entry.counts.bad,
                excluded: entry.counts.excluded,
                ladder: &entry.ladder,
            };
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
        Ok(zstd::bulk::compress(&lines, ZSTD_LEVEL)?)
    }
}

fn state(state: EntryState) -> &'static str {
    match state {
        EntryState::Read => "read",
        EntryState::Partial => "partial",
        EntryState::Unmeasured => "unmeasured",
        EntryState::Excluded => "excluded",
    }
}
