//! The counts in memory: minutes by service, source and SLI, and how far each collector has read. Rebuilt from the
//! store at start, and whenever something is learned that changes which service a row belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slo::counts::{CountRow, Counts as Sum, MinuteId, Origin, ServiceRef, Sli};
use slo::objective::slow_requests;
use slo::series::{Minute, Series};
use slo::sketch::Sketch;

use crate::cluster::{Cluster, Why};
use crate::discovery::{Known, SLIS, Service};
use crate::specs::Specs;

/// Minutes after which a collector that says nothing is no longer expected: its node is gone for good.
pub const FORGET_AFTER_MINUTES: i64 = 24 * 60;

/// Minutes of a time that nobody read which are kept as unmeasured: no window reaches further back.
pub const KEEP_UNMEASURED_MINUTES: i64 = 32 * 24 * 60;

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// What is known of services.
    pub known: Known,
    services: BTreeMap<Service, BTreeMap<Origin, Source>>,
    /// Whom the names of the rows count for.
    resolved: BTreeMap<ServiceRef, Service>,
    /// What the cluster says.
    cluster: Arc<Cluster>,
    /// Services of the cluster that have SLOs and no request yet.
    expected: BTreeMap<Service, Source>,
    /// Some request was counted from the log of an ingress: somebody listens there.
    hears_ingress: bool,
    reach: Reach,
}

/// How far was read.
#[derive(Debug, Default)]
struct Reach {
    /// In the time of the events, everything that there is was read.
    everything: bool,
    /// Who sends each stream.
    owners: BTreeMap<String, String>,
    /// Up to which minute (exclusive) each collector has read; nothing while it has never caught up.
    read_to: BTreeMap<String, MinuteId>,
    /// Up to when (ms since 1970) the archive of each collector that has one is complete.
    archived_to: BTreeMap<String, i64>,
    /// The node that each collector runs on, where it said so.
    nodes: BTreeMap<String, String>,
    /// The minute in which the node of a collector was seen to be gone.
    gone: BTreeMap<String, MinuteId>,
    /// Collectors of which more was learned since the last look, each with the first minute that this may concern.
    moved: BTreeMap<String, MinuteId>,
}

/// What one kind of log says of a service.
#[derive(Debug, Default)]
pub struct Source {
    slis: BTreeMap<Sli, Series>,
    sketches: BTreeMap<i64, Sketch>,
    /// Streams that it was read from, each with the newest minute that it holds.
    streams: BTreeMap<String, MinuteId>,
    /// Minutes in which byte ranges cut through each other.
    torn: BTreeSet<MinuteId>,
    /// Before this minute every state is final until a row or a collector changes it.
    settled: Option<MinuteId>,
}

impl Counts {
    /// Nothing yet; `everything` for the time of the events, in which everything that there is was read.
    pub fn new(known: Known, everything: bool) -> Self {
        Self { known, reach: Reach { everything, ..Reach::default() }, ..Self::default() }
    }

    /// Adds a row that is news.
    pub fn add(&mut self, row: &CountRow, edges_us: &[u64], specs: &Specs, torn: bool) {
        let service = match self.resolved.get(&row.key.service) {
            Some(service) => service.clone(),
            None => {
                let service = self.known.resolve(&row.key.service);
                self.resolved.insert(row.key.service.clone(), service.clone());
                self.expected.remove(&service);
                service
            }
        };
        if row.key.origin == Origin::Ingress && !self.hears_ingress {
            self.hears_ingress = true;
            self.expected.values_mut().for_each(|source| source.settled = None);
        }
        let threshold = specs.threshold_us(&service);
        let source = self.services.entry(service).or_default().entry(row.key.origin).or_default();
        source.add(row, edges_us, threshold);
        if torn {
            source.torn.insert(row.key.minute);
        }
    }

    /// What the cluster says from now on. What was expected goes on being heard.
    pub fn expect(&mut self, cluster: Arc<Cluster>) {
        let mut before = std::mem::take(&mut self.expected);
        for (service, since) in cluster.expected() {
            if !self.services.contains_key(&service) && !self.reach.everything {
                let source = before.remove(&service).unwrap_or_else(|| Source::since(since));
                self.expected.insert(service, source);
            }
        }
        self.cluster = cluster;
    }

    /// Takes other knowledge of services, unless rows would then count for others than they do, or be judged otherwise: then
    /// the counts must be made anew.
    pub fn relearn(&mut self, mut known: Known, before: &Specs, specs: &Specs) -> bool {
        self.resolved.keys().for_each(|name| known.learn(name));
        let stays = |(name, service): (&ServiceRef, &Service)| {
            known.resolve(name) == *service && specs.threshold_us(service) == before.threshold_us(service)
        };
        let stays = self.resolved.iter().all(stays);
        if stays {
            self.known = known;
        }
        stays
    }

    /// Whether a service has requests, or is to have some.
    pub fn has(&self, service: &Service) -> bool {
        self.services.contains_key(service) || self.expected.contains_key(service)
    }

    /// What the cluster says.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Whoever sent a stream last is the one to expect its minutes from.
    pub fn sends(&mut self, collector: &str, stream: &str) {
        let owner = self.reach.owners.get(stream);
        if owner.is_some_and(|owner| owner == collector) {
            return;
        }
        if let Some(owner) = owner {
            self.reach.moved.insert(owner.clone(), MinuteId(i64::MIN));
        }
        self.reach.moved.insert(collector.to_owned(), MinuteId(i64::MIN));
        self.reach.owners.insert(stream.to_owned(), collector.to_owned());
    }

    /// A collector has read everything that ended before `minute`.
    pub fn read(&mut self, collector: &str, minute: MinuteId) {
        if self.reach.everything {
            return;
        }
        let before = self.reach.read_to.get(collector).copied();
        if before.is_none_or(|before| before < minute) {
            let moved = self.reach.moved.entry(collector.to_owned()).or_insert(MinuteId(i64::MAX));
            *moved = before.unwrap_or(MinuteId(i64::MIN)).min(*moved);
            self.reach.read_to.insert(collector.to_owned(), minute);
        }
    }

    /// A collector runs on a node.
    pub fn runs_on(&mut self, collector: &str, node: &str) {
        if self.reach.nodes.get(collector).is_none_or(|known| known != node) {
            self.reach.nodes.insert(collector.to_owned(), node.to_owned());
        }
    }

    /// The node of a collector was seen to be gone at `at`: what it had not read by then stays lacking, and no more.
    pub fn give_up(&mut self, collector: &str, at: MinuteId) {
        let to = self.reach.read_to.get(collector).copied().unwrap_or(MinuteId(i64::MIN));
        let moved = self.reach.moved.entry(collector.to_owned()).or_insert(to);
        *moved = to.min(*moved);
        self.reach.gone.insert(collector.to_owned(), at);
    }

    /// Collectors whose node was there and is not any more, and that are not given up yet. A node that was never listed
    /// says nothing: the list may be an old one, or the collector calls its node otherwise.
    pub fn stranded(&self) -> Vec<String> {
        let is_gone = |node: &String| self.cluster.nodes.get(node).is_some_and(|found| found.gone.is_some());
        let on_none = self.reach.nodes.iter().filter(|(_, node)| is_gone(node));
        let to = |collector: &str| self.reach.read_to.get(collector).copied().unwrap_or(MinuteId(i64::MIN));
        let stranded = on_none.filter(|(collector, _)| !self.reach.is_given_up(collector, to(collector)));
        stranded.map(|(collector, _)| collector.clone()).collect()
    }

    /// Nodes that are ready and for collectors, each with since when, from which nobody is expected to send anything at `now`. None where no
    /// collector says on which node it runs.
    pub fn unread_nodes(&self, now: MinuteId) -> Vec<(&str, MinuteId)> {
        let Reach { nodes, read_to, .. } = &self.reach;
        let is_heard = |collector: &String| {
            read_to.get(collector).is_none_or(|to| {
                to.plus(FORGET_AFTER_MINUTES) >= now && !self.reach.is_given_up(collector, *to)
            })
        };
        let heard: BTreeSet<&String> =
            nodes.iter().filter(|(collector, _)| is_heard(collector)).map(|(_, node)| node).collect();
        let ready = self.cluster.nodes.iter().filter_map(|(node, found)| Some((node, found.ready?)));
        let unread = ready.filter(|(node, _)| !nodes.is_empty() && !heard.contains(node));
        unread.map(|(node, since)| (node.as_str(), since)).collect()
    }

    /// The archive of a collector holds everything that was written before the instant (ms since 1970); nothing where it has
    /// none.
    pub fn archived(&mut self, collector: &str, to_ms: Option<i64>) {
        match to_ms {
            Some(ms) => drop(self.reach.archived_to.insert(collector.to_owned(), ms)),
            None => drop(self.reach.archived_to.remove(collector)),
        }
    }

    /// Up to when (ms since 1970) the archive of each collector is complete that has one and is expected at `now`.
    pub fn archives(&self, now: MinuteId) -> BTreeMap<&str, i64> {
        let archived = |(collector, _)| Some((collector, *self.reach.archived_to.get(collector)?));
        self.collectors(now).filter_map(archived).collect()
    }

    /// Gives every minute before `now` (exclusive) its state: read where every expected collector has passed it, else
    /// partial or unmeasured.
    pub fn settle(&mut self, now: MinuteId) {
        for source in self.services.values_mut().flat_map(BTreeMap::values_mut) {
            let collectors = source.collectors(&self.reach);
            source.settle(&self.reach, &collectors, now);
        }
        for (service, source) in &mut self.expected {
            let is_routed =
                self.cluster.get(service).is_some_and(|found| matches!(found.why, Why::Ingress(_)));
            // Its first request may come by any of them, unless nobody reads what the ingress writes.
            let is_heard = self.hears_ingress || !is_routed;
            let all = self.reach.read_to.iter().filter(|_| is_heard);
            let all = all.map(|(collector, to)| (collector.as_str(), *to)).collect();
            source.settle(&self.reach, &all, now);
        }
        self.reach.moved.clear();
    }

    /// Services that have SLOs, by name: those of which requests were counted, and those of which they are expected.
    pub fn services(&self) -> impl Iterator<Item = (&Service, Origin, &Source)> {
        let expected = self.expected.iter().map(|(service, source)| (service, Origin::Ingress, source));
        let mut services: Vec<_> = self.judged().chain(expected).collect();
        services.sort_by_key(|(service, ..)| *service);
        services.into_iter()
    }

    /// Services that have SLOs, by name, of which requests were counted.
    pub fn judged(&self) -> impl Iterator<Item = (&Service, Origin, &Source)> {
        self.counted().filter(|(service, ..)| !self.cluster.is_excluded(service))
    }

    /// All services of which requests were counted, each with the source that its SLOs are counted from: the ingress where it
    /// routes to the service, else the application's own log; never both.
    pub fn counted(&self) -> impl Iterator<Item = (&Service, Origin, &Source)> {
        self.services.iter().filter_map(|(service, sources)| {
            sources.first_key_value().map(|(origin, source)| (service, *origin, source))
        })
    }

    /// One service's source.
    pub fn service(&self, service: &Service) -> Option<(Origin, &Source)> {
        self.services.get(service)?.first_key_value().map(|(origin, source)| (*origin, source))
    }

    /// The first minute that has a count.
    pub fn first(&self) -> Option<MinuteId> {
        self.all_series().filter_map(Series::first).min()
    }

    /// The first minute that a service with SLOs has.
    pub fn first_expected(&self) -> Option<MinuteId> {
        let expected = self.expected.values().flat_map(|source| source.slis.values());
        expected.filter_map(Series::first).chain(self.first()).min()
    }

    /// Collectors that are expected at `now`, each with the minute (exclusive) up to which it has read. The one that has
    /// read furthest is never given up: without it nobody measures anything.
    pub fn collectors(&self, now: MinuteId) -> impl Iterator<Item = (&str, MinuteId)> {
        let furthest = self.read_to();
        let known = self.reach.read_to.iter().map(|(collector, minute)| (collector.as_str(), *minute));
        known.filter(move |(collector, minute)| {
            let is_given_up = self.reach.is_given_up(collector, *minute);
            minute.plus(FORGET_AFTER_MINUTES) >= now && !is_given_up || Some(*minute) == furthest
        })
    }

    /// Whether some collector that is expected at `now` has not said yet how far it has read.
    pub fn lacks_word(&self, now: MinuteId) -> bool {
        let sources = self.services.values().flat_map(BTreeMap::values);
        let recent = sources.flat_map(|source| source.collectors(&self.reach));
        !self.reach.everything
            && recent.into_iter().any(|(collector, to)| {
                to.plus(FORGET_AFTER_MINUTES) >= now && !self.reach.read_to.contains_key(collector)
            })
    }

    /// The first minute from `from` on that is not idle for some service.
    pub fn next_busy(&self, from: MinuteId) -> Option<MinuteId> {
        let series = self.all_series();
        series.filter_map(|series| series.busy(from, series.end()?).next().map(|(minute, _)| minute)).min()
    }

    /// Whether more than one request in a hundred ended after `minute`.
    pub fn is_mostly_after(&self, minute: MinuteId) -> bool {
        let all = self.services.values().flat_map(BTreeMap::values);
        let series = all.filter_map(|source| source.slis.get(&Sli::Availability));
        let (mut total, mut after) = (0, 0);
        for series in series {
            let Some((first, end)) = series.first().zip(series.end()) else { continue };
            total += series.sum(first, end).counts.total;
            after += series.sum(minute.plus(1), end).counts.total;
        }
        after * 100 > total
    }

    /// The last minute up to `to` that is not idle for some service.
    pub fn last_busy(&self, to: MinuteId) -> Option<MinuteId> {
        self.all_series()
            .filter_map(|series| series.busy(series.first()?, to.plus(1)).next_back())
            .map(|(minute, _)| minute)
            .max()
    }

    /// Up to which minute (exclusive) the furthest collector has read.
    pub fn read_to(&self) -> Option<MinuteId> {
        self.reach.read_to.values().max().copied()
    }

    /// Minutes of every SLI of every source, also of those that are only a cross-check.
    fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.services.values().flat_map(BTreeMap::values).flat_map(|source| source.slis.values())
    }
}

impl Source {
    /// Without a request since a minute.
    fn since(minute: MinuteId) -> Self {
        let mut source = Self::default();
        for sli in SLIS {
            source.slis.entry(sli).or_default().set(minute, Minute::IDLE);
        }
        source
    }

    /// Minutes of an SLI; nothing where the log has none (a format without durations).
    pub fn series(&self, sli: Sli) -> Option<&Series> {
        self.slis.get(&sli)
    }

    /// Latencies of `[from, to)`, by whole hours; for display.
    pub fn sketch(&self, from: MinuteId, to: MinuteId) -> Sketch {
        let mut sum = Sketch::default();
        for (_, sketch) in self.sketches.range(from.0.div_euclid(60)..=(to.0 - 1).div_euclid(60)) {
            sum.merge(sketch);
        }
        sum
    }

    fn add(&mut self, row: &CountRow, edges_us: &[u64], threshold_us: u64) {
        let mut counts = row.counts;
        if row.key.sli == Sli::Latency {
            counts.bad = slow_requests(edges_us, &row.ladder, threshold_us).unwrap_or(counts.bad);
            self.sketches.entry(row.key.minute.0.div_euclid(60)).or_default().merge(&row.sketch);
        }
        let series = self.slis.entry(row.key.sli).or_default();
        let mut sum = series.get(row.key.minute).map_or(Sum::default(), Minute::counts);
        sum += counts;
        series.set(row.key.minute, Minute::Read(sum));
        self.reach_to(&row.key.stream, row.key.minute);
    }

    /// A stream holds a minute; what a stream that is new here may lack begins anywhere.
    fn reach_to(&mut self, stream: &str, minute: MinuteId) {
        let concerns = match self.streams.get_mut(stream) {
            Some(newest) => std::mem::replace(newest, minute.max(*newest)).min(minute),
            None => {
                self.streams.insert(stream.to_owned(), minute);
                MinuteId(i64::MIN)
            }
        };
        self.settled = self.settled.map(|settled| settled.min(concerns));
    }

    fn settle(&mut self, reach: &Reach, collectors: &BTreeMap<&str, MinuteId>, now: MinuteId) {
        let concerns = collectors.keys().filter_map(|collector| reach.moved.get(*collector)).min().copied();
        self.settled = self.settled.map(|settled| concerns.map_or(settled, |minute| minute.min(settled)));
        let gaps = if reach.everything { Vec::new() } else { reach.gaps(collectors, now) };
        let furthest = gaps.first().map_or(now, |(furthest, _)| *furthest);
        for series in self.slis.values_mut() {
            let Some(first) = series.first() else { continue };
            let from = self.settled.unwrap_or(first).max(first);
            mark_read(series, from, now, &self.torn);
            for &(start, end) in &gaps {
                for minute in (start.max(from).0..end.min(now).0).map(MinuteId) {
                    series.set(minute, missing(series.get(minute), minute < furthest));
                }
            }
        }
        self.settled = Some(now);
    }

    /// Whom minutes are expected from, each with how far it has read. One that has never caught up is taken to have read
    /// what came before the newest minute that it sent.
    fn collectors<'a>(&self, reach: &'a Reach) -> BTreeMap<&'a str, MinuteId> {
        let mut collectors = BTreeMap::new();
        for (stream, newest) in &self.streams {
            let Some(owner) = reach.owners.get(stream) else { continue };
            let sent_to = collectors.entry(owner.as_str()).or_insert(*newest);
            *sent_to = (*sent_to).max(*newest);
        }
        for (collector, to) in &mut collectors {
            *to = reach.read_to.get(*collector).copied().unwrap_or(*to);
        }
        collectors
    }
}

impl Reach {
    /// Whether a collector that has read to `to` is not expected any more, because its node was seen to be gone since.
    fn is_given_up(&self, collector: &str, to: MinuteId) -> bool {
        self.gone.get(collector).is_some_and(|gone| *gone >= to)
    }

    /// Spans that somebody has not read: first the one that nobody has, then for each collector what lies behind it, until
    /// it is given up for those that went on. (What it lacked until then stays lacking: no data is never good.)
    fn gaps(&self, collectors: &BTreeMap<&str, MinuteId>, now: MinuteId) -> Vec<(MinuteId, MinuteId)> {
        let furthest = collectors.values().max().copied().unwrap_or(MinuteId(i64::MIN));
        let nobody = (furthest.max(now.plus(-KEEP_UNMEASURED_MINUTES)), now);
        let behind = collectors.iter().map(|(collector, &to)| {
            let gone = self.gone.get(*collector).copied().filter(|gone| *gone >= to);
            let until = to.plus(FORGET_AFTER_MINUTES);
            (to, gone.map_or(until, |gone| gone.min(until)).min(furthest))
        });
        std::iter::once(nobody).chain(behind).collect()
    }
}

/// Minutes of `[from, to)` were read, but for those in which byte ranges cut through each other.
fn mark_read(series: &mut Series, from: MinuteId, to: MinuteId, torn: &BTreeSet<MinuteId>) {
    series.read_until(to);
    let states: Vec<(MinuteId, Minute)> = series.busy(from, to).collect();
    for (id, minute) in states {
        let counts = minute.counts();
        let state = if torn.contains(&id) { Minute::Partial(counts) } else { Minute::Read(counts) };
        if state != minute {
            series.set(id, state);
        }
    }
}

/// A minute that some expected collector has not passed: what was read of it counts, the rest is missing.
fn missing(known: Option<Minute>, some_passed: bool) -> Minute {
    let counts = known.map_or(Sum::default(), Minute::counts);
    if some_passed || counts != Sum::default() { Minute::Partial(counts) } else { Minute::Unmeasured }
}
