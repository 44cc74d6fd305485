//! Tests: whatever an event holds, it is one document in the right index, and its bytes can be had back.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::event::{Metadata, Place, Pod, Stdio};

/// 2026-03-01T12:00:00.000000001Z.
const TIME: &str = "2026-03-01T12:00:00.000000001Z";

fn event(body: Body) -> Event {
    let pod = Pod {
        namespace: "shop".into(),
        name: "web-0".into(),
        uid: "u".into(),
        container: "web".into(),
        restart: 0,
    };
    let stream = Arc::new(Stream { id: "s".into(), path: "/l/0.log".into(), pod: Some(pod), metadata: None });
    let place = Place { stream, offset: 7, index: 0 };
    Event { place, time: Some(TIME.parse().unwrap()), stdio: Some(Stdio::Stdout), body }
}

fn line(line: impl Into<bytes::Bytes>) -> Event {
    event(Body::Line(line.into()))
}

/// An event of these fields, as `remap` gives it.
fn fields(fields: Json) -> Event {
    event(Body::Fields(Box::new(fields.into())))
}

fn plain(mut event: Event) -> Event {
    let stream = Stream { id: "s".into(), path: "/l/a.log".into(), pod: None, metadata: None };
    event.place.stream = Arc::new(stream);
    (event.time, event.stdio) = (None, None);
    event
}

/// The action and the document of the only item.
#[track_caller]
fn item(event: &Event) -> (Json, Json) {
    let mut bulk = Bulk::default();
    Encoder::new(Daily::parse("logs-%Y.%m.%d").unwrap()).push(event, &mut bulk);
    let text = std::str::from_utf8(bulk.body()).unwrap();
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    let [action, document] = lines.as_slice() else { panic!("{text}") };
    (serde_json::from_str(action).unwrap(), serde_json::from_str(document).unwrap())
}

fn index(event: &Event) -> String {
    item(event).0["create"]["_index"].as_str().unwrap().to_owned()
}

#[test]
fn a_line_is_a_document_with_its_place() {
    let (action, document) = item(&line("hello \"you\""));
    let id = document_id(&[b"s", &7_u64.to_be_bytes(), &0_u32.to_be_bytes()]);
    assert_eq!(action, json!({"create": {"_index": "logs-2026.03.01", "_id": id}}));
    assert_eq!(
        document,
        json!({
            "@timestamp": TIME,
            "message": "hello \"you\"",
            "stream": "stdout",
            "file": "/l/0.log",
            "kubernetes": {"pod_namespace": "shop", "pod_name": "web-0", "pod_uid": "u", "container_name": "web"},
            "headroom": {"stream": "s", "offset": 7, "index": 0},
        })
    );
}

#[test]
fn what_is_known_of_the_pod_stands_beside_what_the_path_says() {
    let known = json!({"pod_labels": {"app": "web", "app.kubernetes.io/name": "\"}"}, "pod_ip": "10.0.0.7"});
    let Value::Object(known) = Value::from(known) else { panic!("no object") };
    let mut event = line("hello");
    let with = |metadata| Arc::new(Stream { metadata, ..Stream::clone(&line("").place.stream) });
    event.place.stream = with(Some(Arc::new(Metadata::new(known, true))));
    let (action, document) = item(&event);
    let mut want = item(&line("hello")).1;
    want["kubernetes"]["pod_labels"] = json!({"app": "web", "app.kubernetes.io/name": "\"}"});
    want["kubernetes"]["pod_ip"] = "10.0.0.7".into();
    want["kubernetes"]["enrichment"] = "partial".into();
    assert_eq!((&action, &document), (&item(&line("hello")).0, &want));
    assert_eq!(serde_json::to_value(event.to_value()).unwrap()["kubernetes"], want["kubernetes"]);
    event.place.stream = with(Some(Arc::new(Metadata::new(ObjectMap::new(), false))));
    assert_eq!(item(&event), item(&line("hello")));
}

#[test]
fn labels_that_are_none_are_kept_as_text() {
    let takes =
        |kubernetes: Json| item(&fields(json!({"kubernetes": kubernetes}))).1.get("kubernetes").is_some();
    assert!(takes(json!({"pod_labels": {"app": "web", "app.kubernetes.io/name": "web", "a..b": ""}})));
    for none in [
        json!("text"),
        json!([{"a": "b"}]),
        json!({"a": {"b": "c"}}),
        json!({"a": 1}),
        json!({"": "x"}),
        json!({"a": "x".repeat(40_000)}),
        json!({"a\u{0}b": "x"}),
        json!({"a": "x\u{0}y"}),
        Json::Null,
    ] {
        assert!(!takes(json!({"node_labels": none})), "{none}");
    }
    assert!(!takes(json!({"pod_labels.app": "web"})));
    let (_, document) = item(&fields(json!({"kubernetes.pod_labels.app": "web"})));
    assert_eq!(document["headroom"]["fields"], r#"{"kubernetes.pod_labels.app":"web"}"#);
}

#[test]
fn fields_take_the_place_of_what_was_read() {
    let mut event = fields(
        json!({"level": "error", "n": 1.5, "kubernetes": {"pod_name": "web-0", "labels": {"a": "b"}}}),
    );
    event.place.index = 3;
    let (_, document) = item(&event);
    assert_eq!(
        document,
        json!({
            "@timestamp": TIME,
            "level": "error",
            "n": 1.5,
            "kubernetes": {"pod_name": "web-0", "labels": {"a": "b"}},
            "headroom": {"stream": "s", "offset": 7, "index": 3},
        })
    );
}

#[test]
fn fields_that_would_refuse_the_document_are_kept_as_text() {
    let unfit = json!({
        "": 1, " ": 1, ".a": 1, "a..b": 1, "a.": 1, "_id": "x", "_source": {}, "@timestamp": "soon", "headroom": 1,
        "headroom.offset": 1, "message": {"a": 1}, "message.a": 1, "file": [{"a": 1}], "stream": {"a": 1},
        "kubernetes": "x", "kubernetes.pod_name": {"a": 1}, "message_base64": "?",
    });
    let mut all = unfit.clone();
    all["_msg"] = "kept".into();
    all["a.b"] = json!({"": 1});
    let (_, document) = item(&fields(all));
    let kept: Json = serde_json::from_str(document["headroom"]["fields"].as_str().unwrap()).unwrap();
    assert_eq!(kept, unfit);
    let names: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(names, ["@timestamp", "_msg", "a.b", "headroom"]);
    let (_, document) =
        item(&fields(json!({"kubernetes": {"pod_name": {"a": 1}}, "message": ["a", 1, null]})));
    assert_eq!(document["headroom"]["fields"], r#"{"kubernetes":{"pod_name":{"a":1}}}"#);
    assert_eq!(document["message"], json!(["a", 1, null]));
}

#[test]
fn an_event_says_itself_when_it_happened_within_a_day_of_the_cri_time() {
    let own = fields(json!({"timestamp": "2026-03-02T01:00:00+01:00"}));
    let (_, document) = item(&own);
    assert_eq!(
        (index(&own).as_str(), &document["@timestamp"]),
        ("logs-2026.03.02", &"2026-03-02T00:00:00Z".into())
    );
    assert_eq!(document.get("timestamp"), None);
    for strange in ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-03-03T12:00:00Z", "soon"] {
        let event = fields(json!({"timestamp": strange}));
        let (_, document) = item(&event);
        assert_eq!((index(&event).as_str(), &document["@timestamp"]), ("logs-2026.03.01", &TIME.into()));
        assert_eq!(document["timestamp"], strange);
    }
}

#[test]
fn a_plain_line_without_a_time_lies_in_no_day() {
    let access = r#"192.0.2.1 - - [28/Feb/2026:23:30:00 -0100] "GET / HTTP/1.1" 200 612 "-" "curl""#;
    assert_eq!(index(&plain(line(access))), "logs-2026.03.01");
    assert_eq!(index(&plain(line("1999-12-31T23:59:59Z old"))), "logs-undated");
    let (action, document) = item(&plain(line("hello")));
    assert_eq!(action["create"]["_index"], "logs-undated");
    assert_eq!(document.get("@timestamp"), None);
    assert_eq!(document["file"], "/l/a.log");
}

#[test]
fn a_line_that_looks_like_a_request_is_a_message() {
    for hostile in [
        "{\"index\":{\"_index\":\".security\"}}\n{\"a\":1}",
        "\"}}\n{\"delete\":{\"_index\":\"logs-2026.03.01\",\"_id\":\"x\"}}",
        "a\u{2028}b\u{2029}c\u{85}d\u{0}e\u{1b}f\r\n\\n\u{feff}",
    ] {
        let (action, document) = item(&line(hostile));
        assert_eq!(document["message"], hostile);
        assert_eq!(action["create"]["_index"], "logs-2026.03.01");
    }
}

/// The bytes of a line, from its document.
fn bytes_of(document: &Json) -> Vec<u8> {
    match document.get("message_base64") {
        Some(text) => base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap(),
        None => document["message"].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        ".*".prop_map(Json::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name =
            prop_oneof![".*", "[a-z_.]{1,6}", Just("message".to_owned()), Just("kubernetes".to_owned())];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::btree_map(name, inner, 0..5)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_line_is_one_document_with_its_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_, document) = item(&line(bytes.clone()));
        prop_assert_eq!(bytes_of(&document), bytes.clone());
        let (_, document) = item(&plain(line(bytes.clone())));
        prop_assert_eq!(bytes_of(&document), bytes.clone());
        // As a field it is kept in the same way.
        let value = Value::Object(ObjectMap::from([("message".into(), Value::Bytes(bytes.clone().into()))]));
        let (_, document) = item(&event(Body::Fields(Box::new(value))));
        prop_assert_eq!(bytes_of(&document), bytes);
    }

    #[test]
    fn any_fields_are_one_document_without_loss(json in any_json()) {
        let (_, document) = item(&fields(json.clone()));
        prop_assert_eq!(document["headroom"]["offset"].as_u64(), Some(7));
        let unfit: Json = document["headroom"].get("fields").map_or(json!({}), |text| serde_json::from_str(text.as_str().unwrap()).unwrap());
        for (name, value) in json.as_object().into_iter().flatten() {
            let kept = document.get(name).filter(|_| name != "headroom" && name != "@timestamp").or_else(|| unfit.get(name));
            prop_assert!(kept == Some(value) || name == "timestamp" || name == "@timestamp", "{name}");
        }
    }
}
