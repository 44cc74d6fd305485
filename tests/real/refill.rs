//! The engine loses its disk: it is filled from Elasticsearch, and with that gone too from the archive.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::program::within;
use tests::servers::{Flavor, Search};

use crate::stack::{SOON, Stack};

/// What must be the same after a refill: every figure of every SLO, and the last word on every minute.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    budgets: Value,
    minutes: Value,
}

/// What the engine knows, once it has counted every request that was written and its ledger has spoken of all of them.
async fn known(stack: &Stack) -> Result<Known> {
    stack.counted().await?;
    let written = stack.node.requests().total;
    let spoken = async || {
        let ledger = stack.ledger().await?;
        let minutes = ledger["minutes"].as_array().context("it has minutes")?;
        let of_availability = minutes.iter().filter(|minute| minute["slo"] == "availability");
        Ok(of_availability.filter_map(|minute| minute["total"].as_u64()).sum::<u64>() == written)
    };
    within(2 * SOON, &format!("the ledger holds {written} requests"), spoken).await?;
    Ok(Known { budgets: budgets(stack).await?, minutes: stack.ledger().await?["minutes"].clone() })
}

/// The figures of the SLOs; not their quantiles, which are a sketch. The coverage goes on with the clock: it is full, but
/// for the minute that is open and the one that a collector may not have passed yet.
async fn budgets(stack: &Stack) -> Result<Value> {
    let mut overview = stack.engine("/v1/overview").await?;
    let services = overview["services"].as_array_mut().context("there are services")?;
    for slo in services.iter_mut().filter_map(|service| service["slos"].as_array_mut()).flatten() {
        let coverage = slo.as_object_mut().and_then(|slo| slo.remove("coverage"));
        let coverage = coverage.as_ref().and_then(Value::as_str).context("it has a coverage")?;
        slo["is_covered"] = json!(coverage.parse::<f64>()? > 0.95);
    }
    Ok(services.iter().map(|service| json!([service["service"], service["slos"]])).collect())
}

/// Waits until an engine that was born anew knows the same; its collectors tell it how far they have read.
async fn knows_again(stack: &Stack, want: &Known) -> Result<()> {
    let same = async || Ok(known(stack).await? == *want);
    if let Err(error) = within(2 * SOON, "the same is known again", same).await {
        let got = known(stack).await?;
        ensure!(got == *want, "{error:#}\nbefore: {want:#?}\nafter: {got:#?}");
    }
    Ok(())
}

/// Where each engine was filled from, and with how many lines.
fn filled(stack: &Stack) -> Result<Vec<(&'static str, u64)>> {
    let logged = stack.engine_logged("the state was filled")?;
    let one = |fields: &Value| {
        let from = ["Elasticsearch", "Archive"].into_iter().find(|from| fields["from"] == **from);
        Some((from?, fields["lines"].as_u64()?))
    };
    logged.iter().map(|fields| one(fields).with_context(|| format!("{fields}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_empty_disk_the_engine_comes_to_the_same_budgets_and_the_same_ledger() -> Result<()> {
    let Some(mut search) = Search::start(Flavor::Elasticsearch9, &[]).await? else { return Ok(()) };
    // Twenty minutes that ended long enough ago for the ledger to have spoken of all of them.
    let ago = Duration::from_secs(45 * 60);
    let Some(mut stack) = Stack::of_lines(&search, "refill", 8, ago, 2000).await? else { return Ok(()) };
    stack.start_engine()?;
    stack.node.write(300)?;
    stack.start_collector()?;
    stack.counted().await?;
    stack.node.rotate()?;
    stack.node.write(300)?;
    let want = known(&stack).await?;
    ensure!(want.minutes.as_array().is_some_and(|minutes| minutes.len() >= 40), "{:?}", want.minutes);
    stack.archived().await?;
    stack.exported(&search).await?;
    stack.counts_exported(&search).await?;

    stack.lose_the_engine().await?;
    stack.start_engine()?;
    knows_again(&stack, &want).await?;
    let lines = stack.node.lines().iter().sum::<u64>();
    // The first start found nothing in either; the archive had nothing to add to what Elasticsearch held.
    assert_eq!(
        filled(&stack)?,
        [("Elasticsearch", 0), ("Archive", 0), ("Elasticsearch", lines), ("Archive", 0)]
    );

    stack.lose_the_engine().await?;
    search.kill();
    stack.start_engine()?;
    knows_again(&stack, &want).await?;
    assert_eq!(filled(&stack)?[4..], [("Archive", lines)]);
    Ok(())
}
