//! A month that is over for good: its report, its minute table, and the seal that binds them. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slo::ledger::{self, Block, EntryState};
use slo::objective::SloSpec;

use super::{Report, WindowView, render};

/// Name of the seal; the object that is put last, so whoever finds it finds all of them.
pub const SEAL: &str = "seal.json";

/// The report for machines, whose bytes decide whether a later one says something else.
pub const REPORT_JSON: &str = "report.json";

/// Level of compression of the minute table.
const ZSTD_LEVEL: i32 = 3;

/// What binds a month's files; the object `seal.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seal {
    /// Version of this form: 1.
    pub version: u32,
    /// The month, `YYYY-MM`.
    pub month: String,
    /// Where the services run.
    pub environment: String,
    /// 0 for the seal itself; what was said anew later counts up from 1.
    pub restatement: u32,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The month in UTC.
    pub window: WindowView,
    /// SHA-256 and size of each file, by its name.
    pub files: BTreeMap<String, SealedFile>,
    /// Where the ledger stood.
    pub ledger: LedgerMark,
    /// The SLOs in force, by service.
    pub definitions: BTreeMap<String, Vec<SloSpec>>,
    /// Services that were known by name, `namespace/name`: what decided whom an upstream's name means.
    pub known_services: Vec<String>,
    /// Namespaces that were known.
    pub known_namespaces: Vec<String>,
}

/// A file of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// Blocks of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerMark {
    /// Blocks of the whole chain.
    pub blocks: u64,
    /// Hash of the last one, 64 hexadecimal digits.
    pub tip: String,
    /// Blocks about minutes of the month.
    pub of_month: u64,
}

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

/// A sealed month as it is kept: its files, the seal among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// What binds them.
    pub seal: Seal,
    /// Every file by its name.
    pub files: BTreeMap<String, Vec<u8>>,
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

impl Seal {
    /// Whether a month's report still says what was sealed.
    pub fn agrees(&self, report_json: &[u8]) -> bool {
        self.files.get(REPORT_JSON).is_some_and(|file| file.sha256 == archive::sha256_hex(report_json))
    }

    /// Where its files lie: `reports/<environment>/<YYYY-MM>/`, and below it `restatements/<n>/`.
    pub fn prefix(&self) -> String {
        prefix(&self.environment, &self.month, self.restatement)
    }
}

/// See [`Seal::prefix`].
pub fn prefix(environment: &str, month: &str, restatement: u32) -> String {
    match restatement {
        0 => format!("reports/{environment}/{month}/"),
        n => format!("reports/{environment}/{month}/restatements/{n}/"),
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
