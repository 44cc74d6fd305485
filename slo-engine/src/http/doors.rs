//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::{Full, HttpMetrics};
use crate::config::Limits;

/// Counts those who are in.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    all: usize,
    each: usize,
    inside: Arc<Mutex<Inside>>,
    metrics: HttpMetrics,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// One that is in, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    doors: Doors,
    address: IpAddr,
}

impl Doors {
    pub(super) fn new(limits: &Limits, metrics: HttpMetrics) -> Self {
        let (all, each) = (limits.connections, limits.connections_per_address);
        Self { all, each, inside: Arc::default(), metrics }
    }

    /// Lets one in, unless there are as many as may be.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Pass> {
        let mut inside = self.inside();
        let full = if inside.all >= self.all {
            Some(Full::All)
        } else if inside.each.get(&address).is_some_and(|count| *count >= self.each) {
            Some(Full::Address)
        } else {
            None
        };
        if let Some(reason) = full {
            self.metrics.closed(reason);
            return None;
        }
        inside.all += 1;
        *inside.each.entry(address).or_default() += 1;
        self.metrics.connections.inc();
        Some(Pass { doors: self.clone(), address })
    }

    // Each change is whole when the lock is let go.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.doors.inside();
        inside.all -= 1;
        if let Some(count) = inside.each.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inside.each.remove(&self.address);
            }
        }
        self.doors.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[test]
    fn so_many_are_let_in_of_each_address_and_in_all() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let doors = Doors::new(&limits, HttpMetrics::new(&Registry::new()).unwrap());
        let address = |last: u32| IpAddr::V4(last.into());
        let first = doors.enter(address(1)).unwrap();
        let _second = doors.enter(address(1)).unwrap();
        assert!(doors.enter(address(1)).is_none());
        let _third = doors.enter(address(2)).unwrap();
        assert!(doors.enter(address(3)).is_none());
        drop(first);
        assert!(doors.enter(address(1)).is_some());
        let inside = doors.inside();
        assert_eq!((inside.all, inside.each.len()), (2, 2));
    }
}
