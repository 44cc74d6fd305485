//! Judging that takes short cuts against judging that takes none, and looking rarely against looking every minute.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use slo::burn::BurnRate;
use slo::counts::{Counts, MinuteId, Sli};
use slo::episode::{Change, Episode, Episodes, Notice, Rules, Verdict};
use slo::low_traffic;
use slo::objective::{Method, Objective, SloSpec};
use slo::policy::{BurnPolicy, Severity, Threshold};
use slo::ratio::Ratio;
use slo::series::{Minute, Series};
use slo::window::{Window, rolling};

fn spec(percent: &str, days: u32) -> SloSpec {
    let objective = Objective::parse(percent).unwrap();
    SloSpec { objective, window: Window::Rolling { days }, ..SloSpec::default_of(Sli::Availability) }
}

/// Windows of minutes instead of hours, so that much happens in a short story.
fn small(percent: &str, method: Method, low_traffic: bool) -> Rules {
    let spec = SloSpec { method, ..spec(percent, 1) };
    let policy = |severity, factor, long, short| {
        BurnPolicy::with_factor(&spec.objective, severity, Ratio::new(factor, 10), long, short, 1).unwrap()
    };
    let policies = vec![
        policy(Severity::Page, 80, 12, 2),
        policy(Severity::Page, 40, 60, 5),
        policy(Severity::Ticket, 20, 150, 15),
        policy(Severity::Ticket, 7, 400, 40),
    ];
    Rules { spec, policies, low_traffic }
}

/// Rules that a human would write, or hardly so.
fn small_rules(pick: usize) -> Rules {
    let slices = Method::Timeslices(Ratio::new(9, 10));
    let by_share = |share: Ratio| {
        let mut rules = small("95", Method::Occurrences, true);
        rules.policies[1].threshold = Threshold::BadShare(share);
        rules
    };
    match pick {
        0 => small("99.9", Method::Occurrences, true),
        1 => small("95", Method::Occurrences, true),
        2 => small("95", Method::Occurrences, false),
        3 => small("99", slices, true),
        4 => small("90", Method::Timeslices(Ratio::new(3, 2)), false),
        5 => by_share(Ratio::new(1, 3)),
        _ => by_share(Ratio::new(-1, 3)),
    }
}

/// So many minutes alike.
fn stretch(longest: i64) -> impl Strategy<Value = (i64, Minute)> {
    let counts =
        (1_u64..6, 0_u64..6).prop_map(|(total, bad)| Counts { total, bad: bad.min(total), excluded: 0 });
    let good = (1_u64..50).prop_map(|total| Counts { total, bad: 0, excluded: 1 });
    let length = prop_oneof![1_i64..3, 1_i64..longest];
    prop_oneof![
        5 => (1_i64..longest).prop_map(|length| (length, Minute::IDLE)),
        3 => (1_i64..3, counts).prop_map(|(length, counts)| (length, Minute::Read(counts))),
        2 => (length, good).prop_map(|(length, counts)| (length, Minute::Read(counts))),
        1 => (1_i64..20).prop_map(|length| (length, Minute::Unmeasured)),
        1 => (1_i64..9).prop_map(|length| (length, Minute::Excluded)),
        1 => (1_i64..9, counts_of_part()).prop_map(|(length, counts)| (length, Minute::Partial(counts))),
    ]
}

fn counts_of_part() -> impl Strategy<Value = Counts> {
    (0_u64..4, 0_u64..3).prop_map(|(total, bad)| Counts { total, bad: bad.min(total), excluded: 0 })
}

fn minutes(stretches: Vec<(i64, Minute)>) -> Vec<Minute> {
    stretches.into_iter().flat_map(|(length, minute)| (0..length).map(move |_| minute)).collect()
}

/// Three watchers of one series: without short cuts, with them, and only when there is something to see.
fn watch(rules: &Rules, minutes: &[Minute], foreseen: bool) -> (usize, Vec<i64>) {
    let mut series = Series::new();
    if foreseen {
        (0..).zip(minutes).for_each(|(id, &minute)| series.set(MinuteId(id), minute));
    }
    let [mut plain, mut quick, mut rare] = [(); 3].map(|()| Episodes::default());
    let (mut looks, mut looked, mut changes) = (0, MinuteId(0), vec![]);
    for (id, &minute) in (0..).zip(minutes) {
        let at = MinuteId(id + 1);
        if minute == Minute::IDLE {
            series.read_until(at);
        } else {
            series.set(MinuteId(id), minute);
        }
        let want = step(&mut plain, &series, rules, at);
        assert_eq!(quick.step(&series, rules, at), want, "at {at:?}");
        assert_eq!(quick, plain, "at {at:?}");
        changes.extend(want.as_ref().map(|_| at.0));
        if rare.next_look(&series, rules, looked).is_some_and(|next| next <= at) {
            assert_eq!(rare.step(&series, rules, at), want, "at {at:?}");
            (looks, looked) = (looks + 1, at);
        } else {
            assert_eq!(want, None, "at {at:?} nobody looked");
        }
        assert_eq!((&rare.open, rare.count), (&plain.open, plain.count), "at {at:?}");
    }
    (looks, changes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn short_cuts_and_rare_looks_change_nothing(stretches in prop::collection::vec(stretch(90), 1..30), pick in 0_usize..7, foreseen in any::<bool>()) {
        watch(&small_rules(pick), &minutes(stretches), foreseen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn nor_do_they_with_windows_of_days(stretches in prop::collection::vec(stretch(700), 1..16), pick in 0_usize..4, foreseen in any::<bool>()) {
        let slices = || SloSpec { method: Method::Timeslices(Ratio::new(95, 100)), ..spec("99", 30) };
        let rules = match pick {
            0 => Rules::default_of(Sli::Availability),
            1 => Rules::default_of(Sli::Latency),
            2 => Rules::of(slices()),
            _ => Rules::of(spec("99.5", 7)),
        };
        watch(&rules, &minutes(stretches), foreseen);
    }

    #[test]
    fn a_window_is_exceeded_by_products_as_by_fractions(total in prop_oneof![0_u64..2000, any::<u64>()], bad in prop_oneof![0_u64..50, any::<u64>()], pick in 0_usize..7, long in "[1-9][0-9]{0,2}[.][0-9]{0,19}1") {
        let mut rules = small_rules(pick);
        rules.policies[0].threshold = Threshold::Factor(Ratio::parse_decimal(&long).unwrap());
        let counts = Counts { total, bad, excluded: 0 };
        for policy in &rules.policies {
            let want = exceeded(policy, counts, &rules.spec.objective);
            prop_assert_eq!(policy.exceeded_by(counts, &rules.spec.objective), want);
        }
    }
}

#[test]
fn who_has_nothing_to_see_does_not_look() {
    let rules = Rules::default_of(Sli::Availability);
    let good = Minute::Read(Counts { total: 9, bad: 0, excluded: 0 });
    let bad = Minute::Read(Counts { total: 9, bad: 9, excluded: 0 });
    assert_eq!(watch(&rules, &[good; 3000], true), (0, vec![]));
    let mut story = vec![Minute::IDLE; 2000];
    story[0] = good;
    story[1000] = bad;
    // Once to open, and whenever a minute leaves one of the windows.
    assert!(watch(&rules, &story, true).0 < 400);
    let mut series = Series::new();
    series.set(MinuteId(5), bad);
    assert_eq!(Episodes::default().next_look(&series, &rules, MinuteId(2)), Some(MinuteId(6)));
    series.read_until(MinuteId(50_000));
    assert_eq!(Episodes::default().next_look(&series, &rules, MinuteId(40_000)), None);
}

/// Idle minutes, except those that are named.
fn idle_but(length: usize, minutes: &[(usize, Minute)]) -> Vec<Minute> {
    let mut story = vec![Minute::IDLE; length];
    minutes.iter().for_each(|&(at, minute)| story[at] = minute);
    story
}

#[track_caller]
fn changes(rules: &Rules, story: &[Minute], want: &[i64]) {
    for foreseen in [false, true] {
        assert_eq!(watch(rules, story, foreseen).1, want);
    }
}

#[test]
fn an_episode_that_idle_minutes_alone_end_is_looked_at_in_time() {
    let read = |total, bad| Minute::Read(Counts { total, bad, excluded: 0 });
    // Of 18 minutes nothing is known; after as many that are, the window of 40 is evidence.
    let unmeasured = (0..18).map(|at| (at, Minute::Unmeasured));
    let minutes: Vec<_> = unmeasured.chain([(18, read(10, 10)), (19, read(10_000, 0))]).collect();
    changes(&small_rules(1), &idle_but(60, &minutes), &[19, 36]);
    // Under one request in two hours nobody is paged: five are too few for 601 minutes …
    let mut rules = small("99.9", Method::Occurrences, true);
    let page = |long, short| {
        let (objective, factor) = (rules.spec.objective, Ratio::from(2));
        BurnPolicy::with_factor(&objective, Severity::Page, factor, long, short, 1).unwrap()
    };
    let [narrow, wide] = [page(1200, 310), page(1200, 1000)];
    rules.policies = vec![narrow];
    changes(&rules, &idle_but(1000, &[(0, read(1, 0)), (350, read(4, 4))]), &[351, 601]);
    // … and eight are for the day that five others have just left.
    rules.policies = vec![wide];
    changes(&rules, &idle_but(1600, &[(0, read(5, 0)), (900, read(8, 8))]), &[901, 1441]);
}

#[test]
fn the_next_bad_minute_is_found_in_open_and_packed_hours() {
    let mut series = Series::new();
    for id in -3000..6000 {
        let bad = u64::from(id == -2881 || id == 61 || id == 5000);
        series.set(MinuteId(id), Minute::Read(Counts { total: 3, bad, excluded: 0 }));
    }
    for packed in [-9000, 100, 9000] {
        series.pack_before(MinuteId(packed));
        let next = |from| series.next_bad(MinuteId(from)).map(|id| id.0);
        assert_eq!(
            [-9999, -2881, -2880, 61, 62, 5000, 5001].map(next),
            [-2881, -2881, 61, 61, 5000, 5000].map(Some).into_iter().chain([None]).collect::<Vec<_>>()[..]
        );
    }
}

/// What one policy says, as it was computed before anything was cut short.
struct Read {
    verdict: Verdict,
    long: Counts,
    short: Counts,
}

type Reads<'a> = [(&'a BurnPolicy, Read)];

fn read(rules: &Rules, series: &Series, policy: &BurnPolicy, at: MinuteId) -> Read {
    let (spec, objective) = (&rules.spec, &rules.spec.objective);
    let sum = |minutes: u32| spec.sum(series, at.plus(-i64::from(minutes)), at);
    let (long, plain) = (sum(policy.long).counts, sum(policy.short));
    let reach_back = || {
        let from = low_traffic::short_from(series, spec, at, policy.short, policy.long);
        spec.sum(series, from, at).counts
    };
    let short = if rules.low_traffic { reach_back() } else { plain.counts };
    let exceeded = exceeded(policy, long, objective) && exceeded(policy, short, objective);
    let guarded = rules.low_traffic && policy.severity == Severity::Page;
    let is_sparse = || {
        let whole = rolling(at, spec.window_days());
        low_traffic::is_sparse(&series.sum(whole.from, whole.to))
    };
    let fires = exceeded && (!guarded || (low_traffic::is_unlikely(long, objective) && !is_sparse()));
    let is_evidence = plain.counts.total > 0 && plain.unmeasured <= plain.measured();
    let verdict = match BurnRate::of(long, objective).filter(|_| fires) {
        Some(burn) => Verdict::Firing(burn),
        None if is_evidence => Verdict::Quiet,
        None => Verdict::Held,
    };
    Read { verdict, long, short }
}

fn is_firing(read: &Read) -> bool {
    matches!(read.verdict, Verdict::Firing(_))
}

fn exceeded(policy: &BurnPolicy, counts: Counts, objective: &Objective) -> bool {
    Ratio::of_counts(counts.bad, counts.total).is_some_and(|share| share > policy.bad_share(objective))
}

fn step(episodes: &mut Episodes, series: &Series, rules: &Rules, at: MinuteId) -> Option<Change> {
    if episodes.judged.is_some_and(|judged| at <= judged) {
        return None;
    }
    episodes.judged = Some(at);
    let reads: Vec<_> =
        rules.policies.iter().map(|policy| (policy, read(rules, series, policy, at))).collect();
    match episodes.open.take() {
        None => open(episodes, &reads, at),
        Some(episode) => go_on(episodes, episode, &reads, at),
    }
}

fn open(episodes: &mut Episodes, reads: &Reads<'_>, at: MinuteId) -> Option<Change> {
    let loudest = loudest(reads)?;
    episodes.count += 1;
    let firing =
        reads.iter().filter(|(_, reading)| is_firing(reading)).map(|(policy, _)| policy.id()).collect();
    let fast_fired = fast_page(reads).is_some_and(|(_, fast)| is_firing(fast));
    let severity = loudest.0.severity;
    let episode = Episode { number: episodes.count, opened: at, severity, firing, fast_fired, told: at };
    let notice = notice(&episode, loudest, at);
    episodes.open = Some(episode);
    Some(Change::Opened(notice))
}

fn go_on(episodes: &mut Episodes, mut episode: Episode, reads: &Reads<'_>, at: MinuteId) -> Option<Change> {
    let was_firing = std::mem::take(&mut episode.firing);
    episode.firing = still_firing(&was_firing, reads);
    if episode.firing.is_empty() {
        let Episode { number, severity, opened, .. } = episode;
        return Some(Change::Resolved { episode: number, severity, opened, at });
    }
    let change = louder(&mut episode, &was_firing, reads, at);
    episode.told = change.as_ref().map_or(episode.told, |_| at);
    episodes.open = Some(episode);
    change
}

/// Ids of the policies that are firing, or were and have no evidence to the contrary. A policy that was taken out of the
/// rules fires no more.
fn still_firing(was_firing: &BTreeSet<String>, reads: &Reads<'_>) -> BTreeSet<String> {
    let fires = |(policy, reading): &(&BurnPolicy, Read)| match reading.verdict {
        Verdict::Firing(_) => Some(policy.id()),
        Verdict::Held => was_firing.get(&policy.id()).cloned(),
        Verdict::Quiet => None,
    };
    reads.iter().filter_map(fires).collect()
}

/// Why to tell people anew in an open episode: a ticket became a page, or the fast page fires again, or for the first time
/// after the slow one has paged. Neither pages again for what the other has paged: when both come true within the fast
/// page's short window (a young service has no six hours to dilute an outage in), that is one page.
fn louder(
    episode: &mut Episode,
    was_firing: &BTreeSet<String>,
    reads: &Reads<'_>,
    at: MinuteId,
) -> Option<Change> {
    let loudest = loudest(reads)?;
    let fast = fast_page(reads).filter(|(_, fast)| is_firing(fast));
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
fn fast_page<'a, 'b>(reads: &'a Reads<'b>) -> Option<&'a (&'b BurnPolicy, Read)> {
    let pages = reads.iter().filter(|(policy, _)| policy.severity == Severity::Page);
    pages.min_by_key(|(policy, _)| policy.long)
}

/// The firing policy of the highest severity, the fastest of several.
fn loudest<'a, 'b>(reads: &'a Reads<'b>) -> Option<&'a (&'b BurnPolicy, Read)> {
    let firing = reads.iter().filter(|(_, reading)| is_firing(reading));
    firing.min_by_key(|(policy, _)| (std::cmp::Reverse(policy.severity), policy.long))
}

fn notice(episode: &Episode, (policy, reading): &(&BurnPolicy, Read), at: MinuteId) -> Notice {
    let burn = match reading.verdict {
        Verdict::Firing(burn) => burn,
        Verdict::Quiet | Verdict::Held => BurnRate(Ratio::ZERO),
    };
    let Read { long, short, .. } = *reading;
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
