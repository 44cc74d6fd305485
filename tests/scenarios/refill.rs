//! An engine on an empty disk is filled from the archive: the same figures, the same pages, the same ledger.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use collector::transform::sli::SliConfig;
use jiff::Timestamp;
use prometheus::Registry;
use serde_json::Value;
use slo::ledger::{Tip, table, verify_chain};
use slo_engine::app::App;
use slo_engine::config::ArchiveConfig;
use slo_engine::engine::Clock;
use slo_engine::refill::from_archive;
use slo_engine::store::{Store, ledger};
use slo_engine::up::{ANY_PORT, engine_config};
use tests::recorded;

use crate::engine;

/// The last word of the ledger on every minute.
async fn last_words(data_dir: &Path) -> Result<slo::ledger::Table> {
    let store = Store::open(&data_dir.join("engine.db")).await?;
    let mut tx = store.begin().await?;
    let blocks: Vec<_> = ledger::stored(&mut tx).await?.into_iter().map(|stored| stored.block).collect();
    ensure!(!blocks.is_empty(), "the ledger is empty");
    verify_chain(Tip::START, &blocks)?;
    Ok(table(&blocks))
}

#[tokio::test]
async fn from_the_archive_alone_an_empty_engine_comes_to_the_same_figures_pages_and_ledger() -> Result<()> {
    let (lost, empty) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let want = engine().up(lost.path(), &[recorded()]).await?.json()?;
    let config = engine_config(empty.path(), ANY_PORT).ok().context("the defaults are a configuration")?;
    let app = App::open(config, Clock::Event, &Registry::new()).await?;
    let archive = ArchiveConfig::Directory(lost.path().join("archive"));
    let rules = SliConfig::default();
    let filled = from_archive(&app.engine, &archive, &rules, i64::MIN).await?;
    assert_eq!(Value::from(filled.lines), want["input"]["lines"]);
    let again = from_archive(&app.engine, &archive, &rules, i64::MIN).await?;
    assert_eq!((again.lines, again.rows), (0, 0));
    app.engine.catch_up(Timestamp::MAX).await?;
    let got = serde_json::to_value(app.engine.overview().await?)?;
    app.stop().await;
    assert_eq!(got, want);
    assert_eq!(last_words(empty.path()).await?, last_words(lost.path()).await?);
    Ok(())
}
