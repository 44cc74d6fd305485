//! How the pods behind a service are, from pods as the API server sends them.

use super::*;

fn pod(name: &str, app: &str, phase: &str, ready: bool, waiting: Option<&str>) -> Value {
    let state = waiting.map_or(json!({ "running": {} }), |reason| json!({ "waiting": { "reason": reason } }));
    let status = json!({
        "phase": phase,
        "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        "containerStatuses": [
            { "name": "app", "state": state, "ready": ready, "restartCount": 0, "image": "app:1", "imageID": "" },
        ],
    });
    json!({
        "metadata": { "namespace": "shop", "name": name, "uid": name, "labels": { "app": app, "tier": "front" } },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
        "status": status,
    })
}

fn deployment(replicas: i32) -> Value {
    json!({
        "metadata": { "namespace": "shop", "name": "web" },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web", "tier": "front" } } },
        },
    })
}

#[track_caller]
fn check(pods: Vec<Value>, replicas: i32, want: &str) {
    let mut objects = objects(vec![service("web", json!({}))], vec![]);
    objects.pods = Some(pods.into_iter().map(kept).collect());
    objects.deployments = Some(vec![kept(deployment(replicas))]);
    let cluster = first(&objects);
    assert_eq!(found(&cluster, "web").workload.as_ref().unwrap().to_string(), want);
}

#[test]
fn pods_are_told_as_they_are() {
    let ready = || pod("web-1", "web", "Running", true, None);
    let unready = || pod("web-2", "web", "Running", false, None);
    let pending = || pod("web-3", "web", "Pending", false, Some("ContainerCreating"));
    let crashing = || pod("web-4", "web", "Running", false, Some("CrashLoopBackOff"));
    check(vec![ready(), unready()], 2, "serving, 1 of 2 pods ready");
    check(vec![unready(), pending()], 2, "not ready");
    check(vec![pending()], 1, "starting");
    check(vec![ready(), crashing()], 2, "crash-looping, container app of pod web-4");
    check(vec![], 0, "scaled to zero");
    check(vec![], 1, "no pods");
}

#[test]
fn pods_of_others_and_those_that_have_ended_are_not_behind_it() {
    check(vec![pod("db-1", "db", "Running", true, None)], 1, "no pods");
    check(vec![pod("web-0", "web", "Failed", false, Some("CrashLoopBackOff"))], 0, "scaled to zero");
}

#[test]
fn a_service_without_a_selector_says_so() {
    let mut objects = objects(vec![json!({ "metadata": { "namespace": "shop", "name": "web" } })], vec![]);
    objects.pods = Some(vec![kept(pod("web-1", "web", "Running", true, None))]);
    assert_eq!(found(&first(&objects), "web").workload, Some(Workload::NoSelector));
}
