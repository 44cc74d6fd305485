//! Pods and services that come and go.

use anyhow::Result;
use serde_json::{Value, json};
use tests::oracle::Run;
use tests::seeded::Random;

use crate::cluster::{alone, apply, kubectl};
use crate::load::Load;
use crate::product::Product;

#[tokio::test(flavor = "multi_thread")]
async fn short_lives_rotations_exclusions_and_renames_lose_nothing_and_tell_nothing_that_is_not_so()
-> Result<()> {
    let _alone = alone().await;
    let Some(product) =
        Product::install("kubernetes-pods", &json!({ "engine": { "persistence": { "enabled": false } } }))
            .await?
    else {
        return Ok(());
    };
    let mut random = Random::seeded();
    a_pod_that_lives_two_seconds(&product, &mut random).await?;
    a_log_that_the_kubelet_rotates(&product, &mut random).await?;
    a_namespace_that_is_excluded(&product, &mut random).await?;
    // The first container of each of them logs requests for `shop/web`.
    let before = 80 + 1000 + 200;
    a_service_that_appears_is_renamed_and_disappears(&product, &mut random, before).await?;
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
    load.clear().await
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
    load.clear().await
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
    excluded.clear().await?;
    beside.clear().await
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
    before: u64,
) -> Result<()> {
    let mut load = Load::new(run(random), "shop", &json!({ "headroom.dev/team": "orders" })).await?;
    let objective =
        json!({ "headroom.dev/availability": "99.5", "headroom.dev/runbook": "https://run.example/web" });
    apply(&service("web", &objective)).await?;
    let annotated = |web: &Value| {
        let (slo, cluster) = (&web["slos"][0], &web["cluster"]);
        slo["objective"] == "99.5"
            && cluster["team"] == "orders"
            && cluster["runbook"] == "https://run.example/web"
    };
    is(product, "the service is as it is annotated", "shop/web", annotated).await?;
    load.start("n1", 300, 300).await?;
    let total = before + 300;
    let counted = |service: &Value| service["slos"][0]["total"] == total;
    is(product, "its requests are counted", "shop/web", counted).await?;

    let renamed = json!({ "headroom.dev/renamed-from": "web" });
    apply(&service("storefront", &renamed)).await?;
    kubectl(&["delete", "service,ingress", "web", "--namespace", "shop"]).await?;
    is(product, "what was web's is storefront's", "shop/storefront", counted).await?;
    let old = |said: &Value| find(said, "shop/web").is_none();
    product.says("the old name is gone", "/v1/overview", old).await?;

    kubectl(&["delete", "service,ingress", "storefront", "--namespace", "shop"]).await?;
    let gone = |service: &Value| service["cluster"]["workload"] == "gone" && counted(service);
    is(product, "a service that went keeps its figures", "shop/storefront", gone).await?;
    load.clear().await
}

/// Waits until the engine says of a service what `holds`.
async fn is(product: &Product, what: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
    let said = |overview: &Value| find(overview, name).is_some_and(&holds);
    product.says(what, "/v1/overview", said).await.map(drop)
}

fn find<'a>(overview: &'a Value, name: &str) -> Option<&'a Value> {
    overview["services"].as_array()?.iter().find(|service| service["service"] == name)
}

#[expect(clippy::disallowed_methods, reason = "the cluster lives in the time of the wall clock")]
fn now_ms() -> i64 {
    // A minute that is over is judged at once.
    jiff::Timestamp::now().as_millisecond() - 60_000
}
