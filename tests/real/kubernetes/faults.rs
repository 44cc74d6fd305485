//! Under load a node loses its power, the engine's pod goes, the API server restarts and the chart is upgraded.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::oracle::Run;
use tests::program::within;
use tests::seeded::Random;

use crate::cluster::{SOON, alone, becomes, boot, cut, kubectl, script};
use crate::load::Load;
use crate::product::Product;

#[tokio::test(flavor = "multi_thread")]
async fn no_line_and_no_page_is_lost_whatever_goes_down() -> Result<()> {
    let _alone = alone().await;
    let Some(product) = Product::install("kubernetes-faults", &json!({})).await? else { return Ok(()) };
    let mut random = Random::seeded();
    let mut load = Load::new(Run::new(&mut random, now_ms(), 5), "load", &json!({})).await?;
    for node in ["n1", "n1", "n2", "n2", "n2"] {
        load.start(node, 40_000, 250).await?;
    }
    grows(&product, &load).await?;

    println!("n1 loses its power");
    cut("n1").await?;
    grows(&product, &load).await?;
    boot("n1").await?;

    println!("the engine's pod is deleted");
    kubectl(&[
        "delete",
        "pod",
        "--namespace",
        &product.name,
        "--selector",
        "app.kubernetes.io/component=engine",
    ])
    .await?;
    let engine = ["deployment/headroom-engine", "--namespace", &product.name];
    becomes(&engine, "/status/readyReplicas", &json!(1)).await?;

    println!("the API server restarts");
    script("control-plane", &["restart", "apiserver"]).await?;
    grows(&product, &load).await?;

    println!("the chart is upgraded");
    product
        .upgrade(&json!({ "logLevel": "debug", "collector": { "podAnnotations": { "upgraded": "yes" } } }))
        .await?;
    assert!(
        product
            .pods("collector")
            .await?
            .iter()
            .all(|pod| pod["metadata"]["annotations"]["upgraded"] == "yes")
    );
    assert!(load.is_running("load-4").await?, "the load ended before the upgrade did");
    // The node that was without power goes on: a further pod on it, too.
    load.start("n1", 400, 400).await?;
    load.ended().await?;

    let lines = load.written()?;
    let verdicts = load.judged(&product, &lines).await?;
    assert!(verdicts.iter().all(|verdict| verdict.is_perfect()));
    figures_are_those_of_the_lines(&product, &load, &lines).await?;
    let told = product.told(1).await?;
    assert!(told.values().any(|told| told["severity"] == "page"), "{told:?}");
    load.clear().await?;
    product.uninstall().await
}

/// Waits until a few more lines than now are in Elasticsearch.
async fn grows(product: &Product, load: &Load) -> Result<()> {
    let before = product.count(&load.namespace).await?;
    let grown = async || Ok(product.count(&load.namespace).await? >= before + 2000);
    within(SOON, "lines arrive", grown).await.context(product.said().await)
}

async fn figures_are_those_of_the_lines(product: &Product, load: &Load, lines: &[u64]) -> Result<()> {
    let requests = load.requests(lines);
    let path = "/v1/slos/shop.web.availability";
    let counted = |said: &Value| said["total"] == requests.total;
    let availability = product.says("every request is counted once", path, counted).await?;
    assert_eq!(availability["good"], requests.total - requests.failed);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the cluster lives in the time of the wall clock")]
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
