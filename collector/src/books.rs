//! Rule E's books: for every sink, each line that was read is delivered, left out with a reason, or still on its way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::source::chunk::Fates;

/// Lines by what became of them, for one sink, since the start of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Lines that the sources handed to the pipeline for this sink.
    pub read: u64,
    /// Lines of which the sink took every event.
    pub delivered: u64,
    /// Lines that a `filter` left out.
    pub filtered: u64,
    /// Lines that a `remap` dropped, as configured.
    pub dropped: u64,
    /// Lines in the dead-letter store.
    pub dead_lettered: u64,
    /// Lines that are between source and sink.
    pub in_flight: u64,
}

/// The accounts of all sinks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// By name of the sink.
    pub sinks: BTreeMap<String, Account>,
}

/// The books do not balance: a defect of this program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the books of sink {sink} do not balance: {read} lines were read, {found} are accounted for ({account:?}); this is a defect, please report it"
)]
pub struct BooksError {
    /// The sink.
    pub sink: String,
    /// Lines that were read.
    pub read: u64,
    /// Sum of what became of them.
    pub found: u64,
    /// The account.
    pub account: Account,
}

/// One sink's account while it is written.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Account>>);

impl Books {
    /// Checks that every account balances.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), BooksError> {
        for (sink, account) in &self.sinks {
            let Account { read, delivered, filtered, dropped, dead_lettered, in_flight } = *account;
            let found = delivered + filtered + dropped + dead_lettered + in_flight;
            if read != found {
                return Err(BooksError { sink: sink.clone(), read, found, account: *account });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.sinks.keys().map(String::len).max().unwrap_or(0).max(4);
        let head = ["read", "delivered", "filtered", "dropped", "dead-lettered", "in flight"];
        write!(f, "{:width$}", "sink")?;
        head.iter().try_for_each(|name| write!(f, "  {name:>13}"))?;
        for (sink, account) in &self.sinks {
            let Account { read, delivered, filtered, dropped, dead_lettered, in_flight } = account;
            write!(f, "\n{sink:width$}")?;
            [read, delivered, filtered, dropped, dead_lettered, in_flight]
                .iter()
                .try_for_each(|count| write!(f, "  {count:>13}"))?;
        }
        Ok(())
    }
}

impl Ledger {
    /// Lines were handed to the sink's queue.
    pub fn hand_on(&self, lines: u64) {
        let mut account = self.account();
        account.read += lines;
        account.in_flight += lines;
    }

    /// A queue's lines were below the sink's position: they are not its lines.
    pub fn take_back(&self, lines: u64) {
        let mut account = self.account();
        account.read = account.read.saturating_sub(lines);
        account.in_flight = account.in_flight.saturating_sub(lines);
    }

    /// Lines reached their end; what arrived is delivered.
    pub fn settle(&self, fates: Fates) {
        let mut account = self.account();
        account.delivered += fates.arrived;
        account.filtered += fates.filtered;
        account.dropped += fates.dropped;
        account.dead_lettered += fates.dead_lettered;
        account.in_flight = account.in_flight.saturating_sub(fates.read);
    }

    /// The account as it is now.
    pub fn now(&self) -> Account {
        *self.account()
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_or_are_an_error() {
        let good =
            Account { read: 10, delivered: 6, filtered: 1, dropped: 1, dead_lettered: 1, in_flight: 1 };
        let mut books = Books { sinks: BTreeMap::from([("archive".to_owned(), good)]) };
        assert_eq!(books.check(), Ok(()));
        books.sinks.insert("console".into(), Account { delivered: 5, ..good });
        let error = books.check().unwrap_err();
        assert_eq!((error.sink.as_str(), error.read, error.found), ("console", 10, 9));
        assert_eq!(books.to_string().lines().count(), 3);
    }
}
