//! The whole path: log files to search server and archive line by line, counts to budgets, pages to whom they are for.

use anyhow::{Context, Result};
use serde_json::json;
use tests::program::within;
use tests::servers::{Flavor, Search};

use crate::stack::{SOON, Stack};

/// A node's containers, a quarter of which log requests.
const CONTAINERS: u16 = 8;

async fn every_line_and_every_page_arrives(flavor: Flavor, environment: &str) -> Result<()> {
    let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
    let Some(mut stack) = Stack::new(search, environment, CONTAINERS).await? else { return Ok(()) };
    stack.start_engine()?;
    stack.node.write(300)?;
    stack.start_collector()?;
    for _ in 0..3 {
        stack.node.rotate()?;
        stack.node.write(300)?;
        stack.counted().await?;
    }
    figures_are_those_of_the_lines(&stack).await?;
    everyone_is_told(&stack).await?;
    stack.indexed(search).await?;
    stack.archived().await?;
    stack.exported(search).await?;
    stack.stop().await?;
    let (indexed, archived) = (stack.judge_search(search).await?, stack.judge_archive().await?);
    assert!(indexed.is_perfect(), "{indexed}");
    assert!(archived.is_perfect(), "{archived}");
    Ok(())
}

/// Each failed and each slow request, and no other, is bad.
async fn figures_are_those_of_the_lines(stack: &Stack) -> Result<()> {
    let written = stack.node.requests();
    let availability = stack.engine("/v1/slos/shop.web.availability").await?;
    assert_eq!(availability["total"], written.total);
    assert_eq!(availability["good"], written.total - written.failed);
    let latency = stack.engine("/v1/slos/shop.web.latency").await?;
    assert_eq!(latency["total"], written.total - written.failed);
    assert_eq!(latency["good"], written.total - written.failed - written.slow);
    Ok(())
}

async fn everyone_is_told(stack: &Stack) -> Result<()> {
    let told = stack.told(1).await?;
    let page =
        told.values().find(|told| told["severity"] == "page").context("a failing service is paged for")?;
    assert_eq!(page["kind"], "trigger");
    let listed = async || {
        let alerts = stack.alertmanager.alerts().await?;
        Ok(alerts.iter().any(|alert| alert["labels"]["dedup_key"] == page["dedup_key"]))
    };
    within(SOON, "Alertmanager lists the page", listed).await?;
    let alerts = stack.alertmanager.alerts().await?;
    let alert =
        alerts.iter().find(|alert| alert["labels"]["dedup_key"] == page["dedup_key"]).context("listed")?;
    assert_eq!(alert["status"]["state"], json!("active"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_elasticsearch_every_line_and_every_page_arrives() -> Result<()> {
    every_line_and_every_page_arrives(Flavor::Elasticsearch9, "path-elasticsearch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_opensearch_every_line_and_every_page_arrives() -> Result<()> {
    every_line_and_every_page_arrives(Flavor::OpenSearch3, "path-opensearch").await
}
