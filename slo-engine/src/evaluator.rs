//! Judging one instant: episodes of every SLO, silence and lost collectors, as inputs of the escalation machine. Pure.

use std::collections::{BTreeMap, BTreeSet};

use alerts::{Alert, Input, Severity};
use slo::counts::{MinuteId, Sli};
use slo::episode::{Change, Episodes, Notice, Rules};
use slo::silence::silent_since;

use crate::counts::Counts;
use crate::discovery::{Service, sli_name};
use crate::figures::SLIS;
use crate::specs::Specs;

/// Minutes that a collector may say nothing before its silence is an alert.
const LOST_AFTER_MINUTES: i64 = 10;

/// Episodes by SLO.
pub type AllEpisodes = BTreeMap<(Service, Sli), Episodes>;

/// What one look decided.
#[derive(Debug, Default)]
pub struct Judged {
    /// What the escalation machine must hear, in order.
    pub inputs: Vec<Input>,
    /// SLOs whose episodes changed.
    pub changed: BTreeSet<(Service, Sli)>,
}

/// Judges the minutes before `at`. `again` judges an instant that was judged before: the open minute has grown since.
pub fn judge(
    counts: &Counts,
    specs: &Specs,
    episodes: &mut AllEpisodes,
    at: MinuteId,
    again: bool,
) -> Judged {
    let mut judged = Judged::default();
    for (service, _, source) in counts.services() {
        for sli in SLIS {
            let Some(series) = source.series(sli) else { continue };
            let id = (service.clone(), sli);
            let state = episodes.entry(id.clone()).or_default();
            if again {
                state.judged = None;
            }
            let rules = Rules::of(specs.spec(service, sli));
            let before = state.open.clone();
            let change = state.step(series, &rules, at);
            if before != state.open {
                judged.changed.insert(id);
            }
            judged.inputs.extend(change.map(|change| input(service, sli, change)));
        }
    }
    judged
}

/// What is silent or lost at `at`, by alert key; whoever calls compares it with what is open.
pub fn absences(counts: &Counts, at: MinuteId) -> BTreeMap<String, Alert> {
    let mut absent = BTreeMap::new();
    for (service, _, source) in counts.services() {
        let since = source.series(Sli::Availability).and_then(|series| silent_since(series, at));
        if let Some(since) = since {
            let summary = format!(
                "{service} has had no request since {}, where each of the last four weeks had some: is it reachable?",
                since.start()
            );
            let key = format!("{}.silence", service.to_string().replace('/', "."));
            absent.insert(key.clone(), alert(key, Severity::Page, summary, &service.to_string(), "silence"));
        }
    }
    for (collector, read_to) in counts.collectors(at) {
        if read_to.plus(LOST_AFTER_MINUTES) <= at {
            let summary = format!(
                "collector {collector} has sent nothing since {}: its minutes are unmeasured; is its node up?",
                read_to.start()
            );
            let key = format!("pipeline.{collector}");
            absent.insert(key.clone(), alert(key, Severity::Page, summary, "pipeline", "measurement"));
        }
    }
    absent
}

/// Whether an alert key is of [`absences`].
pub fn is_absence(key: &str) -> bool {
    key.starts_with("pipeline.") || key.ends_with(".silence")
}

fn input(service: &Service, sli: Sli, change: Change) -> Input {
    let key = service.slo_id(sli);
    let tell = |notice: &Notice| {
        let severity = match notice.severity {
            slo::policy::Severity::Page => Severity::Page,
            slo::policy::Severity::Ticket => Severity::Ticket,
        };
        alert(key.clone(), severity, summary(service, sli, notice), &service.to_string(), sli_name(sli))
    };
    match &change {
        Change::Opened(notice) => Input::Fire(tell(notice)),
        Change::Upgraded(notice) | Change::Renotified(notice) => Input::Renotify(tell(notice)),
        Change::Resolved { .. } => Input::Resolve { key },
    }
}

fn alert(key: String, severity: Severity, summary: String, service: &str, slo: &str) -> Alert {
    let labels = [("service".to_owned(), service.to_owned()), ("slo".to_owned(), slo.to_owned())];
    Alert { key, severity, summary, labels: labels.into() }
}

fn summary(service: &Service, sli: Sli, notice: &Notice) -> String {
    let what = match sli {
        Sli::Availability => "failed",
        Sli::Latency => "too slow",
    };
    format!(
        "{service} {}: {} of {} requests {what} in {}, {} of {} in {}; the budget burns {}× too fast",
        sli_name(sli),
        notice.long.bad,
        notice.long.total,
        span(notice.policy.long),
        notice.short.bad,
        notice.short.total,
        span(notice.policy.short),
        notice.burn,
    )
}

/// `90` minutes as `90 min`, `360` as `6 h`, `4320` as `3 d`.
fn span(minutes: u32) -> String {
    match minutes {
        m if m % 1440 == 0 => format!("{} d", m / 1440),
        m if m % 60 == 0 => format!("{} h", m / 60),
        m => format!("{m} min"),
    }
}
