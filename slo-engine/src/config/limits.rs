//! The key `limits`: how much the HTTP server takes on at once.

use std::time::Duration;

use settings::Table;

use crate::engine::Caps;

/// Most of anything that can be asked for: a connection is a file descriptor, a service is some kilobytes.
const MOST: u64 = 100_000;

/// How much the HTTP server takes on at once, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; a further one is closed at once.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_address: usize,
    /// Heavy reads (pages, lists, dashboards) that are worked out at once.
    pub reads: usize,
    /// Services that discovery does not know: requests of later ones count as unattributed.
    pub unknown_services: usize,
    /// How long requests in flight have at the end.
    pub shutdown: Duration,
    /// How long the head of a request may take, the wait for it on a kept connection included; a TLS handshake as well.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a client may take nothing of its answer.
    pub write: Duration,
    /// How long a heavy read waits for its turn.
    pub turn: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: 64,
            reads: 4,
            unknown_services: Caps::default().unknown_services,
            shutdown: Duration::from_secs(20),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            turn: Duration::from_secs(2),
        }
    }
}

impl Limits {
    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let mut limits = Self::default();
        let Some(mut table) = table.table("limits") else { return limits };
        let count = |table: &mut Table<'_>, key: &str, default: usize, most: u64| {
            let value = table.u64_or(key, default as u64);
            if !(1..=most).contains(&value) {
                table.problem(key, format!("must be 1 to {most}"));
            }
            usize::try_from(value).unwrap_or(default)
        };
        limits.connections = count(&mut table, "connections", limits.connections, MOST);
        limits.connections_per_address =
            count(&mut table, "connections_per_address", limits.connections_per_address, MOST);
        limits.reads = count(&mut table, "reads", limits.reads, 64);
        limits.unknown_services = count(&mut table, "unknown_services", limits.unknown_services, MOST);
        let seconds = count(&mut table, "shutdown_secs", limits.shutdown.as_secs() as usize, 300);
        limits.shutdown = Duration::from_secs(seconds as u64);
        table.finish();
        limits
    }
}
