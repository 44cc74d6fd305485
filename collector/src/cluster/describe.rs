//! What events say of their pod: a pure function of what is known.

use kubernetes::{Labels, Namespace, Node, Pod};
use vrl::value::{ObjectMap, Value};

use crate::event::{self, Metadata};

/// Vector's fields of a pod. Partial where the pod, its namespace or the node is not known.
pub(super) fn metadata(
    place: &event::Pod,
    node_name: &str,
    pod: Option<&Pod>,
    namespace: Option<&Namespace>,
    node: Option<&Node>,
) -> Metadata {
    let mut fields = ObjectMap::from([("pod_node_name".into(), node_name.into())]);
    let mut put = |name: &str, value: Option<Value>| {
        value.map(|value| fields.insert(name.into(), value));
    };
    if let Some(pod) = pod {
        let owner = pod.owner.as_ref().map(|owner| format!("{}/{}", owner.kind, owner.name));
        put("pod_ip", pod.ip.as_deref().map(Value::from));
        put("pod_owner", owner.map(Value::from));
        put("pod_labels", labels(&pod.labels));
        if let Some(container) = pod.containers.get(&place.container) {
            put("container_image", Some(container.image.as_str().into()));
            // After a restart, the log of the container before is still being read.
            let is_this_one = u32::try_from(container.restarts) == Ok(place.restart);
            put("container_id", container.id.as_deref().filter(|_| is_this_one).map(Value::from));
        }
    }
    put("namespace_labels", namespace.and_then(|namespace| labels(&namespace.labels)));
    put("node_labels", node.and_then(|node| labels(&node.labels)));
    Metadata::new(fields, pod.is_none() || namespace.is_none() || node.is_none())
}

fn labels(labels: &Labels) -> Option<Value> {
    let object = labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    (!labels.is_empty()).then(|| Value::Object(object.collect()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kubernetes::{Container, Owner};
    use serde_json::json;

    use super::*;

    fn place(restart: u32) -> event::Pod {
        event::Pod {
            namespace: "shop".into(),
            name: "web-0".into(),
            uid: "u".into(),
            container: "web".into(),
            restart,
        }
    }

    fn pod() -> Pod {
        let container = Container {
            image: "registry/web:1".into(),
            id: Some("containerd://a".into()),
            restarts: 2,
            waiting: None,
        };
        Pod {
            labels: BTreeMap::from([("app.kubernetes.io/name".into(), "web".into())]),
            ip: Some("10.0.0.7".into()),
            owner: Some(Owner { kind: "ReplicaSet".into(), name: "web-5f7d8c9b6".into() }),
            containers: BTreeMap::from([("web".into(), container)]),
            ..Pod::default()
        }
    }

    #[track_caller]
    fn check(metadata: &Metadata, want: serde_json::Value) {
        assert_eq!(serde_json::to_value(metadata.fields()).unwrap(), want);
        assert_eq!(metadata.is_partial(), want.get("enrichment").is_some());
    }

    #[test]
    fn a_known_pod_has_all_of_vectors_fields() {
        let namespace =
            Namespace { labels: BTreeMap::from([("team".into(), "a".into())]), ..Namespace::default() };
        let node = Node { labels: BTreeMap::from([("zone".into(), "z".into())]), ..Node::default() };
        let all = metadata(&place(2), "n1", Some(&pod()), Some(&namespace), Some(&node));
        let mut want = json!({
            "pod_node_name": "n1", "pod_ip": "10.0.0.7", "pod_owner": "ReplicaSet/web-5f7d8c9b6",
            "pod_labels": {"app.kubernetes.io/name": "web"}, "container_image": "registry/web:1",
            "container_id": "containerd://a", "namespace_labels": {"team": "a"}, "node_labels": {"zone": "z"},
        });
        check(&all, want.clone());
        want.as_object_mut().unwrap().remove("container_id");
        check(&metadata(&place(1), "n1", Some(&pod()), Some(&namespace), Some(&node)), want);
    }

    #[test]
    fn what_is_not_known_is_said_to_be_partial() {
        check(
            &metadata(&place(0), "n1", None, None, None),
            json!({"pod_node_name": "n1", "enrichment": "partial"}),
        );
        let (namespace, node) = (Namespace::default(), Node::default());
        check(
            &metadata(&place(0), "n1", Some(&Pod::default()), Some(&namespace), Some(&node)),
            json!({"pod_node_name": "n1"}),
        );
        assert!(metadata(&place(0), "n1", Some(&pod()), None, Some(&node)).is_partial());
        assert!(metadata(&place(0), "n1", Some(&pod()), Some(&namespace), None).is_partial());
    }
}
