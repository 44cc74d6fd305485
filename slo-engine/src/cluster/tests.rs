//! What is found, from objects as the API server sends them.

use kubernetes::Kept;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use slo::counts::Sli;

use super::discover::{Discovery, seen, text};
use super::*;
use crate::specs::Specs;

mod workloads;

const NOW: MinuteId = MinuteId(1000);

fn kept<T: Kept>(object: Value) -> std::sync::Arc<T>
where
    T::Object: DeserializeOwned,
{
    std::sync::Arc::new(T::keep(serde_json::from_value(object).unwrap()).unwrap())
}

fn namespace(name: &str, metadata: Value) -> Value {
    object(json!({ "name": name }), metadata, json!({}))
}

fn service(name: &str, metadata: Value) -> Value {
    object(
        json!({ "namespace": "shop", "name": name }),
        metadata,
        json!({ "spec": { "selector": { "app": name } } }),
    )
}

/// An object with more in its metadata, and more beside it.
fn object(mut metadata: Value, more: Value, mut rest: Value) -> Value {
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rest["metadata"] = metadata;
    rest
}

fn ingress(name: &str, service: &str) -> Value {
    let backend = json!({ "service": { "name": service, "port": { "number": 80 } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
    json!({
        "metadata": { "namespace": "shop", "name": name },
        "spec": { "rules": [{ "host": "shop.example.net", "http": { "paths": [path] } }] },
    })
}

fn objects(services: Vec<Value>, ingresses: Vec<Value>) -> Objects {
    Objects {
        namespaces: vec![kept(namespace("shop", json!({})))],
        services: services.into_iter().map(kept).collect(),
        ingresses: Some(ingresses.into_iter().map(kept).collect()),
        ..Objects::default()
    }
}

fn annotated(name: &str, annotations: Value) -> Value {
    service(name, json!({ "annotations": annotations }))
}

fn first(objects: &Objects) -> Cluster {
    find(objects, &Cluster::default(), &BTreeSet::new(), NOW)
}

fn found<'a>(cluster: &'a Cluster, name: &str) -> &'a Found {
    &cluster.services[&name_of(name)]
}

fn name_of(name: &str) -> Name {
    ("shop".to_owned(), name.to_owned())
}

#[track_caller]
fn check_problem(annotation: &str, value: &str, want: &str) {
    let cluster = first(&objects(vec![annotated("web", json!({ annotation: value }))], vec![]));
    assert_eq!(
        found(&cluster, "web").problems,
        [format!("Service shop/web, annotation {annotation}: {want}")]
    );
    assert_eq!(found(&cluster, "web").slos, []);
}

#[test]
fn whatever_has_slos_says_why_and_what_has_none_says_why_not() {
    let mut objects = objects(
        vec![
            service("web", json!({})),
            annotated("queue", json!({ "headroom.dev/availability": "99.5" })),
            annotated("admin", json!({ "headroom.dev/exclude": "true" })),
            service("db", json!({})),
            service("seen", json!({})),
        ],
        vec![ingress("front", "web"), ingress("front-2", "web"), ingress("back", "admin")],
    );
    let excluded = json!({ "annotations": { "headroom.dev/exclude": "true" } });
    objects.namespaces.push(kept(namespace("ci", excluded)));
    objects.services.push(kept(json!({ "metadata": { "namespace": "ci", "name": "runner" } })));
    let cluster = find(&objects, &Cluster::default(), &BTreeSet::from([name_of("seen")]), NOW);
    let why: Vec<String> = cluster.services.values().map(|found| found.why.to_string()).collect();
    assert_eq!(
        why,
        [
            "its namespace is excluded by annotation",
            "excluded by annotation",
            "no ingress routes here and no requests were seen",
            "annotated",
            "requests were counted",
            "ingress front, front-2 routes here",
        ]
    );
    let expected: Vec<String> = cluster.expected().map(|(service, _)| service.to_string()).collect();
    assert_eq!(expected, ["shop/queue", "shop/web"]);
    assert!(
        cluster.is_excluded(&Service::parse("ci/runner"))
            // A workload there, after which its own log names a service.
            && cluster.is_excluded(&Service::parse("ci/runner-app"))
            && !cluster.is_excluded(&Service::parse("shop/admin-app"))
            && cluster.is_excluded(&Service::parse("shop/admin"))
    );
}

#[test]
fn a_service_says_whose_it_is_and_its_namespace_where_it_does_not() {
    let labels = json!({ "labels": { "team": "payments", "owner": "ada" } });
    let mut objects = objects(
        vec![
            service("labels", labels.clone()),
            annotated(
                "annotations",
                json!({ "headroom.dev/team": "carts", "headroom.dev/runbook": "https://r.example.net/x" }),
            ),
            service("none", json!({})),
        ],
        vec![],
    );
    objects.namespaces = vec![kept(namespace("shop", json!({ "labels": { "team": "platform" } })))];
    let cluster = first(&objects);
    let whose = |name: &str| {
        let found = found(&cluster, name);
        (found.team.as_deref(), found.owner.as_deref(), found.runbook.as_deref())
    };
    assert_eq!(whose("labels"), (Some("payments"), Some("ada"), None));
    assert_eq!(whose("annotations"), (Some("carts"), None, Some("https://r.example.net/x")));
    assert_eq!(whose("none"), (Some("platform"), None, None));
}

#[test]
fn annotations_say_other_slos_than_the_defaults() {
    let asked = json!({ "headroom.dev/availability": "99.95%", "headroom.dev/latency": "99% < 0.25s" });
    let cluster = first(&objects(vec![annotated("web", asked)], vec![]));
    let specs = Specs::default().annotated(&cluster);
    let service = Service::parse("shop/web");
    assert_eq!(specs.spec(&service, Sli::Availability).objective.to_string(), "99.95");
    let latency = specs.spec(&service, Sli::Latency);
    assert_eq!((latency.objective.to_string().as_str(), latency.threshold_us), ("99", Some(250_000)));
    let document = SloSpec { threshold_us: Some(100_000), ..SloSpec::default_of(Sli::Latency) };
    let specs = Specs::new([(service.clone(), document)]).annotated(&cluster);
    assert_eq!(specs.threshold_us(&service), 100_000, "a document has the last word");
    assert_eq!(
        specs.spec(&Service::parse("shop/other"), Sli::Availability),
        SloSpec::default_of(Sli::Availability)
    );
}

#[test]
fn a_wrong_value_is_told_with_its_object_and_the_default_holds() {
    check_problem(
        "headroom.dev/availability",
        "100",
        "objective \"100\" is not a percentage strictly between 0 and 100, like 99.9; the default, 99.9, holds",
    );
    check_problem(
        "headroom.dev/latency",
        "95% < 300ms",
        "\"300ms\" is not a latency that is counted; allowed: 50ms, 100ms, 250ms, 500ms, 750ms, 1000ms, 2500ms, 5000ms, 10000ms; \
         the default holds",
    );
    let no_latency = "is no latency objective, like \"95% < 500ms\"; the default holds";
    check_problem("headroom.dev/latency", "fast", &format!("\"fast\" {no_latency}"));
    check_problem("headroom.dev/latency", "95 < 500ms", &format!("\"95 < 500ms\" {no_latency}"));
    check_problem("headroom.dev/runbook", "wiki", "\"wiki\" is no address; write https://…");
    check_problem(
        "headroom.dev/renamed-from",
        "a b",
        "\"a b\" is not the name of a Service, nor namespace/name",
    );
    check_problem("headroom.dev/renamed-from", "web", "this is how it is called now");
    check_problem(
        "headroom.dev/exclude",
        "yes",
        "\"yes\" is neither \"true\" nor \"false\"; it is not excluded",
    );
    let allowed = "allowed: availability, exclude, latency, owner, renamed-from, runbook, team";
    check_problem("headroom.dev/availibility", "99", &format!("there is no such annotation; {allowed}"));
}

#[test]
fn what_is_gone_is_known_for_32_days_and_what_comes_back_is_new() {
    let both =
        objects(vec![service("web", json!({})), service("db", json!({}))], vec![ingress("front", "web")]);
    let known = first(&both);
    let one = objects(vec![service("db", json!({}))], vec![ingress("front", "web")]);
    let at = |minutes: i64, objects: &Objects, before: &Cluster| {
        find(objects, before, &BTreeSet::new(), NOW.plus(minutes))
    };
    let gone = at(5, &one, &known);
    let web = found(&gone, "web");
    assert_eq!((web.since, web.gone, web.workload.clone()), (NOW, Some(NOW.plus(5)), Some(Workload::Gone)));
    assert_eq!(gone.expected().count(), 0);
    assert_eq!(at(5 + 32 * 1440 - 1, &one, &gone).services.len(), 2);
    assert_eq!(at(5 + 32 * 1440, &one, &gone).services.len(), 1);
    assert_eq!(found(&at(9, &both, &gone), "web").since, NOW.plus(9));
}

#[test]
fn what_cannot_be_listed_any_more_stays_as_it_was_known() {
    let mut objects = objects(vec![service("web", json!({}))], vec![ingress("front", "web")]);
    objects.nodes = Some(vec![kept(json!({ "metadata": { "name": "n1" } }))]);
    let known = first(&objects);
    let denied = Objects { ingresses: None, nodes: None, pods: None, ..objects };
    let again = find(&denied, &known, &BTreeSet::new(), NOW.plus(1));
    assert_eq!(again, known);
}

#[test]
fn a_name_is_taken_over_when_it_is_free_and_by_one_service_alone() {
    let renamed = |name: &str| annotated(name, json!({ "headroom.dev/renamed-from": "old" }));
    let free = first(&objects(vec![renamed("new")], vec![]));
    assert_eq!(free.renames(), BTreeMap::from([(name_of("old"), name_of("new"))]));
    let taken = first(&objects(vec![renamed("new"), service("old", json!({}))], vec![]));
    assert_eq!(taken.renames(), BTreeMap::new());
    let still = "shop/old is still there and keeps its requests until it is deleted";
    let place = "annotation headroom.dev/renamed-from";
    assert_eq!(found(&taken, "new").problems, [format!("Service shop/new, {place}: {still}")]);
    let two = first(&objects(vec![renamed("new"), renamed("newer")], vec![]));
    assert_eq!(two.renames(), BTreeMap::from([(name_of("old"), name_of("new"))]));
    let already = format!("Service shop/newer, {place}: shop/old was renamed to shop/new already");
    assert_eq!(found(&two, "newer").problems, [already]);
    let other = annotated("new", json!({ "headroom.dev/renamed-from": "attic/old" }));
    let other = first(&objects(vec![other], vec![])).renames();
    assert_eq!(other, BTreeMap::from([(("attic".to_owned(), "old".to_owned()), name_of("new"))]));
}

#[test]
fn discover_prints_what_is_seen_and_what_is_wrong() {
    let asked = json!({ "headroom.dev/team": "carts", "headroom.dev/availability": "99.5", "headroom.dev/latency": "quick" });
    let cluster = first(&objects(
        vec![annotated("web", asked), service("db", json!({}))],
        vec![ingress("front", "web")],
    ));
    let document = SloSpec { threshold_us: Some(100_000), ..SloSpec::default_of(Sli::Latency) };
    let specs = Specs::new([(Service::parse("shop/web"), document)]);
    let discovery = Discovery { services: seen(&cluster, &specs), failures: vec!["no pods".to_owned()] };
    let lines: Vec<String> = text(&discovery).lines().map(|line| line.trim_end().to_owned()).collect();
    let words = |line: &str| {
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(words(&lines[0]), ["SERVICE", "SLOS", "STATE", "TEAM", "WHY"]);
    let unseen = "no ingress routes here and no requests were seen";
    assert_eq!(words(&lines[1]), ["shop/db", "none", "not known", "-", unseen]);
    let slos = "99.5 % by annotation, 95 % < 100 ms by document";
    assert_eq!(words(&lines[2]), ["shop/web", slos, "not known", "carts", "ingress front routes here"]);
    assert!(
        lines[3].starts_with("! Service shop/web, annotation headroom.dev/latency: \"quick\" is no"),
        "{lines:?}"
    );
    assert_eq!(lines[4], "! no pods");
    let json = serde_json::to_value(&discovery).unwrap();
    assert_eq!(json["services"][1]["slos"][0]["from"], "annotation");
    assert_eq!(json["services"][1]["slos"][1]["from"], "document");
}
