//! Names: what is written, for which environment, and the daily indices, alias and template that follow from them.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use settings::Table;
use thiserror::Error;

/// The ending of an index pattern: a day in UTC.
const DAY: &str = "-%Y.%m.%d";

/// Longest name of an index in bytes, as the servers have it.
const LONGEST: usize = 255;

/// What lies in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Log lines, written by collectors.
    Logs,
    /// What the engine counted, from which another one can be refilled.
    Counts,
    /// What the engine found, per service, SLO and minute.
    Results,
}

/// An environment as it stands in names: lower-case letters, digits, `-` and `_`, at most 64 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Environment(String);

/// Plain daily indices `<alias>-YYYY.MM.DD` (days in UTC) behind one alias; their template has the alias's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Daily {
    alias: String,
}

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// No day at the end.
    #[error("{pattern:?} must end in {DAY}: indices are daily, so that old days can be deleted")]
    NoDay {
        /// What was given.
        pattern: String,
    },
    /// The servers refuse such a name.
    #[error(
        "{name:?} cannot name an index: use lower-case letters, digits, '.', '-' and '_', begin with a letter or digit"
    )]
    Invalid {
        /// What was given.
        name: String,
    },
    /// An environment that cannot stand in a name.
    #[error(
        "{name:?} cannot name an environment: use at most 64 lower-case letters, digits, '-' and '_', begin with a letter or digit"
    )]
    Environment {
        /// What was given.
        name: String,
    },
}

/// The UTC day of an instant.
pub fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

fn is_name(text: &str, further: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().next().is_some_and(plain) && text.bytes().all(|byte| plain(byte) || further.contains(&byte))
}

// === impl Kind ===

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Counts, Self::Results];

    /// The word in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Counts => "counts",
            Self::Results => "results",
        }
    }

    /// Its daily indices: `headroom-<kind>-<environment>-YYYY.MM.DD`.
    pub fn daily(self, environment: &Environment) -> Daily {
        Daily { alias: format!("headroom-{}-{environment}", self.as_str()) }
    }
}

// === impl Environment ===

impl Environment {
    /// Proves a name.
    ///
    /// # Errors
    /// It cannot stand in the name of an index.
    pub fn new(name: &str) -> Result<Self, NameError> {
        match name.len() <= 64 && is_name(name, b"-_") {
            true => Ok(Self(name.to_owned())),
            false => Err(NameError::Environment { name: name.to_owned() }),
        }
    }

    /// Reads the key `environment`; `production` where it is not set.
    pub fn prove(table: &mut Table<'_>) -> Self {
        let Some(name) = table.string("environment") else { return Self::default() };
        Self::new(&name).unwrap_or_else(|error| {
            table.problem("environment", error.to_string());
            Self::default()
        })
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self("production".to_owned())
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Daily ===

impl Daily {
    /// Proves a pattern such as `headroom-logs-production-%Y.%m.%d`.
    ///
    /// # Errors
    /// It does not end in a day, or cannot name an index.
    pub fn parse(pattern: &str) -> Result<Self, NameError> {
        let Some(alias) = pattern.strip_suffix(DAY) else {
            return Err(NameError::NoDay { pattern: pattern.to_owned() });
        };
        let longest = LONGEST - "-2026.01.01".len();
        if alias.len() > longest || !is_name(alias, b".-_") {
            return Err(NameError::Invalid { name: pattern.to_owned() });
        }
        Ok(Self { alias: alias.to_owned() })
    }

    /// The alias of all days, which is also the name of their template.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// What matches all of its days, and those of aliases that go on with a `-`: ask [`day`](Self::day) of each.
    pub fn wildcard(&self) -> String {
        format!("{}-*", self.alias)
    }

    /// The index of a day.
    pub fn index(&self, day: Date) -> String {
        format!("{}-{:04}.{:02}.{:02}", self.alias, day.year(), day.month(), day.day())
    }

    /// The day of an index; nothing if it is not one of these.
    pub fn day(&self, index: &str) -> Option<Date> {
        let day = index.strip_prefix(&self.alias)?.strip_prefix('-')?;
        let mut numbers = day.split('.');
        let (year, month, number) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let day = Date::new(year.parse().ok()?, month.parse().ok()?, number.parse().ok()?).ok()?;
        (self.index(day) == index).then_some(day)
    }
}

impl fmt::Display for Daily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{DAY}", self.alias)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logs() -> Daily {
        Kind::Logs.daily(&Environment::default())
    }

    #[test]
    fn the_names_of_an_environment() {
        let daily = logs();
        assert_eq!(daily.alias(), "headroom-logs-production");
        assert_eq!(daily.to_string(), "headroom-logs-production-%Y.%m.%d");
        assert_eq!(Daily::parse(&daily.to_string()), Ok(daily.clone()));
        let late = "2026-03-01T23:59:59.999999999Z".parse().unwrap();
        assert_eq!(daily.index(day_of(late)), "headroom-logs-production-2026.03.01");
    }

    #[test]
    fn a_longer_environment_is_another_one() {
        let index =
            Kind::Logs.daily(&Environment::new("production-eu").unwrap()).index(Date::constant(2026, 3, 1));
        assert_eq!(logs().day(&index), None);
        for other in [
            "headroom-logs-production-2026.3.1",
            "headroom-logs-production-2026.02.30",
            "headroom-logs-production-2026.03.01.1",
            "headroom-logs-production",
            "headroom-logs-production2026.03.01",
            "headroom-logs-production-+2026.03.01",
        ] {
            assert_eq!(logs().day(other), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_without_day_or_with_a_bad_name_is_refused() {
        for pattern in ["logs", "logs-%Y.%m", "logs-%Y.%m.%d-x", "logs-%F", ""] {
            assert!(matches!(Daily::parse(pattern), Err(NameError::NoDay { .. })), "{pattern}");
        }
        let long = "x".repeat(250);
        for name in
            ["", "Logs", "-logs", "_logs", ".security", "a/b", "a b", "a*", "a,b", "a%H", "ä", "{{x}}", &long]
        {
            let pattern = format!("{name}-%Y.%m.%d");
            assert!(matches!(Daily::parse(&pattern), Err(NameError::Invalid { .. })), "{pattern}");
        }
        for name in ["", "Production", "a.b", "-a", "ä", &"x".repeat(65)] {
            assert!(Environment::new(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_index_says_its_day(second in -62_167_219_200_i64..253_402_300_799) {
            let day = day_of(Timestamp::from_second(second).unwrap());
            prop_assert_eq!(logs().day(&logs().index(day)), Some(day));
        }

        #[test]
        fn any_name_is_read_without_panic(name in ".*") {
            let _ = (logs().day(&name), Daily::parse(&name));
        }
    }
}
