//! Counts from Elasticsearch: what an engine wrote down of its own state, taken back stream by stream.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::Timestamp;
use search::{Client, Environment, Kind};
use serde_json::{Value, json};
use slo::counts::{ByteRange, CountRow, CountsRequest, StreamReport, Tally};

use crate::engine::{Engine, Fill, Filled, HeldRanges};
use crate::export::document::CountDocument;
use crate::store::counts::{StoredCollector, StoredRow, StoredStream, StoredTally};

/// Documents of a page.
const PAGE: usize = 5000;

/// What was taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// What it added.
    pub(super) filled: Filled,
    /// Streams that are there but not whole: the engine that wrote them was cut off between its rows and their tallies.
    pub(super) torn: u64,
}

/// A place where counts were written.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) client: &'a Client,
    pub(super) environment: &'a Environment,
    /// Documents of before are of no use.
    pub(super) since: Timestamp,
}

/// All that is written of one stream.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) rows: Vec<StoredRow>,
    pub(super) tallies: Vec<StoredTally>,
}

/// Takes back every stream of which nothing is counted yet, each whole or not at all, and then how far the collectors had
/// read. What was taken stays so, and the same call again goes on. Bounded by the documents of one stream.
pub(super) async fn fill(engine: &Engine, source: &Source<'_>) -> anyhow::Result<Taken> {
    let mut taken = Taken::default();
    match source.client.refresh(&source.alias()).await {
        // Nothing was ever written.
        Err(error) if error.is_missing() => return Ok(taken),
        refreshed => refreshed?,
    }
    let mut streams: BTreeMap<String, Newest<StoredStream>> = BTreeMap::new();
    let mut collectors: BTreeMap<String, Newest<StoredCollector>> = BTreeMap::new();
    let kinds = json!({"terms": {"kind": ["stream", "collector"]}});
    source
        .visit(kinds, |at, document| match document {
            CountDocument::Stream(stream) => newest(&mut streams, stream.stream.clone(), at, stream),
            CountDocument::Collector(collector) => {
                newest(&mut collectors, collector.collector.clone(), at, collector);
            }
            CountDocument::Row(_) | CountDocument::Tally(_) => {}
        })
        .await?;
    let held = engine.held_ranges().await?;
    let (all, mut told) = (streams.len(), 0);
    for (done, (id, (_, stream))) in streams.into_iter().enumerate() {
        if !held.contains_key(&id) {
            match source.whole(&id).await?.fill(&stream) {
                Some(fill) => taken.filled += engine.fill(&[id], |held| unless_held(held, fill)).await?,
                None => {
                    taken.torn += 1;
                    // A watermark vouches for everything before it.
                    collectors.remove(&stream.collector);
                }
            }
        }
        let percent = (done + 1) * 100 / all;
        if percent / 10 > told / 10 {
            told = percent;
            tracing::info!(percent, lines = taken.filled.lines, "filling the state from Elasticsearch");
        }
    }
    for (_, collector) in collectors.into_values() {
        engine.fill(&[], |_| Fill::of(vec![word(collector)])).await?;
    }
    Ok(taken)
}

/// Somebody who sends the stream was faster.
fn unless_held(held: &HeldRanges, fill: Fill) -> Fill {
    if held.values().all(Vec::is_empty) { fill } else { Fill::default() }
}

/// A document and its `@timestamp`.
type Newest<T> = (Timestamp, T);

fn newest<T>(known: &mut BTreeMap<String, Newest<T>>, id: String, at: Timestamp, news: T) {
    match known.get_mut(&id) {
        Some(newest) if newest.0 > at => {}
        Some(newest) => *newest = (at, news),
        None => drop(known.insert(id, (at, news))),
    }
}

impl Source<'_> {
    fn alias(&self) -> String {
        Kind::Counts.daily(self.environment).alias().to_owned()
    }

    async fn whole(&self, stream: &str) -> anyhow::Result<Whole> {
        let mut whole = Whole::default();
        self.visit(json!({"term": {"stream": stream}}), |_, document| match document {
            CountDocument::Row(row) => whole.rows.push(row.into()),
            CountDocument::Tally(tally) => whole.tallies.push(tally.stored()),
            CountDocument::Stream(_) | CountDocument::Collector(_) => {}
        })
        .await?;
        Ok(whole)
    }

    /// Every document of the environment that matches and is new enough.
    async fn visit(
        &self,
        filter: Value,
        mut visit: impl FnMut(Timestamp, CountDocument) + Send,
    ) -> anyhow::Result<()> {
        let query = json!({"bool": {"filter": [
            {"term": {"environment": self.environment.as_str()}},
            {"range": {"@timestamp": {"gte": self.since.to_string()}}},
            filter,
        ]}});
        let mut walk = self.client.walk(&self.alias(), &query, "id", PAGE);
        loop {
            let page = walk.next().await?;
            if page.is_empty() {
                return Ok(());
            }
            for source in page {
                let at = source["@timestamp"].as_str().unwrap_or_default().parse();
                let at = at.context("a count document in Elasticsearch has no @timestamp")?;
                match CountDocument::read(source) {
                    Ok(document) => visit(at, document),
                    Err(error) => tracing::error!(%error, "a document in Elasticsearch is left out"),
                }
            }
        }
    }
}

impl Whole {
    /// What a collector would have sent, rows before the tallies that vouch for them; nothing where rows reach beyond what
    /// is vouched for.
    pub(super) fn fill(self, stream: &StoredStream) -> Option<Fill> {
        let vouched = self.tallies.iter().map(|tally| tally.range.end).max()?;
        if self.rows.iter().any(|row| row.row.range.end > vouched) {
            return None;
        }
        let torn = self.rows.iter().filter(|row| row.partial).map(|row| row.row.key.clone()).collect();
        // A request's ladders have one set of edges; rows without a ladder have none of their own.
        let mut by_edges: BTreeMap<Vec<u64>, Vec<CountRow>> = BTreeMap::new();
        for stored in self.rows {
            by_edges.entry(stored.edges_us).or_default().push(stored.row);
        }
        let mention = StoredTally { range: ByteRange { start: 0, end: 0 }, tally: Tally::default() };
        let mut requests: Vec<CountsRequest> = by_edges
            .into_iter()
            .map(|(edges_us, rows)| request(stream, edges_us, vec![report(stream, &mention)], rows))
            .collect();
        let reports = self.tallies.iter().map(|tally| report(stream, tally)).collect();
        requests.push(request(stream, Vec::new(), reports, Vec::new()));
        Some(Fill { requests, torn })
    }
}

fn request(
    stream: &StoredStream,
    edges_us: Vec<u64>,
    streams: Vec<StreamReport>,
    rows: Vec<CountRow>,
) -> CountsRequest {
    CountsRequest {
        collector: stream.collector.clone(),
        epoch: String::new(),
        store: None,
        watermark_ms: None,
        node: None,
        archived_to_ms: None,
        edges_us,
        streams,
        rows,
    }
}

fn report(stream: &StoredStream, tally: &StoredTally) -> StreamReport {
    StreamReport {
        stream: stream.stream.clone(),
        path: stream.path.clone(),
        namespace: stream.namespace.clone(),
        pod: stream.pod.clone(),
        container: stream.container.clone(),
        range: tally.range,
        tally: tally.tally,
        newest_ms: stream.newest_ms,
        oldest_ms: stream.oldest_ms,
        ended: stream.ended,
        broken: stream.broken.clone(),
    }
}

/// How far a collector has read, and nothing else.
fn word(collector: StoredCollector) -> CountsRequest {
    CountsRequest {
        collector: collector.collector,
        epoch: collector.epoch,
        store: None,
        watermark_ms: collector.watermark_ms,
        node: collector.node,
        archived_to_ms: None,
        edges_us: Vec::new(),
        streams: Vec::new(),
        rows: Vec::new(),
    }
}
