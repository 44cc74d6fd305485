//! When a schedule falls due: a cron expression in a time zone, right where the clocks change.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Clock changes that a search is taken up again behind.
const CHANGES: u32 = 3;

/// A cron expression of five fields (minute, hour, day of month, month, weekday) in a time zone.
///
/// Where the clocks are put back, a time of day that comes twice counts the first time. Where they are put forward, a
/// time of day that does not come counts at the first instant after it, if that is at most two hours later. An expression
/// with several times a day has only those that come.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is no cron expression.
    #[error(
        "{text:?} is no schedule: {cause}; write minute, hour, day of month, month and weekday, like \"0 6 4 * *\""
    )]
    Expression {
        /// The text.
        text: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No instant fits.
    #[error("{0:?} never comes, like the 30th of February")]
    Never(String),
    /// There is no such zone.
    #[error("{0:?} is no time zone; write one of the IANA database, like Europe/Vienna")]
    Zone(String),
}

impl Schedule {
    /// Reads an expression and the name of an IANA zone.
    ///
    /// # Errors
    /// One of the two is none, or the schedule never falls due.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = TimeZone::get(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|cause| ScheduleError::Expression {
            text: expression.to_owned(),
            cause: cause.to_string(),
        })?;
        let schedule = Self { cron, zone };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(expression.to_owned())),
        }
    }

    /// The first instant strictly after `now` at which it falls due; nothing where there is none any more.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (now, false);
        for _ in 0..=CHANGES {
            if let Ok(found) = self.cron.find_next_occurrence(&from.to_zoned(self.zone.clone()), inclusive) {
                return Some(found.timestamp());
            }
            // A search does not get over a day that the zone skips (Samoa did): it goes on where the clocks have changed.
            (from, inclusive) = (self.zone.following(from).next()?.timestamp(), true);
        }
        None
    }
}

#[cfg(test)]
mod tests;
