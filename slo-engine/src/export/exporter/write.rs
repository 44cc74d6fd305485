//! Sending: requests of bounded size, repeated until each document is written or refused for good.

use std::time::Duration;

use search::{Action, Bulk, BulkError, Outcome, day_of};

use super::{Ended, Exporter, now};
use crate::bootstrap;
use crate::export::document::Document;

/// Most documents of a request.
const DOCUMENTS_A_REQUEST: usize = 1000;

/// Bytes that a request may reach before it ends.
const BYTES_A_REQUEST: usize = 4 << 20;

/// Refused documents of a request that are told one by one; all are counted.
const TOLD_A_REQUEST: usize = 3;

/// A longer pause is asked for by nobody who means well.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

impl Exporter {
    /// Writes documents, each in place of what has its id.
    pub(super) async fn write(&mut self, documents: &[Document]) -> Result<(), Ended> {
        let documents: Vec<&Document> = documents.iter().collect();
        for part in parts(&documents) {
            self.write_part(part.to_vec()).await?;
        }
        Ok(())
    }

    async fn write_part(&mut self, part: Vec<&Document>) -> Result<(), Ended> {
        let mut waiting = vec![part];
        while let Some(part) = waiting.pop() {
            self.bootstrap().await?;
            match self.client.bulk(&self.bulk(&part), true).await {
                Ok(outcomes) => {
                    let (again, reason) = self.settle(&part, outcomes);
                    match reason {
                        Some(reason) => {
                            self.failed(None, &reason).await?;
                            waiting.push(again);
                        }
                        None => self.recovered(),
                    }
                }
                Err(BulkError::Retry { after, reason }) => {
                    // Who answers after this may be another server, or the same one emptied.
                    self.bootstrapped = false;
                    self.failed(after, &reason).await?;
                    waiting.push(part);
                }
                Err(BulkError::TooLarge { reason } | BulkError::Malformed { reason }) => match part[..] {
                    [document] => self.reject(document, &reason, true),
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        waiting.extend([second.to_vec(), first.to_vec()]);
                    }
                },
            }
        }
        Ok(())
    }

    /// The templates, before the first document: an index without its mapping would be of no use.
    pub(super) async fn bootstrap(&mut self) -> Result<(), Ended> {
        while !self.bootstrapped {
            match bootstrap::install(&self.client, &self.environment, false).await {
                Ok(templates) => {
                    self.bootstrapped = true;
                    templates.iter().filter(|template| !template.is_as_wanted()).for_each(|template| {
                        tracing::info!(template = %template.name, "installed an index template");
                    });
                }
                Err(error) => self.failed(None, &error.to_string()).await?,
            }
        }
        Ok(())
    }

    fn bulk(&self, part: &[&Document]) -> Bulk {
        let mut bulk = Bulk::default();
        for document in part {
            let index = document.kind.daily(&self.environment).index(day_of(document.at));
            bulk.push(Action::Index, &index, &document.id, |body| {
                body.extend_from_slice(document.source.as_bytes());
            });
        }
        bulk
    }

    /// Counts what became of each document; returns those to send again, with a reason.
    fn settle<'a>(
        &self,
        part: &[&'a Document],
        outcomes: Vec<Outcome>,
    ) -> (Vec<&'a Document>, Option<String>) {
        let (mut again, mut why, mut rejected) = (Vec::new(), None, 0);
        for (document, outcome) in part.iter().zip(outcomes) {
            match outcome {
                Outcome::Done | Outcome::Already => self.metrics.written(document.kind),
                Outcome::Retry { reason } => {
                    again.push(*document);
                    why.get_or_insert(reason);
                }
                Outcome::Rejected { reason } => {
                    rejected += 1;
                    self.reject(document, &reason, rejected <= TOLD_A_REQUEST);
                }
            }
        }
        if rejected > TOLD_A_REQUEST {
            tracing::warn!(rejected, "Elasticsearch refuses documents for good; the first ones were told");
        }
        (again, why)
    }

    /// A document that will never be taken blocks no other.
    fn reject(&self, document: &Document, reason: &str, tell: bool) {
        self.metrics.rejected(document.kind);
        if tell {
            let (index, id) = (document.kind.as_str(), &document.id);
            tracing::warn!(
                index,
                id,
                reason,
                "Elasticsearch refuses a document for good; it is missing there"
            );
        }
    }

    /// Something that may pass: told once, and a pause between half and all of its length, so that many do not come back
    /// at once.
    async fn failed(&mut self, after: Option<Duration>, reason: &str) -> Result<(), Ended> {
        self.metrics.failed();
        if !self.failing {
            tracing::warn!(
                reason,
                "cannot write to Elasticsearch; counting and paging go on, and it is tried until it works"
            );
        }
        self.failing = true;
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let share = u32::try_from(self.jitter % 512).unwrap_or(0);
        let own = self.pause / 2 + self.pause * share / 1024;
        self.pause = (self.pause * 2).min(self.pace.longest_pause);
        // A disk that is full is made free by retention alone.
        self.delete_old_days(now()).await;
        let backlog = self.engine.export_backlog(now()).await?;
        self.show(&backlog, now());
        self.sleep(after.map_or(own, |after| after.min(LONGEST_ASKED).max(own))).await
    }

    fn recovered(&mut self) {
        self.pause = self.pace.pause;
        if std::mem::take(&mut self.failing) {
            tracing::info!("Elasticsearch takes documents again");
        }
    }
}

/// Requests of bounded size.
fn parts<'a, 'd>(documents: &'a [&'d Document]) -> Vec<&'a [&'d Document]> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, document) in documents.iter().enumerate() {
        if at > start
            && (at - start == DOCUMENTS_A_REQUEST || bytes + document.source.len() > BYTES_A_REQUEST)
        {
            parts.push(&documents[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += document.source.len();
    }
    if start < documents.len() {
        parts.push(&documents[start..]);
    }
    parts
}
