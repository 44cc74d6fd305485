//! The keys `refill` and `sli`: how an empty state is filled.

use std::time::Duration;

use collector::transform::sli::SliConfig;
use settings::Table;

/// How an empty state is filled, under the keys `refill` and `sli`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefillConfig {
    /// How long pages, the ledger and the collectors wait for it.
    pub within: Duration,
    /// How the lines of the archive are judged: as the collectors' `sli` transform is configured.
    pub sli: SliConfig,
}

impl RefillConfig {
    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let ten_minutes = Duration::from_secs(600);
        let within = table.table("refill").map(|mut refill| {
            let within = refill.duration_or("within_secs", ten_minutes);
            refill.finish();
            within
        });
        let sli = table.table("sli").map(|mut sli| {
            let config = SliConfig::prove(&mut sli);
            sli.finish();
            config
        });
        Self { within: within.unwrap_or(ten_minutes), sli: sli.unwrap_or_default() }
    }
}
