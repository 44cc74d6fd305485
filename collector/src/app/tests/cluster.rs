//! What the API server says of pods: on every event, and whose logs are left alone.

use std::time::Duration;

use prometheus::Registry;
use serde_json::{Value, json};

use super::api_server::ApiServer;
use super::harness::{Node, balanced, cri, requests, runtime};
use crate::app::App;

const WEB: &str = "shop_web-0_uid-web/app/0.log";
const API: &str = "shop_api-0_uid-api/app/0.log";
const BUILD: &str = "ci_build-0_uid-build/app/0.log";

/// A node that knows its name, with a sink of whole events.
fn node() -> Node {
    let mut node = Node::new(
        "files: {type: kubernetes_logs, root: $LOGS, self_node_name: n1, kube_config_file: $LOGS/../kubeconfig, \
         glob_minimum_cooldown_ms: 50}",
    );
    node.batch = ", batch: {timeout_secs: 0.05}".into();
    let path = node.root().join("json");
    node.more = format!(
        "  whole: {{type: file, inputs: [files], path: {}, batch: {{timeout_secs: 0.05}}}}\n",
        path.display()
    );
    node
}

fn pod(namespace: &str, name: &str, exclude: bool) -> Value {
    json!({
        "metadata": {
            "namespace": namespace, "name": format!("{name}-0"), "uid": format!("uid-{name}"), "resourceVersion": "8",
            "labels": {"app": name}, "annotations": {"headroom.dev/exclude": exclude.to_string()},
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": format!("registry/{name}:1")}]},
    })
}

fn namespace(name: &str, exclude: bool) -> Value {
    json!({"metadata": {
        "name": name, "resourceVersion": "8", "labels": {"team": name},
        "annotations": {"headroom.dev/exclude": exclude.to_string()},
    }})
}

/// A server that knows the node, its namespaces and the pods `web` and `build`.
async fn server(node: &Node, ci_is_excluded: bool) -> ApiServer {
    let server = ApiServer::start().await;
    server.set("pods", vec![pod("shop", "web", false), pod("ci", "build", false)]);
    server.set("namespaces", vec![namespace("shop", false), namespace("ci", ci_is_excluded)]);
    server.set("nodes", vec![json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}})]);
    server.write_kube_config(&node.root().join("kubeconfig"));
    server
}

/// `kubernetes` of every event of a pod, in order.
fn described(node: &Node, pod: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(node.root().join("json")).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| event["kubernetes"].clone()).filter(|found| found["pod_name"] == pod).collect()
}

/// The sum of a metric's series whose line holds `label`.
fn metric(registry: &Registry, name: &str, label: &str) -> f64 {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let series = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Reads until something is so.
async fn until(app: &App, what: &str, so: impl Fn() -> bool) {
    let reading = async {
        while !so() {
            app.caught_up().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .unwrap_or_else(|_| panic!("waited for: {what}"));
}

async fn until_excluded(app: &App, registry: &Registry, files: f64) {
    let excluded = || metric(registry, "kubernetes_excluded_files", "files") == files;
    until(app, "the files that are left out", excluded).await;
    // Read once more, with nothing in doubt.
    app.caught_up().await.unwrap();
}

#[tokio::test]
async fn events_have_what_is_known_of_their_pod_and_say_when_that_is_not_all() {
    let node = node();
    let server = server(&node, false).await;
    let lines = requests("web", 0, 40);
    node.write(WEB, cri(0, &lines[..10]));
    node.write(API, cri(10, &lines[10..20]));
    let registry = Registry::new();
    let app = node.start_with(&registry).await;
    app.caught_up().await.unwrap();
    let of_path = |name: &str| {
        json!({"pod_namespace": "shop", "pod_name": format!("{name}-0"), "pod_uid": format!("uid-{name}"),
            "container_name": "app", "pod_node_name": "n1", "namespace_labels": {"team": "shop"}, "node_labels": {"zone": "a"}})
    };
    let (mut web, mut api) = (of_path("web"), of_path("api"));
    web["pod_labels"] = json!({"app": "web"});
    web["container_image"] = "registry/web:1".into();
    assert_eq!(described(&node, "web-0"), vec![web; 10]);
    api["enrichment"] = "partial".into();
    assert_eq!(described(&node, "api-0"), vec![api.clone(); 10]);
    assert_eq!(metric(&registry, "k8s_event_annotation_failures_total", "files"), 10.0);
    // What was read keeps what was known then; what is read now has more.
    server.send("pods", "ADDED", &pod("shop", "api", false)).await;
    let seen = std::cell::Cell::new(20);
    until(&app, "an event of a pod that has become known", || {
        if described(&node, "api-0").last().unwrap().get("enrichment").is_none() {
            return true;
        }
        let at = seen.replace(seen.get() + 1);
        node.append(API, cri(at, &requests("late", at as u32, at as u32 + 1)));
        false
    })
    .await;
    let last = described(&node, "api-0").pop().unwrap();
    assert_eq!(
        (&last["pod_labels"], &last["container_image"]),
        (&json!({"app": "api"}), &"registry/api:1".into())
    );
    assert_eq!(described(&node, "api-0")[0], api);
    // The pod is gone before its last lines are read.
    server.send("pods", "DELETED", &pod("shop", "web", false)).await;
    node.append(WEB, cri(20, &lines[20..30]));
    app.caught_up().await.unwrap();
    assert!(described(&node, "web-0").iter().all(|found| found["pod_labels"]["app"] == "web"));
    assert_eq!(node.archived().await.iter().filter(|line| line.contains("/web/")).count(), 30);
    balanced(&app.stop().await.unwrap());
}

#[tokio::test]
async fn an_excluded_pod_is_let_go_among_others_and_read_on_when_it_is_not_any_more() {
    let node = node();
    let server = server(&node, false).await;
    let lines = requests("web", 0, 60);
    node.write(WEB, cri(0, &lines[..10]));
    node.write(BUILD, cri(10, &lines[10..20]));
    let registry = Registry::new();
    let app = node.start_with(&registry).await;
    app.caught_up().await.unwrap();
    assert_eq!(node.archived().await.len(), 20);
    server.send("namespaces", "MODIFIED", &namespace("ci", true)).await;
    until_excluded(&app, &registry, 1.0).await;
    let watermark = node.engine.watermark_ms();
    node.append(WEB, cri(20, &lines[20..30]));
    node.append(BUILD, cri(30, &lines[30..40]));
    until(&app, "a newer watermark", || node.engine.watermark_ms() > watermark).await;
    assert_eq!(node.archived().await, [&lines[10..20], &lines[..10], &lines[20..30]].concat());
    assert_eq!(node.engine.ended(), 0, "what is left out has not ended");
    // It rotates while nobody looks.
    node.rename(BUILD, &format!("{BUILD}.20260101-100000"));
    node.write(BUILD, cri(40, &lines[40..50]));
    until_excluded(&app, &registry, 2.0).await;
    server.send("pods", "MODIFIED", &pod("shop", "web", true)).await;
    until_excluded(&app, &registry, 3.0).await;
    server.send("namespaces", "MODIFIED", &namespace("ci", false)).await;
    server.send("pods", "MODIFIED", &pod("shop", "web", false)).await;
    until_excluded(&app, &registry, 0.0).await;
    balanced(&app.stop().await.unwrap());
    node.holds(&node.archived().await, &lines[..50]);
    assert_eq!(metric(&registry, "component_errors_total", ""), 0.0);
}

/// How far the only stream was read, as the next process will know.
fn read_to(node: &Node) -> u64 {
    let saved: Value =
        serde_json::from_slice(&std::fs::read(node.data().join("checkpoints.json")).unwrap()).unwrap();
    let streams = saved["streams"].as_object().unwrap();
    streams.values().filter_map(|stream| stream["fingerprint"]["end"].as_u64()).max().unwrap_or(0)
}

#[test]
fn what_a_sink_lacks_of_an_excluded_pod_is_not_lost() {
    let node = node();
    // The server lives on while collectors come and go.
    let outside = tokio::runtime::Runtime::new().unwrap();
    let server = outside.block_on(server(&node, false));
    let (lines, out) = (requests("web", 0, 20), node.root().join("out"));
    node.write(BUILD, cri(0, &lines[..5]));
    outside.block_on(node.run());
    // A directory in the place of the file that is to be written.
    std::fs::remove_file(&out).unwrap();
    std::fs::create_dir(&out).unwrap();
    node.append(BUILD, cri(5, &lines[5..]));
    let registry = Registry::new();
    let failed = || metric(&registry, "component_errors_total", "component_id=\"shown\"") > 0.0;
    let whole = std::fs::metadata(node.path(BUILD)).unwrap().len();
    // This one is gone where it stands, while one of its sinks lacks something.
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let _app = node.start_with(&registry).await;
        let wait = async {
            while !(failed() && node.engine.counted().lines == 20 && read_to(&node) == whole) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    });
    server.set("namespaces", vec![namespace("shop", false), namespace("ci", true)]);
    std::fs::remove_dir(&out).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let registry = Registry::new();
        let app = node.start_with(&registry).await;
        until_excluded(&app, &registry, 1.0).await;
        assert_eq!(node.shown(), [""; 0]);
        assert_eq!(metric(&registry, "component_errors_total", ""), 0.0);
        server.send("namespaces", "MODIFIED", &namespace("ci", false)).await;
        until_excluded(&app, &registry, 0.0).await;
        balanced(&app.stop().await.unwrap());
        assert_eq!(node.shown(), lines[5..]);
        assert_eq!((node.archived().await, node.engine.counted().lines), (lines, 20));
    });
}

#[test]
fn a_collector_that_starts_while_the_api_server_is_away_knows_what_the_one_before_knew() {
    let node = node();
    let lines = requests("web", 0, 30);
    node.write(WEB, cri(0, &lines[..10]));
    node.write(BUILD, cri(10, &lines[10..20]));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let _server = server(&node, true).await;
        node.run().await;
    });
    node.append(WEB, cri(20, &lines[20..]));
    node.append(BUILD, cri(20, &lines[20..]));
    // Time passes at once: so do the ten seconds that the first look waits.
    let registry = Registry::new();
    runtime().block_on(async {
        let app = node.start_with(&registry).await;
        app.caught_up().await.unwrap();
        balanced(&app.stop().await.unwrap());
    });
    assert!(metric(&registry, "kubernetes_watch_errors_total", "pods") > 0.0);
    assert_eq!(metric(&registry, "k8s_event_annotation_failures_total", "files"), 0.0);
    assert_eq!(node.shown(), [&lines[..10], &lines[20..]].concat());
    assert!(described(&node, "web-0").iter().all(|found| found["pod_labels"]["app"] == "web"));
    assert!(described(&node, "build-0").is_empty());
    // Nobody has known anything: all is read, and flagged.
    std::fs::write(node.data().join("kubernetes.json"), "{").unwrap();
    runtime().block_on(async { node.run().await });
    assert_eq!(node.shown().len(), 40);
    assert!(described(&node, "build-0").iter().all(|found| found["enrichment"] == "partial"));
}

#[tokio::test]
async fn a_kubeconfig_that_is_none_is_told_at_start() {
    let node = node();
    let options = crate::app::Options { counts: Some(node.engine.clone()), ..Default::default() };
    let Err(error) = App::start(node.config(), options).await else { panic!("there is none") };
    assert!(error.to_string().starts_with("cannot use the kubeconfig "), "{error:#}");
}
