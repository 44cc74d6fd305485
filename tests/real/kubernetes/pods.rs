//! Pods and services that come and go.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::oracle::Run;
use tests::program::within;
use tests::seeded::Random;

use crate::cluster::{SOON, alone, apply, kubectl};
use crate::load::Load;
use crate::product::Product;

#[tokio::test(flavor = "multi_thread")]
async fn short_lives_rotations_exclusions_and_renames_lose_nothing_and_tell_nothing_that_is_not_so()
-> Result<()> {
    let _alone = alone().await;
    let Some(product) = Product::install("kubernetes-pods").await? else { return Ok(()) };
    let mut random = Random::seeded();
    a_pod_that_lives_two_seconds(&product, &mut random).await?;
    a_log_that_the_kubelet_rotates(&product, &mut random).await?;
    a_namespace_that_is_excluded(&product, &mut random).await?;
    a_service_that_appears_is_renamed_and_disappears(&product, &mut random).await?;
    product.uninstall().await
}

fn run(random: &mut Random) -> Run {
    Run::new(random, now_ms(), 10)
}

async fn a_pod_that_lives_two_seconds(product: &Product, random: &mut Random) -> Result<()> {
    let mut load = Load::new(run(random), "short", &json!({})).await?;
    for node in ["n1", "n2"] {
        // The first of four logs requests, the others messages.
        let pod = load.start(node, 80, 40).await?;
        load.ended().await?;
        load.remove(&pod).await?;
    }
    let verdicts = load.judged(product, &[80, 80]).await?;
    assert!(verdicts.iter().all(|verdict| verdict.is_perfect()));
    for document in product.documents("short").await? {
        let pod = &document["kubernetes"];
        assert_eq!(
            (&pod["pod_labels"]["app"], &pod["enrichment"]),
            (&json!("load"), &Value::Null),
            "{document}"
        );
    }
    Ok(())
}

async fn a_log_that_the_kubelet_rotates(product: &Product, random: &mut Random) -> Result<()> {
    let mut load = Load::new(run(random), "rotated", &json!({})).await?;
    for node in ["n1", "n2"] {
        load.start(node, 1000, 100).await?;
        load.start(node, 24_000, 1200).await?;
    }
    load.ended().await?;
    let rotated = load.files()?.into_iter().filter(|file| file.starts_with("0.log.")).count();
    assert!(rotated > 0, "the kubelet rotated nothing: {:?}", load.files()?);
    let verdicts = load.judged(product, &[1000, 24_000, 1000, 24_000]).await?;
    assert!(verdicts.iter().all(|verdict| verdict.is_perfect()));
    Ok(())
}

async fn a_namespace_that_is_excluded(product: &Product, random: &mut Random) -> Result<()> {
    let exclude = json!({ "headroom.dev/exclude": "true" });
    let mut excluded = Load::new(run(random), "excluded", &exclude).await?;
    let mut beside = Load::new(run(random), "beside", &json!({})).await?;
    excluded.start("n1", 200, 100).await?;
    excluded.ended().await?;
    // What is written later, on the same node, is there: so would that be.
    beside.start("n1", 200, 200).await?;
    let verdicts = beside.judged(product, &[200]).await?;
    assert!(verdicts.iter().all(|verdict| verdict.is_perfect()));
    assert_eq!(product.count("excluded").await?, 0);
    let lines = product.in_archive().await?;
    assert!(lines.iter().all(|found| !excluded.wrote(&found.line)), "excluded lines are in the archive");
    Ok(())
}

/// A Service with an Ingress that routes to it.
fn service(name: &str, annotations: &Value) -> Value {
    let backend = json!({ "service": { "name": name, "port": { "number": 80 } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Service",
          "metadata": { "name": name, "namespace": "shop", "annotations": annotations },
          "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] } },
        { "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
          "metadata": { "name": name, "namespace": "shop" },
          "spec": { "rules": [{ "http": { "paths": [path] } }] } },
    ] })
}

async fn a_service_that_appears_is_renamed_and_disappears(
    product: &Product,
    random: &mut Random,
) -> Result<()> {
    // The requests of these pods are for `shop-web-80`; those of before count as well.
    let before =
        product.engine("/v1/slos/shop.web.availability").await?["total"].as_u64().context("a total")?;
    let mut load = Load::new(run(random), "shop", &json!({ "headroom.dev/team": "orders" })).await?;
    let objective =
        json!({ "headroom.dev/availability": "99.5", "headroom.dev/runbook": "https://run.example/web" });
    apply(&service("web", &objective)).await?;
    let seen = |said: &Value| said["objective"] == "99.5 %" || said["objective"] == 99.5;
    let path = "/v1/slos/shop.web.availability";
    let web = product.says("the service is there as it is annotated", path, seen).await?;
    assert_eq!(
        (&web["team"], &web["runbook"]),
        (&json!("orders"), &json!("https://run.example/web")),
        "{web}"
    );
    load.start("n1", 300, 300).await?;
    let total = before + 300;
    product.says("its requests are counted", path, |said| said["total"] == total).await?;

    let renamed = json!({ "headroom.dev/renamed-from": "web" });
    apply(&service("storefront", &renamed)).await?;
    kubectl(&["delete", "service,ingress", "web", "--namespace", "shop"]).await?;
    let path = "/v1/slos/shop.storefront.availability";
    product.says("what was web's is storefront's", path, |said| said["total"] == total).await?;
    let old = async || Ok(product.engine("/v1/slos/shop.web.availability").await.is_err());
    within(SOON, "the old name is gone", old).await?;

    kubectl(&["delete", "service,ingress", "storefront", "--namespace", "shop"]).await?;
    let gone = |said: &Value| said["workload"] == "gone" && said["total"] == total;
    product.says("a service that went keeps its figures", path, gone).await.map(drop)
}

#[expect(clippy::disallowed_methods, reason = "the cluster lives in the time of the wall clock")]
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond() - i64::try_from(Duration::from_secs(60).as_millis()).unwrap_or(0)
}
