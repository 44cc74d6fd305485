//! Collector and engine are killed by SIGKILL, thirty times each, while files are rotated and compressed.

use std::time::Duration;

use anyhow::Result;
use tests::servers::{Flavor, Search};

use crate::stack::Stack;

/// Kills of each program.
const KILLS: u64 = 30;

/// The longest that a program lives before it is killed, in milliseconds: from its first steps to many requests.
const LIVES: u64 = 1200;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_kills() -> Result<()> {
    let Some(search) = Search::shared(Flavor::Elasticsearch9).await? else { return Ok(()) };
    let Some(mut stack) = Stack::new(search, "kill", 8).await? else { return Ok(()) };
    stack.start_engine()?;
    stack.start_collector()?;
    for kill in 0..KILLS {
        let lines = 20 + stack.random.below(60);
        stack.node.write(lines)?;
        // Rotated while it runs and while it does not.
        if kill % 3 == 0 {
            stack.node.rotate()?;
        }
        let lives = Duration::from_millis(stack.random.below(LIVES));
        stack.kill_collector(lives).await?;
        let lines = stack.random.below(60);
        stack.node.write(lines)?;
        if kill % 4 == 0 {
            stack.node.rotate()?;
        }
        stack.start_collector()?;
        let lives = Duration::from_millis(stack.random.below(LIVES));
        stack.kill_engine(lives).await?;
        stack.start_engine()?;
    }
    stack.counted().await?;
    stack.indexed(search).await?;
    stack.archived().await?;
    stack.exported(search).await?;
    let requests = stack.node.requests();
    let availability = stack.engine("/v1/slos/shop.web.availability").await?;
    assert_eq!(
        (&availability["total"], &availability["good"]),
        (&requests.total.into(), &(requests.total - requests.failed).into())
    );
    let told = stack.told(1).await?;
    assert!(told.values().any(|told| told["severity"] == "page"), "{told:?}");
    stack.stop().await?;
    let (indexed, archived) = (stack.judge_search(search).await?, stack.judge_archive().await?);
    assert!(indexed.is_perfect(), "{indexed}");
    assert!(archived.is_perfect(), "{archived}");
    Ok(())
}
