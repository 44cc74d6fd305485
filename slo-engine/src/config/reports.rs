//! The key `reports`: how months are sealed.

use std::path::{Path, PathBuf};

use settings::Table;

use crate::schedule::{Schedule, ScheduleError};

/// The fourth of each month: more than 72 h after the end of the one before, in every zone.
const REPORTS_SCHEDULE: &str = "0 6 4 * *";

/// How months are sealed.
#[derive(Clone, Debug)]
pub struct ReportsConfig {
    /// Where the services run: part of the files' names.
    pub environment: String,
    /// When sealing is looked after; a month is due at the first time that lies 72 h or more after its end.
    pub schedule: Schedule,
    /// Where the files are put.
    pub directory: PathBuf,
}

pub(super) fn reports(table: &mut Table<'_>, data_dir: &Path, environment: &str) -> Option<ReportsConfig> {
    let mut config = ReportsConfig {
        environment: environment.to_owned(),
        schedule: Schedule::parse(REPORTS_SCHEDULE, "UTC").ok()?,
        directory: data_dir.join("reports"),
    };
    let Some(mut reports) = table.table("reports") else { return Some(config) };
    let expression = reports.string_or("schedule", REPORTS_SCHEDULE);
    let zone = reports.string_or("time_zone", "UTC");
    match Schedule::parse(&expression, &zone) {
        Ok(schedule) => config.schedule = schedule,
        Err(error @ ScheduleError::Zone(_)) => {
            reports.problem("time_zone", error.to_string());
            if let Err(error) = Schedule::parse(&expression, "UTC") {
                reports.problem("schedule", error.to_string());
            }
        }
        Err(error) => reports.problem("schedule", error.to_string()),
    }
    if let Some(directory) = reports.string("directory") {
        config.directory = directory.into();
    }
    reports.finish();
    Some(config)
}
