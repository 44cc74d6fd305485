//! The counts in memory: minutes by service, source and SLI, and how far each collector has read. A clone shares what does
//! not change, so that readers have one of their own while the writer goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slo::cells::HourBlock;
use slo::counts::{CountRow, Counts as Sum, CountsRequest, MinuteId, Origin, RowKey, ServiceRef, Sli};
use slo::objective::slow_requests;
use slo::series::Series;

use crate::cluster::{Cluster, Why};
use crate::discovery::{Known, Service};
use crate::specs::Specs;
use crate::store::counts::{StoredCollector, StoredRow};

mod reach;
mod source;

use reach::{Collector, Reach};
use source::Delta;
pub use source::Source;

/// Minutes after which a collector that says nothing is no longer expected: its node is gone for good.
pub const FORGET_AFTER_MINUTES: i64 = 24 * 60;

/// Minutes of a time that nobody read which are kept as unmeasured: no window reaches further back.
pub const KEEP_UNMEASURED_MINUTES: i64 = 32 * 24 * 60;

type Sources = BTreeMap<Origin, Arc<Source>>;

/// Everything that is counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// What is known of services.
    pub known: Arc<Known>,
    services: Arc<BTreeMap<Service, Sources>>,
    /// Whom the names of the rows count for.
    resolved: Arc<BTreeMap<ServiceRef, Service>>,
    /// What the cluster says.
    cluster: Arc<Cluster>,
    /// Services of the cluster that have SLOs and no request yet.
    expected: BTreeMap<Service, Arc<Source>>,
    /// Some request was counted from the log of an ingress: somebody listens there.
    hears_ingress: bool,
    reach: Arc<Reach>,
    /// What lies before this minute was forgotten.
    kept_from: Option<MinuteId>,
}

impl Counts {
    /// Nothing yet; `everything` for the time of the events, in which everything that there is was read.
    pub fn new(known: Known, everything: bool) -> Self {
        let reach = Arc::new(Reach::new(everything));
        Self { known: Arc::new(known), reach, ..Self::default() }
    }

    /// Adds a row that is news.
    pub fn add(&mut self, row: &CountRow, edges_us: &[u64], specs: &Specs, torn: bool) {
        let stored = StoredRow { row: row.clone(), edges_us: edges_us.to_vec(), partial: torn };
        self.change(&row.key, &[], &[stored], specs);
    }

    /// Puts rows of a key in place of others.
    pub fn change(&mut self, key: &RowKey, before: &[StoredRow], after: &[StoredRow], specs: &Specs) {
        let service = self.service_of(&key.service, key.origin);
        let threshold = specs.threshold_us(&service);
        let mut delta = Delta { torn: after.iter().any(|row| row.partial), ..Delta::default() };
        for stored in before {
            delta.before += judged(&stored.row, &stored.edges_us, threshold);
            delta.sketch_before.merge(&stored.row.sketch);
        }
        for stored in after {
            delta.after += judged(&stored.row, &stored.edges_us, threshold);
            delta.sketch_after.merge(&stored.row.sketch);
        }
        let stream = self.stream(&key.stream);
        let reach = self.reach.clone();
        let source = self.source(service, key.origin);
        source.change(key.sli, key.minute, &delta);
        source.reach_to(stream, key.minute, &reach);
    }

    /// Adds the cells of an hour.
    pub fn add_cells(&mut self, block: HourBlock, specs: &Specs) {
        for (key, hour) in block.series {
            let service = self.service_of(&key.service, key.origin);
            let threshold = specs.threshold_us(&service);
            let streams: Vec<_> =
                hour.streams.iter().map(|(name, share)| (self.stream(name), share.newest)).collect();
            let reach = self.reach.clone();
            let source = self.source(service, key.origin);
            let mut sketch = hour.sketch;
            for (minute, cell) in hour.minutes {
                let mut after = cell.counts;
                if key.sli == Sli::Latency {
                    after.bad = slow_requests(&key.edges_us, &cell.ladder, threshold).unwrap_or(after.bad);
                }
                let sketch_after = std::mem::take(&mut sketch);
                let delta = Delta { after, sketch_after, torn: cell.partial, ..Delta::default() };
                source.change(key.sli, minute, &delta);
            }
            streams.into_iter().for_each(|(stream, newest)| source.reach_to(stream, newest, &reach));
        }
    }

    /// Packs hours before one: nothing more of them is to come soon.
    pub fn pack_to(&mut self, hour: i64) {
        for source in Arc::make_mut(&mut self.services).values_mut().flat_map(BTreeMap::values_mut) {
            Arc::make_mut(source).pack_to(hour);
        }
    }

    fn service_of(&mut self, name: &ServiceRef, origin: Origin) -> Service {
        if origin == Origin::Ingress && !self.hears_ingress {
            self.hears_ingress = true;
            self.expected.values_mut().for_each(|source| Arc::make_mut(source).unsettle());
        }
        if let Some(service) = self.resolved.get(name) {
            return service.clone();
        }
        let service = self.known.resolve(name);
        Arc::make_mut(&mut self.resolved).insert(name.clone(), service.clone());
        self.expected.remove(&service);
        service
    }

    fn stream(&mut self, name: &str) -> reach::Id {
        self.reach.known(name).unwrap_or_else(|| Arc::make_mut(&mut self.reach).stream(name))
    }

    fn source(&mut self, service: Service, origin: Origin) -> &mut Source {
        let services = Arc::make_mut(&mut self.services);
        Arc::make_mut(services.entry(service).or_default().entry(origin).or_default())
    }

    /// What the cluster says from now on. What was expected goes on being heard.
    pub fn expect(&mut self, cluster: Arc<Cluster>) {
        let mut before = std::mem::take(&mut self.expected);
        for (service, since) in cluster.expected() {
            if !self.services.contains_key(&service) && !self.reach.everything {
                let source = before.remove(&service).unwrap_or_else(|| {
                    let since = self.kept_from.map_or(since, |kept| kept.max(since));
                    Arc::new(Source::since(since))
                });
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
            self.known = Arc::new(known);
        }
        stays
    }

    /// Learns names from a request; false where rows that are counted would then count for others.
    pub fn learn(&mut self, request: &CountsRequest, specs: &Specs) -> bool {
        let namespaces = request.streams.iter().filter_map(|report| report.namespace.as_ref());
        let mut namespaces = namespaces.filter(|name| !self.known.namespaces.contains(*name)).peekable();
        let is_news = request.rows.iter().any(|row| self.known.is_news(&row.key.service));
        if namespaces.peek().is_none() && !is_news {
            return true;
        }
        let mut known = (*self.known).clone();
        known.namespaces.extend(namespaces.cloned());
        request.rows.iter().for_each(|row| known.learn(&row.key.service));
        self.relearn(known, specs, specs)
    }

    /// Services that the log alone knows: discovery does not.
    pub fn unknown_services(&self) -> usize {
        let named = |service: &&Service| !matches!(service, Service::Unattributed);
        let all = self.services.keys().filter(named);
        all.filter(|service| self.cluster.get(service).is_none()).count()
    }

    /// Whether rows of a name count for a service that has some already, or that discovery knows.
    pub fn is_familiar(&self, name: &ServiceRef) -> bool {
        if self.resolved.contains_key(name) {
            return true;
        }
        let service = self.known.resolve(name);
        service == Service::Unattributed
            || self.services.contains_key(&service)
            || self.cluster.get(&service).is_some()
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
        if !self.reach.is_sent_by(stream, collector) {
            Arc::make_mut(&mut self.reach).sends(collector, stream);
        }
    }

    /// A collector has read everything that ended before `minute`.
    pub fn read(&mut self, collector: &str, minute: MinuteId) {
        if !self.reach.everything {
            Arc::make_mut(&mut self.reach).collector(collector).has_read(minute);
        }
    }

    /// The archive of a collector holds everything that was written before the instant (ms since 1970); nothing where it has
    /// none.
    pub fn archived(&mut self, collector: &str, to_ms: Option<i64>) {
        Arc::make_mut(&mut self.reach).collector(collector).archived_to = to_ms;
    }

    /// A collector as the store knows it.
    pub fn put_collector(&mut self, collector: &StoredCollector) {
        if let Some(watermark) = collector.watermark_ms {
            self.read(&collector.collector, MinuteId::of_ms(watermark));
        }
        self.archived(&collector.collector, collector.archived_to_ms);
        if let Some(node) = &collector.node {
            Arc::make_mut(&mut self.reach).collector(&collector.collector).node = Some(node.clone());
        }
        if let Some(at) = collector.gone {
            self.give_up(&collector.collector, at);
        }
    }

    /// The node of a collector was seen to be gone at `at`: what it had not read by then stays lacking, and no more.
    pub fn give_up(&mut self, collector: &str, at: MinuteId) {
        Arc::make_mut(&mut self.reach).collector(collector).give_up(at);
    }

    /// The oldest minute of which it is decided by the first watermark of a collector whether it was read: the newest one, of
    /// the service that has had none for longest, that its streams hold a count of.
    pub fn first_undecided(&self, collector: &str) -> Option<MinuteId> {
        let ours: BTreeSet<_> = self.reach.streams_of(collector).collect();
        let sources = self.services.values().flat_map(BTreeMap::values);
        sources.filter_map(|source| source.newest_of(&ours)).min()
    }

    /// Forgets what lies before a minute, and streams and collectors that are named. Services without a row since then leave.
    pub fn forget(&mut self, before: MinuteId, streams: &[String], collectors: &[String]) {
        if !streams.is_empty() || !collectors.is_empty() {
            Arc::make_mut(&mut self.reach).forget(streams, collectors);
        }
        if self.kept_from.is_some_and(|kept| kept >= before) {
            return;
        }
        self.kept_from = Some(before);
        let services = Arc::make_mut(&mut self.services);
        services.retain(|_, sources| {
            sources.retain(|_, source| Arc::make_mut(source).forget_before(before));
            !sources.is_empty()
        });
        let services = &self.services;
        Arc::make_mut(&mut self.resolved).retain(|_, service| services.contains_key(service));
        for source in self.expected.values_mut() {
            Arc::make_mut(source).forget_before(before);
        }
        self.expect(self.cluster.clone());
    }

    /// What lies before this minute is not kept any more; nothing where all is that ever was.
    pub fn kept_from(&self) -> Option<MinuteId> {
        self.kept_from
    }

    /// Gives every minute before `now` (exclusive) its state: read where every expected collector has passed it, else
    /// partial or unmeasured.
    pub fn settle(&mut self, now: MinuteId) {
        let reach = self.reach.clone();
        for source in Arc::make_mut(&mut self.services).values_mut().flat_map(BTreeMap::values_mut) {
            let collectors = source.collectors(&reach);
            if !source.is_settled(&reach, &collectors, now) {
                Arc::make_mut(source).settle(&reach, &collectors, now);
            }
            if !source.is_packed(now) {
                Arc::make_mut(source).pack(now);
            }
        }
        let all = reach.all();
        for (service, source) in &mut self.expected {
            let is_routed =
                self.cluster.get(service).is_some_and(|found| matches!(found.why, Why::Ingress(_)));
            // Its first request may come by any of them, unless nobody reads what the ingress writes.
            let collectors = if self.hears_ingress || !is_routed { all.as_slice() } else { &[] };
            if !source.is_settled(&reach, collectors, now) {
                Arc::make_mut(source).settle(&reach, collectors, now);
            }
        }
        drop(reach);
        if self.reach.has_moved() {
            Arc::make_mut(&mut self.reach).looked();
        }
    }

    /// Services that have SLOs, by name: those of which requests were counted, and those of which they are expected.
    pub fn services(&self) -> impl Iterator<Item = (&Service, Origin, &Source)> {
        let expected = self.expected.iter().map(|(service, source)| (service, Origin::Ingress, &**source));
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
            sources.first_key_value().map(|(origin, source)| (service, *origin, &**source))
        })
    }

    /// One service's source.
    pub fn service(&self, service: &Service) -> Option<(Origin, &Source)> {
        self.services.get(service)?.first_key_value().map(|(origin, source)| (*origin, &**source))
    }

    /// The first minute that has a count.
    pub fn first(&self) -> Option<MinuteId> {
        self.all_series().filter_map(Series::first).min()
    }

    /// The first minute that a service with SLOs has.
    pub fn first_expected(&self) -> Option<MinuteId> {
        let expected = self.expected.values().flat_map(|source| source.all_series());
        expected.filter_map(Series::first).chain(self.first()).min()
    }

    /// Whether more than one request in a hundred ended after `minute`.
    pub fn is_mostly_after(&self, minute: MinuteId) -> bool {
        let all = self.services.values().flat_map(BTreeMap::values);
        let (mut total, mut after) = (0, 0);
        for series in all.filter_map(|source| source.series(Sli::Availability)) {
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

    /// Minutes of every SLI of every source, also of those that are only a cross-check.
    fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.services.values().flat_map(BTreeMap::values).flat_map(|source| source.all_series())
    }
}

/// The collectors of which more is asked than what they send.
impl Counts {
    /// Collectors whose node was there and is not any more, and that are not given up yet. A node that was never listed
    /// says nothing: the list may be an old one, or the collector calls its node otherwise.
    pub fn stranded(&self) -> Vec<String> {
        let is_gone = |node: &String| self.cluster.nodes.get(node).is_some_and(|found| found.gone.is_some());
        let on_none = self.reach.collectors().filter(|it| it.node.as_ref().is_some_and(is_gone));
        let given_up = |it: &&Collector| it.is_given_up(it.read_to.unwrap_or(MinuteId(i64::MIN)));
        on_none.filter(|it| !given_up(it)).map(|it| it.name.clone()).collect()
    }

    /// Nodes that are ready and for collectors, each with since when, from which nobody is expected to send anything at `now`.
    /// None where no collector says on which node it runs.
    pub fn unread_nodes(&self, now: MinuteId) -> Vec<(&str, MinuteId)> {
        let on_nodes: Vec<(&Collector, &String)> =
            self.reach.collectors().filter_map(|it| Some((it, it.node.as_ref()?))).collect();
        let is_heard = |it: &Collector| {
            it.read_to.is_none_or(|to| to.plus(FORGET_AFTER_MINUTES) >= now && !it.is_given_up(to))
        };
        let heard: BTreeSet<&String> =
            on_nodes.iter().filter(|(it, _)| is_heard(it)).map(|(_, node)| *node).collect();
        let ready = self.cluster.nodes.iter().filter_map(|(node, found)| Some((node, found.ready?)));
        let unread = ready.filter(|(node, _)| !on_nodes.is_empty() && !heard.contains(node));
        unread.map(|(node, since)| (node.as_str(), since)).collect()
    }

    /// Up to when (ms since 1970) the archive of each collector is complete that has one and is expected at `now`.
    pub fn archives(&self, now: MinuteId) -> BTreeMap<&str, i64> {
        let expected = self.expected_collectors(now);
        expected.filter_map(|(it, _)| Some((it.name.as_str(), it.archived_to?))).collect()
    }

    /// Collectors that are expected at `now`, each with the minute (exclusive) up to which it has read. The one that has
    /// read furthest is never given up: without it nobody measures anything.
    pub fn collectors(&self, now: MinuteId) -> impl Iterator<Item = (&str, MinuteId)> {
        self.expected_collectors(now).map(|(it, to)| (it.name.as_str(), to))
    }

    fn expected_collectors(&self, now: MinuteId) -> impl Iterator<Item = (&Collector, MinuteId)> {
        let furthest = self.read_to();
        self.reach.read().filter(move |(it, to)| {
            to.plus(FORGET_AFTER_MINUTES) >= now && !it.is_given_up(*to) || Some(*to) == furthest
        })
    }

    /// Collectors that have said nothing since a minute, though others have.
    pub fn silent_collectors(&self, since: MinuteId) -> Vec<String> {
        let furthest = self.read_to();
        let silent = self.reach.read().filter(|(_, to)| *to < since && Some(*to) != furthest);
        silent.map(|(it, _)| it.name.clone()).collect()
    }

    /// Whether some collector that is expected at `now` has not said yet how far it has read.
    pub fn lacks_word(&self, now: MinuteId) -> bool {
        let sources = self.services.values().flat_map(BTreeMap::values);
        let recent = sources.flat_map(|source| source.collectors(&self.reach));
        !self.reach.everything
            && recent.into_iter().any(|(collector, to)| {
                to.plus(FORGET_AFTER_MINUTES) >= now && self.reach.get(collector).read_to.is_none()
            })
    }

    /// Up to which minute (exclusive) the furthest collector has read.
    pub fn read_to(&self) -> Option<MinuteId> {
        self.reach.read().map(|(_, to)| to).max()
    }
}

/// The counts of a row, its latencies judged by a threshold.
fn judged(row: &CountRow, edges_us: &[u64], threshold_us: u64) -> Sum {
    let mut counts = row.counts;
    if row.key.sli == Sli::Latency {
        counts.bad = slow_requests(edges_us, &row.ladder, threshold_us).unwrap_or(counts.bad);
    }
    counts
}
