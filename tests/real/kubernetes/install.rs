//! From an empty cluster to figures that equal what was sent, in minutes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tests::program::within;
use tests::root;
use tokio::time::Instant;

use crate::cluster::{SOON, alone, get, helm, kubectl};
use crate::product::{Product, RELEASE};

/// What a newcomer is promised.
const WITHIN: Duration = Duration::from_secs(180);

/// Requests that are sent; of ten one fails and one is slow.
const REQUESTS: u64 = 300;

/// What was sent, to be told from everything else by a mark in the query.
struct Sent {
    mark: String,
    total: u64,
    failed: u64,
    slow: u64,
}

#[expect(clippy::disallowed_methods, reason = "the minutes that a newcomer waits")]
#[tokio::test(flavor = "multi_thread")]
async fn minutes_after_the_install_a_service_has_budgets_documents_archive_dashboards_and_a_pager()
-> Result<()> {
    let _alone = alone().await;
    Product::leave_nothing().await?;
    let begun = Instant::now();
    let Some(product) = Product::install("kubernetes-install", &json!({})).await? else { return Ok(()) };
    let demo = root().join("tests/real/kubernetes/demo.yaml").display().to_string();
    kubectl(&["apply", "--filename", &demo]).await?;
    kubectl(&["rollout", "status", "deployment/web", "--namespace", "demo", "--timeout", "90s"]).await?;
    let controller =
        ["rollout", "status", "deployment/ingress-nginx-controller", "--namespace", "ingress-nginx"];
    kubectl(&[&controller[..], &["--timeout", "90s"]].concat()).await?;
    println!("installed after {:?}", begun.elapsed());

    let sent = send().await?;
    figures_equal(&product, &sent).await?;
    documents_equal(&product, &sent).await?;
    results_equal(&product, &sent).await?;
    let dashboards = product.engine_text("/v1/dashboards").await?;
    assert!(dashboards.contains("demo/web"), "no dashboard of demo/web: {dashboards}");
    let told = product.told(1).await?;
    let is_page = |told: &Value| told["severity"] == "page" && told["labels"]["service"] == "demo/web";
    assert!(told.values().any(is_page), "{told:?}");
    let is_listed = |alert: &Value| alert["labels"]["service"] == "demo/web";
    let listed = async || Ok(product.alerts().await?.iter().any(is_listed));
    within(SOON, "Alertmanager lists the page", listed).await?;
    println!("everything is there after {:?}", begun.elapsed());
    assert!(begun.elapsed() <= WITHIN, "it took {:?}", begun.elapsed());

    let tested = helm(&["test", RELEASE, "--namespace", &product.name, "--logs"]).await?;
    assert!(tested.contains("Succeeded"), "{tested}");
    kubectl(&["delete", "--filename", &demo]).await?;
    product.uninstall().await
}

async fn send() -> Result<Sent> {
    let service = get(&["service", "ingress-nginx-controller", "--namespace", "ingress-nginx"]).await?;
    let address = service["spec"]["clusterIP"].as_str().context("a service has an address")?;
    let client = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
    let mut sent = Sent { mark: format!("sent-{}", std::process::id()), total: 0, failed: 0, slow: 0 };
    let calls = (0..REQUESTS).map(|number| {
        let path = match number % 10 {
            3 => "fail",
            7 => "slow",
            _ => "",
        };
        client
            .get(format!("http://{address}/{path}?{}={number}", sent.mark))
            .header("host", "web.demo.example")
            .send()
    });
    // Ten at a time, so that the slow ones do not add up.
    let calls: Vec<_> = calls.collect();
    for some in in_tens(calls).await? {
        sent.total += 1;
        sent.failed += u64::from(some == 503);
    }
    sent.slow = REQUESTS / 10;
    ensure!(sent.failed == REQUESTS / 10, "{} of {REQUESTS} requests failed", sent.failed);
    Ok(sent)
}

async fn in_tens(
    calls: Vec<impl Future<Output = reqwest::Result<reqwest::Response>> + Send + 'static>,
) -> Result<Vec<u16>> {
    let (mut statuses, mut running) = (Vec::new(), tokio::task::JoinSet::new());
    for call in calls {
        if running.len() == 10
            && let Some(answer) = running.join_next().await
        {
            statuses.push(answer??);
        }
        running.spawn(async move { Ok::<_, reqwest::Error>(call.await?.status().as_u16()) });
    }
    while let Some(answer) = running.join_next().await {
        statuses.push(answer??);
    }
    Ok(statuses)
}

async fn figures_equal(product: &Product, sent: &Sent) -> Result<()> {
    let path = "/v1/slos/demo.web.availability";
    let availability =
        product.says("every request is counted", path, |said| said["total"] == sent.total).await?;
    assert_eq!(availability["good"], sent.total - sent.failed);
    let latency = product.engine("/v1/slos/demo.web.latency").await?;
    assert_eq!(latency["total"], sent.total - sent.failed);
    assert_eq!(latency["good"], sent.total - sent.failed - sent.slow);
    Ok(())
}

async fn documents_equal(product: &Product, sent: &Sent) -> Result<()> {
    let own = |documents: Vec<Value>| -> Vec<Value> {
        let is_own =
            |document: &Value| document["message"].as_str().is_some_and(|it| it.contains(&sent.mark));
        documents.into_iter().filter(is_own).collect()
    };
    let indexed = async || Ok(own(product.documents("ingress-nginx").await?).len() as u64 >= sent.total);
    within(SOON, "every access line is a document", indexed).await.context(product.said().await)?;
    let documents = own(product.documents("ingress-nginx").await?);
    assert_eq!(documents.len() as u64, sent.total);
    for document in &documents {
        let pod = &document["kubernetes"];
        assert_eq!(pod["pod_labels"]["app.kubernetes.io/name"], "ingress-nginx", "{document}");
        assert!(pod["pod_node_name"].as_str().is_some_and(|node| node.starts_with('n')), "{document}");
        assert!(
            pod["pod_owner"].as_str().is_some_and(|owner| owner.starts_with("ReplicaSet/")),
            "{document}"
        );
    }
    let archived = async || {
        let lines = product.in_archive().await?;
        let own = lines.iter().filter(|found| String::from_utf8_lossy(&found.line).contains(&sent.mark));
        Ok(own.count() as u64 == sent.total)
    };
    within(SOON, "every access line is archived once", archived).await
}

/// The minutes that the engine wrote add up to what was sent.
async fn results_equal(product: &Product, sent: &Sent) -> Result<()> {
    let path = format!("/headroom-results-{}/_search?size=0", product.name);
    let sum = |field: &str| json!({ "sum": { "field": field } });
    let body = json!({
        "query": { "bool": { "filter": [
            { "term": { "slo": "availability" } }, { "term": { "service": "demo/web" } },
        ] } },
        "aggs": { "total": sum("total"), "bad": sum("bad") },
    });
    let added = async || {
        let Ok(said) = product.search.ask(Method::POST, &path, Some(body.clone())).await else {
            return Ok(false);
        };
        let value = |name: &str| said["aggregations"][name]["value"].as_f64();
        Ok(value("total") == Some(sent.total as f64) && value("bad") == Some(sent.failed as f64))
    };
    within(2 * SOON, "the results add up to what was sent", added).await
}
