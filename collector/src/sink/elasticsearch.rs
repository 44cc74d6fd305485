//! The `elasticsearch` sink: every line as a document of a daily index, each exactly once.

mod document;
mod time;

use std::time::Duration;

use search::{Bulk, BulkError, Client, ClientConfig, Daily, Environment, Kind, Outcome, SearchError};
use settings::Table;

use super::{Batching, Refusal, SendError, Sink};
use crate::source::chunk::Chunk;
use document::Encoder;

/// Settings of the `elasticsearch` sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchConfig {
    /// Where documents go.
    pub client: ClientConfig,
    /// Names of the indices.
    pub index: Daily,
    /// Whether requests are compressed with gzip.
    pub compress: bool,
    /// When a request is sent.
    pub batching: Batching,
}

/// Sends documents.
#[derive(Debug)]
pub struct ElasticsearchSink {
    client: Client,
    index: Daily,
    compress: bool,
    encoder: Encoder,
    /// The template is known to be there: without it, an index would be made with mappings of the server's own.
    is_prepared: bool,
}

/// A bulk request on its way. What is settled is taken out, so a retry sends the rest alone.
#[derive(Debug)]
pub struct Request {
    bulk: Bulk,
    /// The event of each item, by its place in the chunk.
    events: Vec<usize>,
    refused: Vec<Refusal>,
}

impl ElasticsearchConfig {
    /// Requests of 5 MiB, or a second's worth.
    pub const BATCHING: Batching =
        Batching { max_events: 5000, max_bytes: 5 << 20, timeout: Duration::from_secs(1) };

    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let client = ClientConfig::prove(table);
        // Data streams are not offered: they know an id again only in their newest index.
        table.one_of("mode", &["bulk"], Some("bulk"));
        let mut index = Kind::Logs.daily(&Environment::default());
        if let Some(mut bulk) = table.table("bulk") {
            bulk.one_of("action", &["create"], Some("create"));
            if let Some(pattern) = bulk.string("index") {
                match Daily::parse(&pattern) {
                    Ok(daily) => index = daily,
                    Err(error) => bulk.problem("index", error.to_string()),
                }
            }
            bulk.finish();
        }
        let compress = table.one_of("compression", &["none", "gzip"], Some("none")) == Some("gzip");
        Self { client, index, compress, batching: Batching::prove(table, Self::BATCHING) }
    }
}

impl ElasticsearchSink {
    /// A sink; nothing is sent yet.
    ///
    /// # Errors
    /// A certificate or credential cannot be used.
    pub fn new(config: &ElasticsearchConfig) -> Result<Self, SearchError> {
        Ok(Self {
            client: Client::new(&config.client)?,
            index: config.index.clone(),
            compress: config.compress,
            encoder: Encoder::new(config.index.clone()),
            is_prepared: false,
        })
    }

    /// Makes sure that the template is there.
    async fn prepare(&mut self) -> Result<(), SendError> {
        let template = self.index.alias();
        match self.client.exists(&format!("_index_template/{template}")).await {
            Ok(true) => {
                self.is_prepared = true;
                Ok(())
            }
            Ok(false) => Err(retry(format!(
                "the index template {template} is missing: run `slo-engine bootstrap`, which makes it"
            ))),
            Err(SearchError::Unavailable { after, reason }) => Err(SendError::Retry { after, reason }),
            Err(SearchError::Refused { reason, .. }) => Err(retry(reason)),
        }
    }
}

impl Sink for ElasticsearchSink {
    type Request = Request;

    fn encode(&mut self, chunk: &Chunk, _: Option<i64>) -> Request {
        let events = &chunk.batch.events;
        let mut bulk = Bulk::default();
        events.iter().for_each(|event| self.encoder.push(event, &mut bulk));
        Request { bulk, events: (0..events.len()).collect(), refused: Vec::new() }
    }

    async fn send(&mut self, request: &mut Request) -> Result<(), SendError> {
        if !request.bulk.is_empty() {
            if !self.is_prepared {
                self.prepare().await?;
            }
            match self.client.bulk(&request.bulk, self.compress).await {
                Ok(outcomes) => request.settle(outcomes)?,
                Err(BulkError::Retry { after, reason }) => {
                    // Who comes back may be another cluster.
                    self.is_prepared = false;
                    return Err(SendError::Retry { after, reason });
                }
                Err(BulkError::TooLarge { reason } | BulkError::Malformed { reason }) => {
                    return Err(SendError::Reject { reason });
                }
            }
        }
        match request.refused.is_empty() {
            true => Ok(()),
            false => Err(SendError::RejectSome(std::mem::take(&mut request.refused))),
        }
    }
}

// === impl Request ===

impl Request {
    /// Takes out what is settled; an error says that something is left.
    fn settle(&mut self, outcomes: Vec<Outcome>) -> Result<(), SendError> {
        let sent = self.events.len();
        let mut left = Vec::new();
        let mut why = None;
        for (item, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Outcome::Done | Outcome::Already => {}
                Outcome::Rejected { reason } => {
                    self.refused.push(Refusal { event: self.events[item], reason })
                }
                Outcome::Retry { reason } => {
                    left.push(item);
                    why.get_or_insert(reason);
                }
            }
        }
        self.bulk = self.bulk.only(&left);
        self.events = left.iter().map(|&item| self.events[item]).collect();
        match why {
            Some(reason) => {
                Err(retry(format!("{} of {sent} documents are not taken yet: {reason}", left.len())))
            }
            None => Ok(()),
        }
    }
}

fn retry(reason: String) -> SendError {
    SendError::Retry { after: None, reason }
}
