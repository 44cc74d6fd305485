//! Lines as they were delivered, read from where they lie.

use std::path::Path;

use anyhow::{Context, ensure};
use archive::{Reader, Store};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::servers::Search;

/// A line with the place that it was delivered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Identity of its stream.
    pub stream: String,
    /// Offset of its first byte.
    pub offset: u64,
    /// Which of several events of one record.
    pub index: u32,
    /// The line.
    pub line: Vec<u8>,
}

/// Documents a page.
const PAGE: usize = 5000;

/// Every document of an alias or a pattern of indices that `query` takes, page by page; none may come meanwhile.
///
/// # Errors
/// The server does not answer, not with all shards, or a document has not what a log line has.
pub async fn in_search(search: &Search, index: &str, query: Value) -> anyhow::Result<Vec<Found>> {
    search.ask(Method::POST, &format!("/{index}/_refresh"), None).await?;
    let mut body = json!({
        "size": PAGE,
        "query": query,
        "_source": ["message", "message_base64", "headroom"],
        "sort": ["headroom.stream", "headroom.offset", "headroom.index"],
        "track_total_hits": true,
    });
    let mut found = Vec::new();
    loop {
        let answer = search.ask(Method::POST, &format!("/{index}/_search"), Some(body.clone())).await?;
        ensure!(answer["_shards"]["failed"] == 0, "not all shards answered: {answer}");
        let hits = answer["hits"]["hits"].as_array().context("an answer has hits")?;
        for hit in hits {
            found.push(document(&hit["_source"]).with_context(|| format!("of document {hit}"))?);
        }
        match hits.last() {
            Some(last) if hits.len() == PAGE => body["search_after"] = last["sort"].clone(),
            // Documents with one and the same place, which must not be, could fall between two pages.
            _ => {
                let total = answer["hits"]["total"]["value"].as_u64();
                ensure!(total == Some(found.len() as u64), "{total:?} documents, {} were read", found.len());
                return Ok(found);
            }
        }
    }
}

/// How many documents there are, which costs the server little.
///
/// # Errors
/// The server does not answer.
pub async fn count_in_search(search: &Search, index: &str) -> anyhow::Result<u64> {
    search.ask(Method::POST, &format!("/{index}/_refresh"), None).await?;
    let answer = search.ask(Method::GET, &format!("/{index}/_count"), None).await?;
    answer["count"].as_u64().context("a count is a number")
}

fn document(source: &Value) -> anyhow::Result<Found> {
    let line = match source["message_base64"].as_str() {
        Some(bytes) => STANDARD.decode(bytes)?,
        None => source["message"].as_str().context("no message")?.as_bytes().to_vec(),
    };
    let place = &source["headroom"];
    Ok(Found {
        stream: place["stream"].as_str().context("no stream")?.to_owned(),
        offset: place["offset"].as_u64().context("no offset")?,
        index: u32::try_from(place["index"].as_u64().unwrap_or(0))?,
        line,
    })
}

/// Every record of an archive; what readers drop because it is there twice is an error, as only lost state may cause it.
///
/// # Errors
/// It cannot be read, is damaged, or holds something twice.
pub async fn in_archive(store: &Store) -> anyhow::Result<Vec<Found>> {
    let mut reader = Reader::open(store).await?;
    let mut found = Vec::new();
    while let Some(part) = reader.next().await? {
        for record in part.records {
            let (stream, offset, index) = (record.stream, record.offset, record.index);
            found.push(Found { stream, offset, index, line: record.line });
        }
    }
    ensure!(reader.corrupt().is_empty(), "damaged segments: {:?}", reader.corrupt());
    ensure!(reader.overlaps() == 0, "{} records are there twice", reader.overlaps());
    Ok(found)
}

/// How many records an archive's manifests tell of.
///
/// # Errors
/// It cannot be read.
pub async fn count_in_archive(store: &Store) -> anyhow::Result<u64> {
    let mut records = 0;
    for key in store.list("segments/").await?.iter().filter(|key| key.ends_with(".manifest.json")) {
        let manifest: Value = serde_json::from_slice(&store.get(key).await?)?;
        records += manifest["records"].as_u64().context("a manifest counts its records")?;
    }
    Ok(records)
}

/// Every dead letter below a collector's state directory that is none component's but `component`'s.
///
/// # Errors
/// One cannot be read, or holds not the whole record.
pub fn in_dead_letters(data_dir: &Path, component: &str) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    let folder = data_dir.join("dead_letters");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let letter: Value = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        if letter["component"] != component {
            continue;
        }
        eprintln!("a dead letter of {component}: {}", letter["reason"]);
        let content = letter["content"].as_str().context("a dead letter has content")?;
        let line = match letter["encoding"].as_str() {
            Some("base64") => STANDARD.decode(content)?,
            _ => content.as_bytes().to_vec(),
        };
        ensure!(letter["length"] == line.len() as u64, "a dead letter is cut: {letter}");
        let stream = letter["stream"].as_str().context("a dead letter has a stream")?.to_owned();
        found.push(Found { stream, offset: letter["offset"].as_u64().unwrap_or(0), index: 0, line });
    }
    Ok(found)
}
