//! Alert episodes: one SLO's burn-rate policies, judged minute by minute, become at most one episode at a time.

mod next;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::burn::BurnRate;
use crate::counts::{Counts, MinuteId, Sli};
use crate::low_traffic;
use crate::objective::{Method, SloSpec};
use crate::policy::{BurnPolicy, Severity, Threshold, policies_for};
use crate::ratio::Ratio;
use crate::series::{Series, WindowSum};
use crate::window::rolling;

/// What one policy says at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both windows exceed it; the burn rate is the long window's.
    Firing(BurnRate),
    /// The short window has evidence that it is over.
    Quiet,
    /// No evidence either way: whatever was firing goes on firing.
    Held,
}

/// How an SLO is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What is promised.
    pub spec: SloSpec,
    /// Pairs of windows, the fast page first.
    pub policies: Vec<BurnPolicy>,
    /// Whether a page needs failures beyond chance, and enough requests to be about clients at all.
    pub low_traffic: bool,
}

/// One policy's look at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it says.
    pub verdict: Verdict,
    /// Counts of the long window.
    pub long: Counts,
    /// Counts of the short window, reaching back where traffic is low.
    pub short: Counts,
}

/// Episodes of one SLO: state to keep between steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episodes {
    /// The open one.
    pub open: Option<Episode>,
    /// How many there were, the open one included.
    pub count: u64,
    /// Up to which minute (exclusive) was judged; earlier steps change nothing.
    pub judged: Option<MinuteId>,
}

/// One stretch of time in which some policy was firing without a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// 1 for the first of the SLO.
    pub number: u64,
    /// When the first policy fired (the end of the minute that was judged).
    pub opened: MinuteId,
    /// The highest severity so far: a downgrade is not forgotten.
    pub severity: Severity,
    /// Ids of the policies that are firing or held.
    pub firing: BTreeSet<String>,
    /// Whether the fast page has fired in it: from then on it can fire again.
    pub fast_fired: bool,
    /// When people were last told.
    pub told: MinuteId,
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An episode began.
    Opened(Notice),
    /// A ticket became a page.
    Upgraded(Notice),
    /// The fast page fired (again) in an episode that had been paged for: notify even if acknowledged.
    Renotified(Notice),
    /// The episode is over, by evidence.
    Resolved {
        /// Its number.
        episode: u64,
        /// Its highest severity.
        severity: Severity,
        /// When it began.
        opened: MinuteId,
        /// When it was over.
        at: MinuteId,
    },
}

/// Why people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Number of the episode.
    pub episode: u64,
    /// When it was judged: the end of the last minute that counted.
    pub at: MinuteId,
    /// How loudly to tell.
    pub severity: Severity,
    /// The policy that is firing.
    pub policy: BurnPolicy,
    /// Burn rate of its long window.
    pub burn: BurnRate,
    /// Counts of its long window.
    pub long: Counts,
    /// Counts of its short window.
    pub short: Counts,
}

impl Rules {
    /// The spec with the policies that follow from its objective and window, and the low-traffic rule on.
    pub fn of(spec: SloSpec) -> Self {
        let policies = policies_for(&spec.objective, spec.window_days());
        Self { spec, policies, low_traffic: true }
    }

    /// The rules of a default SLO.
    pub fn default_of(sli: Sli) -> Self {
        Self::of(SloSpec::default_of(sli))
    }

    /// What `policy` says about the time before `at`.
    pub fn read(&self, series: &Series, policy: &BurnPolicy, at: MinuteId) -> Reading {
        let sum = |minutes: u32| self.spec.sum(series, at.plus(-i64::from(minutes)), at);
        let (long, plain) = (sum(policy.long).counts, sum(policy.short));
        let short = if self.low_traffic { self.reach_back(series, policy, at) } else { plain.counts };
        let fires = self.fires(series, policy, long, short, at);
        let verdict = match BurnRate::of(long, &self.spec.objective).filter(|_| fires) {
            Some(burn) => Verdict::Firing(burn),
            None if is_evidence(&plain) => Verdict::Quiet,
            None => Verdict::Held,
        };
        Reading { verdict, long, short }
    }

    /// Whether `policy` fires at `at`, without what a [`Reading`] says besides: mostly the short window denies it.
    fn is_firing(&self, series: &Series, policy: &BurnPolicy, at: MinuteId) -> bool {
        let sum = |minutes: u32| self.spec.sum(series, at.plus(-i64::from(minutes)), at).counts;
        let is_sliced = self.spec.method != Method::Occurrences;
        if is_sliced && self.needs_bad() && !has_bad(series, at, policy.long) {
            return false;
        }
        let objective = &self.spec.objective;
        let plain = sum(policy.short);
        let reaches_back = self.low_traffic && plain.total < low_traffic::MIN_REQUESTS;
        if !reaches_back && !policy.exceeded_by(plain, objective) {
            return false;
        }
        let long = sum(policy.long);
        if !policy.exceeded_by(long, objective) {
            return false;
        }
        let short = if reaches_back { self.reach_back(series, policy, at) } else { plain };
        self.fires(series, policy, long, short, at)
    }

    /// Whether nothing fires where no request was bad: true of all rules but those that say otherwise by hand.
    fn needs_bad(&self) -> bool {
        let is_slice_within_reach = match self.spec.method {
            Method::Occurrences => true,
            Method::Timeslices(target) => target <= Ratio::ONE,
        };
        let is_negative = |policy: &BurnPolicy| match policy.threshold {
            Threshold::Factor(ratio) | Threshold::BadShare(ratio) => ratio.is_negative(),
        };
        is_slice_within_reach && !self.policies.iter().any(is_negative)
    }

    fn reach_back(&self, series: &Series, policy: &BurnPolicy, at: MinuteId) -> Counts {
        let from = low_traffic::short_from(series, &self.spec, at, policy.short, policy.long);
        self.spec.sum(series, from, at).counts
    }

    fn fires(&self, series: &Series, policy: &BurnPolicy, long: Counts, short: Counts, at: MinuteId) -> bool {
        let objective = &self.spec.objective;
        let exceeded = policy.exceeded_by(long, objective) && policy.exceeded_by(short, objective);
        let guarded = self.low_traffic && policy.severity == Severity::Page;
        exceeded && (!guarded || (low_traffic::is_unlikely(long, objective) && !self.is_sparse(series, at)))
    }

    fn is_sparse(&self, series: &Series, at: MinuteId) -> bool {
        let whole = rolling(at, self.spec.window_days());
        low_traffic::is_sparse(&series.sum(whole.from, whole.to))
    }
}

impl Episodes {
    /// Judges the minutes before `at`, once: a step that is not later than the last one changes nothing.
    pub fn step(&mut self, series: &Series, rules: &Rules, at: MinuteId) -> Option<Change> {
        if self.judged.is_some_and(|judged| at <= judged) {
            return None;
        }
        self.judged = Some(at);
        let fires = |policy: &BurnPolicy| rules.is_firing(series, policy, at);
        if self.open.is_none() && !rules.policies.iter().any(fires) {
            return None;
        }
        let readings: Vec<_> =
            rules.policies.iter().map(|policy| (policy, rules.read(series, policy, at))).collect();
        match self.open.take() {
            None => self.open(&readings, at),
            Some(episode) => self.go_on(episode, &readings, at),
        }
    }

    /// Whether an alert is firing.
    pub fn is_firing(&self) -> bool {
        self.open.is_some()
    }

    fn open(&mut self, readings: &[(&BurnPolicy, Reading)], at: MinuteId) -> Option<Change> {
        let loudest = loudest(readings)?;
        self.count += 1;
        let firing = readings
            .iter()
            .filter(|(_, reading)| reading.is_firing())
            .map(|(policy, _)| policy.id())
            .collect();
        let fast_fired = fast_page(readings).is_some_and(|(_, fast)| fast.is_firing());
        let severity = loudest.0.severity;
        let episode = Episode { number: self.count, opened: at, severity, firing, fast_fired, told: at };
        let notice = notice(&episode, loudest, at);
        self.open = Some(episode);
        Some(Change::Opened(notice))
    }

    fn go_on(
        &mut self,
        mut episode: Episode,
        readings: &[(&BurnPolicy, Reading)],
        at: MinuteId,
    ) -> Option<Change> {
        let was_firing = std::mem::take(&mut episode.firing);
        episode.firing = still_firing(&was_firing, readings);
        if episode.firing.is_empty() {
            let Episode { number, severity, opened, .. } = episode;
            return Some(Change::Resolved { episode: number, severity, opened, at });
        }
        let change = louder(&mut episode, &was_firing, readings, at);
        episode.told = change.as_ref().map_or(episode.told, |_| at);
        self.open = Some(episode);
        change
    }
}

impl Episode {
    /// The severity of what is firing now: under [`Episode::severity`] after a downgrade.
    pub fn severity_now(&self, policies: &[BurnPolicy]) -> Option<Severity> {
        policies
            .iter()
            .filter(|policy| self.firing.contains(&policy.id()))
            .map(|policy| policy.severity)
            .max()
    }
}

impl Reading {
    fn is_firing(&self) -> bool {
        matches!(self.verdict, Verdict::Firing(_))
    }
}

impl Change {
    /// Why people are told, unless it is over.
    pub fn notice(&self) -> Option<&Notice> {
        match self {
            Self::Opened(notice) | Self::Upgraded(notice) | Self::Renotified(notice) => Some(notice),
            Self::Resolved { .. } => None,
        }
    }
}

/// Whether a request was bad in so many minutes before `at`, however the SLO counts.
fn has_bad(series: &Series, at: MinuteId, minutes: u32) -> bool {
    series.sum(at.plus(-i64::from(minutes)), at).counts.bad > 0
}

/// A window says something when it has requests and was measured for at least half.
fn is_evidence(sum: &WindowSum) -> bool {
    sum.counts.total > 0 && sum.unmeasured <= sum.measured()
}

/// Ids of the policies that are firing, or were and have no evidence to the contrary. A policy that was taken out of the
/// rules fires no more.
fn still_firing(was_firing: &BTreeSet<String>, readings: &[(&BurnPolicy, Reading)]) -> BTreeSet<String> {
    let fires = |(policy, reading): &(&BurnPolicy, Reading)| match reading.verdict {
        Verdict::Firing(_) => Some(policy.id()),
        Verdict::Held => was_firing.get(&policy.id()).cloned(),
        Verdict::Quiet => None,
    };
    readings.iter().filter_map(fires).collect()
}

/// Why to tell people anew in an open episode: a ticket became a page, or the fast page fires again, or for the first time
/// after the slow one has paged. Neither pages again for what the other has paged: when both come true within the fast
/// page's short window (a young service has no six hours to dilute an outage in), that is one page.
fn louder(
    episode: &mut Episode,
    was_firing: &BTreeSet<String>,
    readings: &[(&BurnPolicy, Reading)],
    at: MinuteId,
) -> Option<Change> {
    let loudest = loudest(readings)?;
    let fast = fast_page(readings).filter(|(_, fast)| fast.is_firing());
    let fired_before = episode.fast_fired;
    episode.fast_fired |= fast.is_some();
    if loudest.0.severity > episode.severity {
        episode.severity = loudest.0.severity;
        return Some(Change::Upgraded(notice(episode, loudest, at)));
    }
    let (policy, _) = fast.filter(|(policy, _)| !was_firing.contains(&policy.id()))?;
    let news = fired_before || at > episode.told.plus(i64::from(policy.short));
    fast.filter(|_| news).map(|fast| Change::Renotified(notice(episode, fast, at)))
}

/// The page with the shortest windows.
fn fast_page<'a, 'b>(readings: &'a [(&'b BurnPolicy, Reading)]) -> Option<&'a (&'b BurnPolicy, Reading)> {
    let pages = readings.iter().filter(|(policy, _)| policy.severity == Severity::Page);
    pages.min_by_key(|(policy, _)| policy.long)
}

/// The firing policy of the highest severity, the fastest of several.
fn loudest<'a, 'b>(readings: &'a [(&'b BurnPolicy, Reading)]) -> Option<&'a (&'b BurnPolicy, Reading)> {
    let firing = readings.iter().filter(|(_, reading)| reading.is_firing());
    firing.min_by_key(|(policy, _)| (std::cmp::Reverse(policy.severity), policy.long))
}

fn notice(episode: &Episode, (policy, reading): &(&BurnPolicy, Reading), at: MinuteId) -> Notice {
    let burn = match reading.verdict {
        Verdict::Firing(burn) => burn,
        Verdict::Quiet | Verdict::Held => BurnRate(Ratio::ZERO),
    };
    let Reading { long, short, .. } = *reading;
    Notice {
        episode: episode.number,
        at,
        severity: policy.severity,
        policy: (*policy).clone(),
        burn,
        long,
        short,
    }
}
