//! What binds the files of a month that is over for good, as values.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slo::objective::SloSpec;

use crate::overview::WindowView;

/// Name of the seal; the object that is put last, so whoever finds it finds all of them.
pub const SEAL: &str = "seal.json";

/// The report for machines, whose bytes decide whether a later one says something else.
pub const REPORT_JSON: &str = "report.json";

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

/// A sealed month as it is kept: its files, the seal among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// What binds them.
    pub seal: Seal,
    /// Every file by its name.
    pub files: BTreeMap<String, Vec<u8>>,
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
