//! Tests: what is kept of objects as an API server sends them.

use serde_json::{Value, json};

use super::*;

#[track_caller]
fn keep<T: Kept>(object: Value) -> T {
    T::keep(serde_json::from_value(object).unwrap()).unwrap()
}

fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn of_a_pod_its_labels_owner_address_and_containers_are_kept() {
    let pod: Pod = keep(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-5f7d8c9b6-x2x4z", "namespace": "shop", "uid": "7d1c2a90-1111-4222-8333-444455556666",
            "labels": {"app": "web", "app.kubernetes.io/name": "web"},
            "annotations": {
                "headroom.dev/exclude": "true", "headroom.dev/long": "x".repeat(2000),
                "kubectl.kubernetes.io/last-applied-configuration": "{\"password\":\"x\"}",
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5f7d8c9b6", "uid": "u"}],
            "managedFields": [{"manager": "kubelet", "operation": "Update"}],
        },
        "spec": {
            "nodeName": "n1",
            "initContainers": [{"name": "migrate", "image": "registry/migrate:1"}],
            "containers": [{"name": "app", "image": "registry/web:1.2"}, {"name": "sidecar", "image": "registry/proxy:3"}],
        },
        "status": {
            "phase": "Running", "podIP": "10.244.1.7",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
            "containerStatuses": [{
                "name": "app", "containerID": "containerd://abc", "image": "sha256:1", "imageID": "registry/web@sha256:1",
                "ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            }],
        },
    }));
    assert_eq!(pod.key(), Key::Uid("7d1c2a90-1111-4222-8333-444455556666".into()));
    assert_eq!(pod.labels, labels(&[("app", "web"), ("app.kubernetes.io/name", "web")]));
    // Those of others may hold secrets, and are written to disk with the rest otherwise.
    assert_eq!(pod.annotations, labels(&[("headroom.dev/exclude", "true")]));
    assert!(is_excluded(&pod.annotations));
    assert_eq!((pod.node.as_deref(), pod.ip.as_deref()), (Some("n1"), Some("10.244.1.7")));
    assert_eq!(pod.owner, Some(Owner { kind: "ReplicaSet".into(), name: "web-5f7d8c9b6".into() }));
    assert_eq!((pod.phase.as_str(), pod.ready), ("Running", false));
    let app = Container {
        image: "registry/web:1.2".into(),
        id: Some("containerd://abc".into()),
        restarts: 4,
        waiting: Some("CrashLoopBackOff".into()),
    };
    assert_eq!(pod.containers["app"], app);
    assert_eq!(pod.containers.keys().collect::<Vec<_>>(), ["app", "migrate", "sidecar"]);
    let written = serde_json::to_string(&pod).unwrap();
    assert_eq!(serde_json::from_str::<Pod>(&written).unwrap(), pod);
}

#[test]
fn a_static_pod_is_found_by_the_name_of_its_log_directory() {
    let pod: Pod = keep(json!({"metadata": {
        "name": "etcd-n1", "namespace": "kube-system", "uid": "of-the-mirror",
        "annotations": {"kubernetes.io/config.mirror": "0f3a"},
    }}));
    assert_eq!(pod.key(), Key::Uid("0f3a".into()));
}

#[test]
fn of_a_service_its_selector_and_our_annotations_are_kept() {
    let service: Service = keep(json!({
        "metadata": {"name": "web", "namespace": "shop", "labels": {"team": "a"},
            "annotations": {"headroom.dev/availability": "99.95", "cloud/other": "x"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
    }));
    assert_eq!(service.key(), Key::Name("shop".into(), "web".into()));
    assert_eq!(service.selector, labels(&[("app", "web")]));
    assert_eq!(service.annotations, labels(&[("headroom.dev/availability", "99.95")]));
}

#[test]
fn of_an_ingress_its_class_and_the_services_behind_it_are_kept() {
    let backend = |name: &str| json!({"service": {"name": name, "port": {"number": 80}}});
    let path = |name: &str| json!({"path": "/", "pathType": "Prefix", "backend": backend(name)});
    let mut object = json!({
        "metadata": {"name": "all", "namespace": "shop", "annotations": {"kubernetes.io/ingress.class": "nginx"}},
        "spec": {
            "defaultBackend": backend("web"),
            "rules": [
                {"host": "a", "http": {"paths": [path("web"), path("api")]}},
                {"host": "b"},
                {"http": {"paths": [{"path": "/", "pathType": "Exact", "backend": {"resource": {"kind": "Bucket", "name": "x"}}}]}},
            ],
        },
    });
    let ingress: Ingress = keep(object.clone());
    assert_eq!(
        (ingress.class.as_deref(), ingress.services),
        (Some("nginx"), vec!["api".into(), "web".into()])
    );
    object["spec"]["ingressClassName"] = "internal".into();
    assert_eq!(keep::<Ingress>(object).class.as_deref(), Some("internal"));
}

#[test]
fn of_a_node_and_a_namespace_names_labels_and_state_are_kept() {
    let node: Node = keep(json!({
        "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "a"}},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    }));
    assert_eq!((node.key(), node.ready), (Key::Name(String::new(), "n1".into()), false));
    assert_eq!(node.labels, labels(&[("topology.kubernetes.io/zone", "a")]));
    let namespace: Namespace =
        keep(json!({"metadata": {"name": "shop", "annotations": {"headroom.dev/exclude": "yes"}}}));
    assert!(!is_excluded(&namespace.annotations), "only \"true\" excludes");
}

#[test]
fn of_workloads_the_wanted_pods_are_kept() {
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 0, "serviceName": "web", "selector": {}, "template": {"metadata": {"labels": {"app": "web"}}}},
        "status": {"desiredNumberScheduled": 2, "currentNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 0, "replicas": 0},
    });
    let (scaled, set): (Workload<Deployment>, Workload<DaemonSet>) =
        (keep(object.clone()), keep(object.clone()));
    assert_eq!((scaled.replicas, set.replicas), (0, 2));
    assert_eq!(keep::<Workload<StatefulSet>>(object).pod_labels, labels(&[("app", "web")]));
}
