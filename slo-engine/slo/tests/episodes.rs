//! Alert episodes minute by minute: what is told, when, and what is not told twice.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use slo::counts::{Counts, MinuteId, Sli};
use slo::episode::{Change, Episodes, Rules};
use slo::objective::{Objective, SloSpec};
use slo::policy::Severity;
use slo::series::{Minute, Series};

/// Minutes of traffic being judged one by one, with a log of what was told.
struct Story {
    series: Series,
    rules: Rules,
    episodes: Episodes,
    now: MinuteId,
    log: Vec<String>,
}

impl Story {
    fn new(percent: &str) -> Self {
        let objective = Objective::parse(percent).unwrap();
        let rules = Rules::of(SloSpec { objective, ..SloSpec::default_of(Sli::Availability) });
        Self { series: Series::new(), rules, episodes: Episodes::default(), now: MinuteId(0), log: vec![] }
    }

    fn minutes(self, count: i64, total: u64, bad: u64) -> Self {
        self.each(count, Minute::Read(Counts { total, bad, excluded: 0 }))
    }

    fn each(mut self, count: i64, minute: Minute) -> Self {
        for _ in 0..count {
            self.series.set(self.now, minute);
            self.now = self.now.plus(1);
            let change = self.episodes.step(&self.series, &self.rules, self.now);
            self.log.extend(change.map(|change| told(&change)));
            self.forget_and_remember();
        }
        self
    }

    /// Every minute the state goes through its stored form, and a second step for the same minute changes nothing.
    fn forget_and_remember(&mut self) {
        let text = serde_json::to_string(&self.episodes).unwrap();
        self.episodes = serde_json::from_str(&text).unwrap();
        assert_eq!(self.episodes.step(&self.series, &self.rules, self.now), None);
    }

    #[track_caller]
    fn told(mut self, want: &[&str]) -> Self {
        assert_eq!(std::mem::take(&mut self.log), want);
        self
    }

    #[track_caller]
    fn firing(self, want: bool) -> Self {
        assert_eq!(self.episodes.is_firing(), want);
        self
    }
}

fn told(change: &Change) -> String {
    let word = match change {
        Change::Opened(_) => "opened",
        Change::Upgraded(_) => "upgraded",
        Change::Renotified(_) => "renotified",
        Change::Resolved { episode, at, .. } => return format!("{}: resolved {episode}", at.0),
    };
    let notice = change.notice().unwrap();
    format!("{}: {word} {} {}", notice.at.0, notice.episode, notice.policy.id())
}

#[test]
fn an_outage_is_one_episode_with_one_page() {
    // Three days so that the 3-day window is full; 99.9 %: 14.4 ‰ of an hour are 0.864 minutes, so the first minute pages.
    Story::new("99.9")
        .minutes(4320, 100, 0)
        .minutes(20, 100, 100)
        .told(&["4321: opened 1 page_60m_5m"])
        .minutes(354, 100, 0)
        .told(&[])
        .firing(true)
        // The last to be quiet is the 6 hours' window of the slow ticket: at most 0.36 of a bad minute in it.
        .minutes(6, 100, 0)
        .told(&["4700: resolved 1"])
        .firing(false);
}

#[test]
fn a_slow_leak_is_a_ticket_and_becomes_a_page_when_it_grows() {
    Story::new("99.9")
        .minutes(4320, 1000, 0)
        // 2 ‰ are twice what is allowed: 1 is exceeded after half of three days.
        .minutes(2400, 1000, 2)
        .told(&["6481: opened 1 ticket_4320m_360m"])
        // Six hours hold more than 6 ‰ after 241 minutes of 8 ‰.
        .minutes(400, 1000, 8)
        .told(&["6961: upgraded 1 page_360m_30m"])
        // An hour holds more than 14.4 ‰ after 5 minutes of 100 ‰.
        .minutes(60, 1000, 100)
        .told(&["7125: renotified 1 page_60m_5m"]);
}

#[test]
fn an_outage_of_a_young_service_makes_both_pages_true_within_minutes_and_is_told_once() {
    // 55 minutes of life: 13 ‰ of an hour and of six hours are the same first bad minute, over 6 but not over 14.4 times
    // what is allowed; the second one is over both.
    Story::new("99.9")
        .minutes(55, 1000, 0)
        .minutes(1, 1000, 700)
        .told(&["56: opened 1 page_360m_30m"])
        .minutes(3, 1000, 700)
        .told(&[]);
}

#[test]
fn a_second_outage_within_the_episode_notifies_anew() {
    Story::new("99.9")
        .minutes(4320, 100, 0)
        .minutes(20, 100, 100)
        .minutes(90, 100, 0)
        .told(&["4321: opened 1 page_60m_5m"])
        .minutes(20, 100, 100)
        .told(&["4431: renotified 1 page_60m_5m"]);
}

#[test]
fn no_traffic_and_no_measurement_hold_an_episode() {
    Story::new("99.9")
        .minutes(4320, 100, 0)
        .minutes(20, 100, 100)
        .told(&["4321: opened 1 page_60m_5m"])
        .minutes(2000, 0, 0)
        .each(2000, Minute::Unmeasured)
        .told(&[])
        .firing(true)
        // Evidence needs a short window that was measured for at least half: of the slow ticket's six hours, three.
        .minutes(361, 100, 0)
        .told(&["8520: resolved 1"]);
}

#[test]
fn after_a_resolve_the_next_outage_is_the_next_episode() {
    Story::new("99.9")
        .minutes(4320, 100, 0)
        .minutes(20, 100, 100)
        .minutes(400, 100, 0)
        .minutes(5, 100, 100)
        .told(&["4321: opened 1 page_60m_5m", "4700: resolved 1", "4741: opened 2 page_60m_5m"]);
}

#[test]
fn with_little_traffic_the_third_failure_of_three_pages() {
    let minute = |bad| (1, 1, bad);
    let mut story = Story::new("99.9").minutes(400, 1, 0).minutes(4000, 0, 0).told(&[]);
    for (count, total, bad) in [minute(1), (8, 0, 0), minute(1), (8, 0, 0)] {
        story = story.minutes(count, total, bad);
    }
    story
        .firing(true)
        .told(&["4401: opened 1 ticket_1440m_120m"])
        .minutes(1, 1, 1)
        .told(&["4419: upgraded 1 page_60m_5m"]);
}

#[test]
fn under_one_request_in_two_hours_nobody_is_paged() {
    let quiet = Story::new("99.9").minutes(1, 1, 0).minutes(10_000, 0, 0).minutes(3, 1, 1);
    assert_eq!(quiet.episodes.open.unwrap().severity, Severity::Ticket);
}

#[test]
fn a_young_service_with_no_request_at_all_has_nothing_to_tell() {
    Story::new("99.9").minutes(100, 0, 0).told(&[]).firing(false);
}

#[test]
fn an_earlier_minute_changes_nothing() {
    let mut story = Story::new("99.9").minutes(100, 10, 10).told(&["1: opened 1 page_60m_5m"]);
    let before = story.episodes.clone();
    assert_eq!(story.episodes.step(&story.series, &story.rules, MinuteId(50)), None);
    assert_eq!(story.episodes, before);
}

#[test]
fn a_policy_that_is_taken_away_lets_its_episode_end() {
    let mut story = Story::new("99.9").minutes(10, 10, 10).told(&["1: opened 1 page_60m_5m"]);
    story.rules.policies.clear();
    story.minutes(1, 10, 10).told(&["11: resolved 1"]);
}
