//! What must be denied is denied, and nothing more: each verb that the chart asks for is missed when it is taken away.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::program::within;

use crate::cluster::{SOON, alone, apply, get, kubectl, kubectl_as};
use crate::load::IMAGE;
use crate::product::Product;

/// A component, and its metric that counts what the API server refused, by kind.
const COMPONENTS: [(&str, &str, &str); 2] = [
    ("collector", "8686", "kubernetes_watch_errors_total"),
    ("engine", "8080", "headroom_discovery_errors_total"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_is_needed_and_nothing_else_is_allowed() -> Result<()> {
    let _alone = alone().await;
    let Some(product) =
        Product::install("kubernetes-denied", &json!({ "engine": { "persistence": { "enabled": false } } }))
            .await?
    else {
        return Ok(());
    };
    for (component, port, metric) in COMPONENTS {
        each_verb_is_missed(&product, component, port, metric).await?;
    }
    secrets_are_out_of_reach(&product).await?;
    a_collector_writes_in_its_directory_alone(&product).await?;
    product.uninstall().await
}

async fn each_verb_is_missed(product: &Product, component: &str, port: &str, metric: &str) -> Result<()> {
    let name = format!("headroom-{component}");
    let role = |rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": name }, "rules": rules,
        })
    };
    let whole = get(&["clusterrole", &name]).await?["rules"].clone();
    let rules = verbs(&whole)?;
    ensure!(
        rules.iter().all(|[_, _, verb]| verb == "list" || verb == "watch"),
        "more is asked for: {rules:?}"
    );
    assert_eq!(errors(product, component, port, metric, "").await?, 0.0, "{component} is refused something");
    for missing in &rules {
        let less = rules.iter().filter(|rule| *rule != missing).map(|[group, resource, verb]| {
            json!({ "apiGroups": [group], "resources": [resource], "verbs": [verb] })
        });
        let [_, kind, verb] = missing;
        apply(&role(less.collect())).await?;
        restart(product, component).await?;
        let what = format!("{component} misses {verb} of {kind}");
        let missed =
            async || Ok(errors(product, component, port, metric, kind).await.is_ok_and(|it| it > 0.0));
        within(SOON, &what, missed).await.context(product.said().await)?;
        println!("{what}");
    }
    apply(&role(whole)).await?;
    restart(product, component).await
}

/// Group, resource and verb, one by one.
fn verbs(rules: &Value) -> Result<Vec<[String; 3]>> {
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let mut all = Vec::new();
    for rule in rules.as_array().context("a role has rules")? {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]).into_iter();
                all.extend(verbs.map(|verb| [group.clone(), resource.clone(), verb]));
            }
        }
    }
    Ok(all)
}

/// Deletes the pods of a component; waits until others are there and run.
async fn restart(product: &Product, component: &str) -> Result<()> {
    let selector = format!("app.kubernetes.io/component={component}");
    let pods = ["delete", "pod", "--namespace", &product.name, "--selector", &selector, "--now"];
    kubectl(&pods).await?;
    let run = async || {
        let pods = product.pods(component).await?;
        let is_up = |pod: &Value| pod["status"]["containerStatuses"][0]["started"] == true;
        Ok(!pods.is_empty() && pods.iter().all(is_up))
    };
    within(SOON, &format!("the {component} runs again"), run).await
}

/// How often a pod of the component was refused what is of a kind, or anything.
async fn errors(product: &Product, component: &str, port: &str, metric: &str, kind: &str) -> Result<f64> {
    let pods = product.pods(component).await?;
    let address = pods[0]["status"]["podIP"].as_str().context("a pod has an address")?;
    let client = reqwest::Client::builder().no_proxy().timeout(SOON / 9).build()?;
    let metrics = client.get(format!("http://{address}:{port}/metrics")).send().await?.text().await?;
    let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with(metric)).collect();
    ensure!(!lines.is_empty(), "{component} has no {metric}");
    let of_kind = lines.iter().filter(|line| kind.is_empty() || line.contains(&format!("\"{kind}\"")));
    of_kind.map(|line| Ok(line.rsplit(' ').next().context("a value")?.parse::<f64>()?)).sum()
}

async fn secrets_are_out_of_reach(product: &Product) -> Result<()> {
    for component in ["collector", "engine"] {
        let account = format!("headroom-{component}");
        let token = kubectl(&["create", "token", &account, "--namespace", &product.name]).await?;
        for what in [&["get", "secret", "bucket"][..], &["get", "secrets"], &["delete", "pods", "--all"]] {
            let arguments = [what, &["--namespace", &product.name]].concat();
            let refused = kubectl_as(token.trim(), &arguments).await.err().context("it is refused")?;
            ensure!(format!("{refused:#}").contains("orbidden"), "{account} {what:?}: {refused:#}");
        }
        // The same token is good for what the account may.
        kubectl_as(token.trim(), &["get", "pods", "--all-namespaces"]).await?;
    }
    Ok(())
}

/// A pod that is a collector's in all but its program, which tries to write.
async fn a_collector_writes_in_its_directory_alone(product: &Product) -> Result<()> {
    let set = get(&["daemonset", "headroom-collector", "--namespace", &product.name]).await?;
    let mut spec = set["spec"]["template"]["spec"].clone();
    let container = &mut spec["containers"][0];
    container["image"] = json!(IMAGE);
    container["imagePullPolicy"] = json!("IfNotPresent");
    let paths =
        ["/var/lib/headroom/probe", "/var/log/pods/probe", "/etc/headroom/probe", "/probe", "/tmp/probe"];
    container["args"] = json!([&["write"][..], &paths].concat());
    for probe in ["startupProbe", "readinessProbe", "livenessProbe", "ports"] {
        container.as_object_mut().context("a container is an object")?.remove(probe);
    }
    spec["restartPolicy"] = json!("Never");
    spec["nodeName"] = json!("n1");
    apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "intruder", "namespace": product.name }, "spec": spec,
    }))
    .await?;
    let ended = async || {
        let pod = get(&["pod", "intruder", "--namespace", &product.name]).await?;
        Ok(pod["status"]["phase"] == "Succeeded")
    };
    within(SOON, "the intruder has tried", ended).await?;
    let said = kubectl(&["logs", "intruder", "--namespace", &product.name]).await?;
    println!("{said}");
    let wrote: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("wrote ")).collect();
    assert_eq!(wrote, ["/var/lib/headroom/probe"], "{said}");
    assert_eq!(said.lines().count(), paths.len(), "{said}");
    Ok(())
}
