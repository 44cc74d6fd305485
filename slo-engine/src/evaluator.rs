//! Judging one instant: episodes of every SLO, silence and lost collectors, as inputs of the escalation machine. Pure.

use std::collections::{BTreeMap, BTreeSet};

use alerts::{Alert, Incident, Input, Severity};
use slo::counts::{MinuteId, Sli};
use slo::episode::{Change, Episodes, Notice, Rules};
use slo::series::{Minute, Series};
use slo::silence::silent_since;

use crate::counts::Counts;
use crate::discovery::{Service, sli_name};
use crate::specs::Specs;

/// Minutes that a collector may say nothing before its silence is an alert.
const LOST_AFTER_MINUTES: i64 = 10;

/// Minutes that the archive may be behind what is read before that is an alert: the limit of what may be lost.
const ARCHIVE_LAGS_AFTER_MINUTES: i64 = 60;

/// How far back a minute is looked for that tells of silence: no silence is judged over more than a week.
const LONGEST_UNHEARD: i64 = 7 * 24 * 60;

/// What alerts about a service without requests call their SLO.
pub(crate) const SILENCE: &str = "silence";

/// What alerts about collectors call their SLO.
const MEASUREMENT: &str = "measurement";

/// What alerts about archives call their SLO.
const ARCHIVE: &str = "archive";

/// An SLO.
type Id = (Service, Sli);

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

/// Judges the minutes before `at`. `again` judges an instant that was judged before: the open minute has grown since. A
/// further look at a minute may only add: what fired in it is over at the earliest in the next one, so that a minute that
/// sways around a threshold tells people once.
pub fn judge(
    counts: &Counts,
    specs: &Specs,
    episodes: &mut AllEpisodes,
    at: MinuteId,
    again: bool,
) -> Judged {
    let mut judged = Judged::default();
    for (service, _, source) in counts.judged() {
        for sli in Sli::ALL {
            let Some(series) = source.series(sli) else { continue };
            judge_one((service, sli), series, specs.rules(service, sli), episodes, at, again, &mut judged);
        }
    }
    judged
}

/// Judges some SLOs at an instant that was not judged before; says when each must be looked at next.
pub fn judge_some(
    counts: &Counts,
    specs: &Specs,
    episodes: &mut AllEpisodes,
    at: MinuteId,
    some: &BTreeSet<(Service, Sli)>,
) -> (Judged, Vec<(MinuteId, Id)>) {
    let (mut judged, mut next) = (Judged::default(), Vec::new());
    for (service, sli) in some {
        let source = counts.service(service).filter(|_| !counts.cluster().is_excluded(service));
        let Some(series) = source.and_then(|(_, source)| source.series(*sli)) else { continue };
        let rules = specs.rules(service, *sli);
        judge_one((service, *sli), series, rules, episodes, at, false, &mut judged);
        let id = (service.clone(), *sli);
        let look = episodes.get(&id).and_then(|episodes| episodes.next_look(series, rules, at));
        next.extend(look.map(|look| (look, id)));
    }
    (judged, next)
}

fn judge_one(
    (service, sli): (&Service, Sli),
    series: &Series,
    rules: &Rules,
    episodes: &mut AllEpisodes,
    at: MinuteId,
    again: bool,
    judged: &mut Judged,
) {
    let id = (service.clone(), sli);
    let state = match episodes.get_mut(&id) {
        Some(state) => state,
        None => episodes.entry(id.clone()).or_default(),
    };
    let repeated = again && state.judged.is_some_and(|judged| judged >= at);
    if repeated {
        state.judged = None;
    }
    let before = state.open.clone();
    let change = state.step(series, rules, at).filter(|change| !repeated || change.notice().is_some());
    if let Some(before) = before.as_ref().filter(|_| repeated) {
        state.open.get_or_insert_with(|| before.clone()).firing.extend(before.firing.iter().cloned());
    }
    if before != state.open {
        judged.changed.insert(id);
    }
    judged.inputs.extend(change.map(|change| input(service, sli, change)));
}

/// What is silent or lost at `at`, by alert key; whoever calls compares it with what is open. Collectors are listened for
/// since `since`: an engine that was down has not heard them either.
pub fn absences(counts: &Counts, at: MinuteId, since: MinuteId) -> BTreeMap<String, Alert> {
    let mut absent = BTreeMap::new();
    for (service, _, source) in counts.judged() {
        let series = source.series(Sli::Availability);
        let silent = series.and_then(|series| silent_since(series, heard_to(series, at)));
        if let Some(since) = silent {
            let summary = format!(
                "{service} has had no request since {}, where each of the last four weeks had some: is it reachable?{}",
                since.start(),
                pods(counts, service)
            );
            let key = format!("{}.{SILENCE}", service.to_string().replace('/', "."));
            absent.insert(key.clone(), alert(key, Severity::Page, summary, &service.to_string(), SILENCE));
        }
    }
    let archives = counts.archives(at);
    for (collector, read_to) in counts.collectors(at) {
        if read_to.max(since).plus(LOST_AFTER_MINUTES) <= at {
            let summary = format!(
                "collector {collector} has sent nothing since {}: its minutes are unmeasured; is its node up?",
                read_to.start()
            );
            // No SLO's id holds a slash.
            let key = format!("pipeline/{collector}");
            absent.insert(key.clone(), alert(key, Severity::Page, summary, "pipeline", MEASUREMENT));
        }
        let archived_to = archives.get(collector).copied().map(MinuteId::of_ms);
        if let Some(to) = archived_to.filter(|to| to.plus(ARCHIVE_LAGS_AFTER_MINUTES) <= read_to) {
            let summary = format!(
                "the archive of collector {collector} lacks what was written since {}: its log says what the archive answers",
                to.start()
            );
            let key = format!("archive/{collector}");
            absent.insert(key.clone(), alert(key, Severity::Page, summary, "pipeline", ARCHIVE));
        }
    }
    for (node, ready) in counts.unread_nodes(at) {
        let from = ready.max(since);
        if from.plus(LOST_AFTER_MINUTES) <= at {
            let summary = format!(
                "no collector has said anything of node {node} since {}: its logs are not read; is the collector's pod there?",
                from.start()
            );
            let key = format!("node/{node}");
            absent.insert(key.clone(), alert(key, Severity::Page, summary, "pipeline", MEASUREMENT));
        }
    }
    absent
}

/// How the cluster says that the pods of a service are.
fn pods(counts: &Counts, service: &Service) -> String {
    let workload = counts.cluster().get(service).and_then(|found| found.workload.as_ref());
    workload.map_or_else(String::new, |workload| format!(" The cluster says: {workload}"))
}

/// Whether there is evidence that what an alert of [`absences`] says is over. Silence ends with a request: that nobody
/// listens any more, or that it has become usual, is none.
pub fn is_over(counts: &Counts, incident: &Incident, at: MinuteId) -> bool {
    let label = |name: &str| incident.alert.labels.get(name).map_or("", String::as_str);
    let since = MinuteId::of_timestamp(incident.opened_at);
    let requests = || {
        let (_, source) = counts.service(&Service::parse(label("service")))?;
        Some(source.series(Sli::Availability)?.sum(since, at).counts.total)
    };
    match label("slo") {
        SILENCE => requests().is_some_and(|total| total > 0),
        slo => slo == MEASUREMENT || slo == ARCHIVE,
    }
}

/// Up to which minute (exclusive) there is something to judge silence by: minutes that lack something and hold no request
/// say nothing.
fn heard_to(series: &Series, at: MinuteId) -> MinuteId {
    let says_nothing = |back: &i64| match series.get(at.plus(-back)) {
        Some(Minute::Partial(counts)) => counts.total == 0,
        Some(Minute::Unmeasured | Minute::Excluded) => true,
        Some(Minute::Read(_)) | None => false,
    };
    let unheard = (1..=LONGEST_UNHEARD).take_while(says_nothing).count();
    at.plus(-(unheard as i64))
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

/// An alert about the pipeline itself.
pub(crate) fn pipeline_alert(key: String, severity: Severity, summary: String) -> Alert {
    alert(key, severity, summary, "pipeline", MEASUREMENT)
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
