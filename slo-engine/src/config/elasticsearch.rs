//! The key `elasticsearch`: where results and counts are written.

use search::{Client, ClientConfig};
use settings::Table;

/// Days that indices are kept by default.
const RETENTION_DAYS: u32 = 30;

/// Ten years: more is a slip of the finger.
const LONGEST_RETENTION_DAYS: u32 = 3660;

/// Elasticsearch or OpenSearch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elasticsearch {
    /// How it is reached.
    pub client: ClientConfig,
    /// Whole days in UTC that indices are kept beside the current one.
    pub retention_days: u32,
}

pub(super) fn elasticsearch(mut table: Table<'_>) -> Elasticsearch {
    let before = table.problems().len();
    let client = ClientConfig::prove(&mut table);
    // Certificates are read by whoever makes a client of them.
    if table.node("tls").is_some()
        && table.problems().len() == before
        && let Err(error) = Client::new(&client)
    {
        table.problem("tls", error.to_string());
    }
    let days = table.u64_or("retention_days", RETENTION_DAYS.into());
    let retention_days = u32::try_from(days).ok().filter(|days| (1..=LONGEST_RETENTION_DAYS).contains(days));
    if retention_days.is_none() {
        table.problem("retention_days", format!("must be 1 to {LONGEST_RETENTION_DAYS} days"));
    }
    table.finish();
    Elasticsearch { client, retention_days: retention_days.unwrap_or(RETENTION_DAYS) }
}
