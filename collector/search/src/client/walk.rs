//! A walk over all documents of an alias, page by page.

use serde_json::{Value, json};

use super::Client;
use crate::error::SearchError;

/// All documents that match a query, in the order of a keyword field, page by page.
///
/// The field must hold another value in every document (an `id`): of two with the same one, a page may end between them.
/// What is written during the walk is seen if it sorts behind the place where the walk is; nothing else is missed, and
/// nothing comes twice.
#[derive(Debug)]
pub struct Walk {
    client: Client,
    path: String,
    body: Value,
    size: usize,
    ended: bool,
}

impl Client {
    /// A walk over what matches `query` (such as `{"match_all": {}}`) in an index, alias or pattern; at most 10,000
    /// documents a page.
    pub fn walk(&self, index: &str, query: &Value, field: &str, size: usize) -> Walk {
        let body = json!({
            "size": size,
            "query": query,
            "sort": [{field: {"order": "asc", "unmapped_type": "keyword"}}],
            "track_total_hits": false,
        });
        let path = format!("{index}/_search?allow_partial_search_results=false");
        Walk { client: self.clone(), path, body, size, ended: false }
    }
}

impl Walk {
    /// The `_source` of the next documents; none at the end.
    ///
    /// # Errors
    /// No success, or not all shards answered: a part is never taken for the whole. The same page may be asked for again.
    pub async fn next(&mut self) -> Result<Vec<Value>, SearchError> {
        if self.ended {
            return Ok(Vec::new());
        }
        let answer = self.client.post(&self.path, Some(&self.body)).await?;
        let (documents, last) = page(answer).map_err(SearchError::unavailable)?;
        self.ended = documents.len() < self.size;
        if let Some(last) = last {
            self.body["search_after"] = last;
        }
        Ok(documents)
    }
}

/// The documents of a page, and where the last one stands.
fn page(mut answer: Value) -> Result<(Vec<Value>, Option<Value>), String> {
    let failed = answer.pointer("/_shards/failed").and_then(Value::as_u64);
    if failed != Some(0) || answer.get("timed_out") != Some(&Value::Bool(false)) {
        return Err(format!("a search has no answer from all shards: {}", answer["_shards"]));
    }
    let Some(Value::Array(hits)) = answer.pointer_mut("/hits/hits").map(Value::take) else {
        return Err("a search is answered without hits".to_owned());
    };
    let last = hits.last().and_then(|hit| hit.get("sort")).cloned();
    Ok((hits.into_iter().map(|mut hit| hit["_source"].take()).collect(), last))
}
