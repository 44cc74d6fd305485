//! One of the servers is away, or has too much to do: the others are not delayed, and nothing is lost or doubled.

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::program::eventually;
use tests::servers::{Flavor, Search};
use tokio::time::timeout;

use crate::stack::{SOON, Stack};

/// A search server that does one thing at a time and keeps one more waiting: the next are refused, item by item.
const BUSY: &[&str] = &["thread_pool.write.size=1", "thread_pool.write.queue_size=1"];

/// A search server that has no memory for a request of the collector's: it is refused as a whole.
const FULL: &[&str] = &["indexing_pressure.memory.limit=20kb"];

#[tokio::test(flavor = "multi_thread")]
async fn a_search_server_that_is_away_or_too_busy_delays_nobody() -> Result<()> {
    let Some(mut search) = Search::start(Flavor::Elasticsearch9, &[]).await? else { return Ok(()) };
    let Some(mut stack) = Stack::new(&search, "outage-search", 8).await? else { return Ok(()) };
    stack.start_engine()?;
    stack.start_collector()?;
    stack.node.write(100)?;
    stack.indexed(&search).await?;
    // Away: what fails meanwhile is paged for.
    search.stop().await?;
    write_and_rotate(&mut stack)?;
    stack.counted().await?;
    stack.archived().await?;
    let told = stack.told(1).await?;
    assert!(told.values().any(|told| told["severity"] == "page"), "{told:?}");
    // Too busy: most is refused, item by item, in answers of 200.
    search.set(BUSY);
    search.start_again().await?;
    let noise = Noise::start(search.url()).await?;
    write_and_rotate(&mut stack)?;
    // Which of the collector's requests meets a full queue is chance: until one has.
    let refused = "documents are not taken yet";
    let until_refused = async {
        while !stack.collector_said(refused)? {
            stack.node.write(20)?;
            stack.counted().await?;
        }
        anyhow::Ok(())
    };
    timeout(4 * SOON, until_refused).await.context("no item of the collector's was refused")??;
    stack.archived().await?;
    stack.indexed(&search).await?;
    noise.stop().await?;
    // Full: each request is refused as a whole.
    search.stop().await?;
    search.set(FULL);
    search.start_again().await?;
    write_and_rotate(&mut stack)?;
    stack.counted().await?;
    stack.archived().await?;
    assert!(!stack.judge_search(&search).await?.is_perfect(), "nothing was refused");
    search.stop().await?;
    search.set(&[]);
    search.start_again().await?;
    all_is_there_once(&mut stack, &search).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_is_away_delays_nobody() -> Result<()> {
    let Some(search) = Search::shared(Flavor::Elasticsearch9).await? else { return Ok(()) };
    let Some(mut stack) = Stack::new(search, "outage-s3", 8).await? else { return Ok(()) };
    stack.start_engine()?;
    stack.start_collector()?;
    stack.node.write(100)?;
    stack.archived().await?;
    stack.s3.stop();
    for _ in 0..2 {
        write_and_rotate(&mut stack)?;
        stack.counted().await?;
        stack.indexed(search).await?;
    }
    let told = stack.told(1).await?;
    assert!(told.values().any(|told| told["severity"] == "page"), "{told:?}");
    stack.s3.start_again().await?;
    all_is_there_once(&mut stack, search).await
}

fn write_and_rotate(stack: &mut Stack) -> Result<()> {
    stack.node.write(300)?;
    stack.node.rotate()?;
    stack.node.write(300)
}

async fn all_is_there_once(stack: &mut Stack, search: &Search) -> Result<()> {
    stack.indexed(search).await?;
    stack.archived().await?;
    stack.exported(search).await?;
    stack.stop().await?;
    let (indexed, archived) = (stack.judge_search(search).await?, stack.judge_archive().await?);
    assert!(indexed.is_perfect(), "{indexed}");
    assert!(archived.is_perfect(), "{archived}");
    Ok(())
}

/// Others who write to the same server, as much as it takes and more.
struct Noise {
    writers: Vec<tokio::task::JoinHandle<()>>,
    refused: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Noise {
    /// Begins, and waits until the server refuses items.
    async fn start(url: &str) -> Result<Self> {
        let refused = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let client = reqwest::Client::builder().no_proxy().build()?;
        let settings = json!({ "settings": { "number_of_shards": 8, "number_of_replicas": 0 } });
        let made = client.put(format!("{url}/noise")).json(&settings).send().await?;
        made.error_for_status().context("an index for noise")?;
        let body = "{\"index\":{}}\n{\"text\":\"noise\"}\n".repeat(200);
        let write = || {
            let (client, refused, body) = (client.clone(), refused.clone(), body.clone());
            let request = client.request(Method::POST, format!("{url}/noise/_bulk"));
            let request = request.header("content-type", "application/x-ndjson").body(body);
            tokio::spawn(async move {
                while let Some(request) = request.try_clone() {
                    let Ok(answer) = request.send().await else { return };
                    let is_whole = answer.status() == StatusCode::OK;
                    let said: Value = answer.json().await.unwrap_or_default();
                    let items = said["items"].as_array().into_iter().flatten();
                    let busy = items.filter(|item| item["index"]["status"] == 429).count();
                    let busy = if is_whole { busy as u64 } else { 0 };
                    refused.fetch_add(busy, std::sync::atomic::Ordering::Relaxed);
                }
            })
        };
        let noise = Self { writers: (0..6).map(|_| write()).collect(), refused };
        eventually("items are refused", async || Ok(noise.refused() > 0)).await?;
        Ok(noise)
    }

    fn refused(&self) -> u64 {
        self.refused.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Ends it.
    async fn stop(self) -> Result<()> {
        for writer in &self.writers {
            writer.abort();
        }
        for writer in self.writers {
            // It was told to end.
            let _ = writer.await;
        }
        Ok(())
    }
}
