//! What the cluster says: services before their first request, other SLOs, other names, and all of it after a restart
//! without an API server.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use kubernetes::{Ingress, Namespace, Node, Service};
use slo::counts::{CountsRequest, MinuteId};

use super::wall_clock::{at, heard, heartbeat, states, wall};
use super::{Engine, START, ledger};
use crate::cluster::Objects;
use crate::overview::{ServiceView, SloView};

/// A Service with annotations of ours.
pub(super) fn service(name: &str, annotations: &[(&str, &str)]) -> Arc<Service> {
    let annotations =
        annotations.iter().map(|(key, value)| (format!("headroom.dev/{key}"), (*value).to_owned()));
    let (namespace, name) = ("shop".to_owned(), name.to_owned());
    Arc::new(Service { namespace, name, annotations: annotations.collect(), ..Service::default() })
}

/// A cluster with these Services, to all of which an Ingress routes.
pub(super) fn routed(services: Vec<Arc<Service>>) -> Objects {
    let names = services.iter().map(|service| service.name.clone()).collect();
    let ingress =
        Ingress { namespace: "shop".to_owned(), name: "front".to_owned(), services: names, class: None };
    Objects {
        namespaces: vec![Arc::new(Namespace { name: "shop".to_owned(), ..Namespace::default() })],
        services,
        ingresses: Some(vec![Arc::new(ingress)]),
        ..Objects::default()
    }
}

async fn shown(engine: &Engine) -> Vec<ServiceView> {
    engine.overview().await.unwrap().services
}

fn names(services: &[ServiceView]) -> Vec<&str> {
    services.iter().map(|service| service.service.as_str()).collect()
}

fn slo(view: &SloView) -> (u64, Option<&str>, &str, &str) {
    (view.total, view.budget_remaining.as_deref(), view.coverage.as_str(), view.state.as_str())
}

async fn open(engine: &Engine) -> Vec<String> {
    let incidents = engine.incidents().await.unwrap();
    let open = incidents.iter().filter(|incident| incident.alert.resolved_at.is_none());
    open.map(|incident| format!("{} {}", incident.alert.service, incident.alert.slo)).collect()
}

/// An engine that has heard a request of shop/web, half of them bad where `bad` is 50.
async fn counted(dir: &Path, bad: u64) -> Engine {
    let engine = wall(dir).await;
    engine.ingest(heard("a", 0, bad, Some(1))).await.unwrap();
    engine.tick(at(1, 0)).await.unwrap();
    engine
}

#[tokio::test]
async fn a_service_has_a_budget_before_its_first_request_when_it_was_listened_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.discovered(&routed(vec![service("new", &[])]), at(0, 0)).await.unwrap();
    engine.tick(at(4, 0)).await.unwrap();
    let services = shown(&engine).await;
    assert_eq!(names(&services), ["shop/new"]);
    assert_eq!(slo(&services[0].slos[0]), (0, None, "0", "no_data"));
    engine.ingest(heartbeat("a", 4)).await.unwrap();
    engine.tick(at(4, 30)).await.unwrap();
    assert_eq!(slo(&shown(&engine).await[0].slos[0]), (0, None, "0", "no_data"), "nobody reads the ingress");
    engine.ingest(heard("a", 0, 0, Some(4))).await.unwrap();
    engine.tick(at(4, 40)).await.unwrap();
    let idle = (0, Some("1"), "0.8", "idle");
    let services = shown(&engine).await;
    assert_eq!(names(&services), ["shop/new", "shop/web"]);
    assert_eq!((slo(&services[0].slos[0]), slo(&services[0].slos[1])), (idle, idle));
    assert_eq!(engine.details().len(), 4);
    // The same after a restart, though the cluster says nothing.
    assert_eq!(shown(&wall(dir.path()).await).await[0].slos, services[0].slos);
    assert_eq!(ledger(dir.path()).await.len(), 0);
}

#[tokio::test]
async fn the_first_request_takes_the_place_of_having_none() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.discovered(&routed(vec![service("web", &[])]), at(0, 0)).await.unwrap();
    engine.ingest(heard("a", 3, 0, Some(4))).await.unwrap();
    engine.tick(at(4, 0)).await.unwrap();
    for engine in [&engine, &wall(dir.path()).await] {
        let services = shown(engine).await;
        assert_eq!(names(&services), ["shop/web"]);
        assert_eq!((services[0].slos[0].total, services[0].slos[0].state.as_str()), (100, "healthy"));
    }
}

#[tokio::test]
async fn a_known_service_decides_what_a_name_with_several_readings_means() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let mut request = heard("a", 0, 50, Some(1));
    request.rows.iter_mut().for_each(|row| {
        row.key.service = slo::counts::ServiceRef::Upstream("shop-feed-generator-80".to_owned());
    });
    engine.ingest(request).await.unwrap();
    engine.tick(at(1, 0)).await.unwrap();
    assert_eq!(names(&shown(&engine).await), ["shop-feed-generator-80"]);
    assert_eq!(open(&engine).await, ["shop-feed-generator-80 availability"]);
    engine.discovered(&routed(vec![service("feed-generator", &[])]), at(1, 0)).await.unwrap();
    engine.tick(at(1, 10)).await.unwrap();
    assert_eq!(open(&engine).await, ["shop/feed-generator availability"], "it still burns");
    for engine in [&engine, &wall(dir.path()).await] {
        assert_eq!(names(&shown(engine).await), ["shop/feed-generator"]);
    }
}

#[tokio::test]
async fn annotations_judge_what_was_counted_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = counted(dir.path(), 0).await;
    let asked = [("availability", "99"), ("latency", "90% < 50ms"), ("team", "carts")];
    engine.discovered(&routed(vec![service("web", &asked)]), at(1, 0)).await.unwrap();
    for engine in [&engine, &wall(dir.path()).await] {
        let services = shown(engine).await;
        let slos = &services[0].slos;
        assert_eq!((slos[0].objective.as_str(), slos[1].objective.as_str()), ("99", "90"));
        assert_eq!(services[0].cluster.as_ref().unwrap().team.as_deref(), Some("carts"));
    }
}

#[tokio::test]
async fn an_excluded_service_has_no_slo_and_what_was_open_of_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let engine = counted(dir.path(), 50).await;
    assert_eq!(open(&engine).await, ["shop/web availability"]);
    let excluded = [("exclude", "true")];
    engine.discovered(&routed(vec![service("web", &excluded)]), at(1, 10)).await.unwrap();
    engine.tick(at(1, 20)).await.unwrap();
    assert_eq!(names(&shown(&engine).await), [] as [&str; 0]);
    assert_eq!(open(&engine).await, [] as [&str; 0]);
    engine.discovered(&routed(vec![service("web", &[])]), at(1, 30)).await.unwrap();
    engine.tick(at(1, 40)).await.unwrap();
    assert_eq!(names(&shown(&engine).await), ["shop/web"]);
    assert_eq!(open(&engine).await, ["shop/web availability"], "it still burns");
}

#[tokio::test]
async fn requests_of_the_old_name_count_for_the_new_one_and_the_ledger_says_them_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = counted(dir.path(), 50).await;
    engine.discovered(&routed(vec![service("web", &[])]), at(1, 0)).await.unwrap();
    for minute in [10, 20] {
        engine.ingest(heartbeat("a", minute)).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    let renamed = [("renamed-from", "web")];
    let both = routed(vec![service("web", &[]), service("shop-front", &renamed)]);
    engine.discovered(&both, at(20, 10)).await.unwrap();
    assert_eq!(names(&shown(&engine).await), ["shop/shop-front", "shop/web"], "the old one is still there");
    assert_eq!(engine.overview().await.unwrap().warnings.len(), 1);
    engine.discovered(&routed(vec![service("shop-front", &renamed)]), at(20, 20)).await.unwrap();
    engine.tick(at(20, 30)).await.unwrap();
    for engine in [&engine, &wall(dir.path()).await] {
        let services = shown(engine).await;
        assert_eq!(names(&services), ["shop/shop-front"]);
        assert_eq!((services[0].slos[0].total, services[0].slos[0].good), (100, 50));
    }
    assert_eq!(open(&engine).await, ["shop/shop-front availability"], "it still burns");
    // A late line of a minute that was said for the old name.
    let mut late = heard("a", 0, 1, Some(21));
    let range = slo::counts::ByteRange { start: 50_000, end: 50_100 };
    late.streams[0].range = range;
    late.rows.iter_mut().for_each(|row| row.range = range);
    engine.ingest(late).await.unwrap();
    engine.tick(at(22, 0)).await.unwrap();
    let table = slo::ledger::table(&ledger(dir.path()).await);
    let said: u64 = table
        .iter()
        .filter(|((minute, _, sli), _)| *minute == MinuteId(START) && *sli == slo::counts::Sli::Availability)
        .map(|(_, entry)| entry.counts.total)
        .sum();
    assert_eq!(said, 200);
}

#[tokio::test]
async fn whoever_is_paged_is_told_whose_service_it_is_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let facts = [("team", "carts"), ("owner", "ada"), ("runbook", "https://r.example.net/web")];
    engine.discovered(&routed(vec![service("web", &facts)]), at(0, 0)).await.unwrap();
    engine.ingest(heard("a", 0, 50, Some(1))).await.unwrap();
    engine.tick(at(1, 0)).await.unwrap();
    let mut tx = engine.store().begin().await.unwrap();
    let incidents = crate::store::alerts::incidents(&mut tx).await.unwrap();
    let labels: Vec<(&str, &str)> =
        incidents[0].alert.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let runbook = "https://r.example.net/web";
    let want = [
        ("owner", "ada"),
        ("runbook", runbook),
        ("service", "shop/web"),
        ("slo", "availability"),
        ("team", "carts"),
    ];
    assert_eq!(labels, want);
}

#[tokio::test]
async fn a_service_that_is_gone_keeps_its_figures_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = counted(dir.path(), 0).await;
    engine.discovered(&routed(vec![service("web", &[]), service("unused", &[])]), at(1, 0)).await.unwrap();
    assert_eq!(names(&shown(&engine).await), ["shop/unused", "shop/web"]);
    engine.discovered(&routed(vec![]), at(2, 0)).await.unwrap();
    engine.tick(at(2, 0) + SignedDuration::from_secs(10)).await.unwrap();
    for engine in [&engine, &wall(dir.path()).await] {
        let services = shown(engine).await;
        assert_eq!(names(&services), ["shop/web"]);
        assert_eq!(services[0].cluster.as_ref().unwrap().workload.as_deref(), Some("gone"));
    }
}

#[tokio::test]
async fn the_page_says_whose_a_service_is_and_what_the_cluster_does_not_say() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let facts = [("team", "carts"), ("runbook", "https://r.example.net/<web>"), ("latency", "quick")];
    engine.discovered(&routed(vec![service("new", &facts)]), at(0, 0)).await.unwrap();
    engine.warn(vec!["pods are not watched".to_owned()]).await;
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    engine.tick(at(1, 0)).await.unwrap();
    let model = engine.page_model().await.unwrap();
    let (view, details) =
        engine.with_figures(|figures| figures.one(&crate::discovery::Service::parse("shop/new")).unwrap());
    let one = crate::page::service::One {
        window: &model.overview.window,
        view: &view,
        details: &details,
        incidents: &model.incidents,
    };
    let page = crate::page::service::render(&one).into_string() + &model.overview.warnings.join("\n");
    for shown in [
        "team <b>carts</b>",
        "<a href=\"https://r.example.net/&lt;web&gt;\">runbook</a>",
        "how its pods are is not known",
        "pods are not watched",
        "annotation headroom.dev/latency: \"quick\" is no latency objective",
        "the budget is untouched",
    ] {
        assert!(page.contains(shown), "{shown:?} is not in {page}");
    }
}

#[tokio::test]
async fn results_of_a_service_without_a_request_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.discovered(&routed(vec![service("new", &[])]), at(0, 0)).await.unwrap();
    engine.ingest(heard("a", 0, 0, Some(6))).await.unwrap();
    engine.tick(at(6, 0)).await.unwrap();
    let environment = search::Environment::default();
    engine.plan_export(&environment, at(6, 0)).await.unwrap();
    let slice = engine.export_results(&environment).await.unwrap().unwrap();
    let idle = |source: &str| {
        let result: serde_json::Value = serde_json::from_str(source).unwrap();
        result["state"] == "idle" && result["budget_remaining"] == 1.0
    };
    let new = slice.documents.iter().filter(|document| document.source.contains("shop/new"));
    assert!(new.clone().all(|document| idle(&document.source)), "{slice:?}");
    assert_eq!(new.count(), 2 * 5);
}

/// A cluster with these nodes, all ready.
fn nodes(names: &[&str]) -> Objects {
    let labelled: Vec<(&str, &[(&str, &str)])> = names.iter().map(|&name| (name, &[][..])).collect();
    labelled_nodes(&labelled)
}

/// A cluster with these nodes, all ready and, where their labels say nothing else, of Linux.
fn labelled_nodes(nodes: &[(&str, &[(&str, &str)])]) -> Objects {
    let node = |(name, labels): &(&str, &[(&str, &str)])| {
        let labels = [("kubernetes.io/os", "linux")].iter().chain(*labels);
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Arc::new(Node { name: (*name).to_owned(), labels, ready: true })
    };
    Objects { nodes: Some(nodes.iter().map(node).collect()), ..Objects::default() }
}

fn on(node: &str, request: CountsRequest) -> CountsRequest {
    CountsRequest { node: Some(node.to_owned()), ..request }
}

async fn pages(engine: &Engine) -> Vec<String> {
    let mut tx = engine.store().begin().await.unwrap();
    let incidents = crate::store::alerts::incidents(&mut tx).await.unwrap();
    let open = incidents.iter().filter(|incident| incident.is_open());
    let open: BTreeSet<String> = open.map(|incident| incident.alert.key.clone()).collect();
    open.into_iter().collect()
}

#[tokio::test]
async fn a_ready_node_without_a_collector_pages_until_one_reports_or_the_node_goes() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.discovered(&nodes(&["n1", "n2", "n3"]), at(0, 0)).await.unwrap();
    for minute in 0..15 {
        engine.ingest(on("n1", heartbeat("a", minute))).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
        assert_eq!(pages(&engine).await.is_empty(), minute < 10, "minute {minute}");
    }
    assert_eq!(pages(&engine).await, ["node/n2", "node/n3"]);
    // One that still catches up has said something.
    engine.ingest(on("n2", heard("b", 1, 0, None))).await.unwrap();
    engine.discovered(&nodes(&["n1", "n2"]), at(15, 0)).await.unwrap();
    engine.ingest(on("n1", heartbeat("a", 15))).await.unwrap();
    engine.tick(at(15, 0)).await.unwrap();
    assert_eq!(pages(&engine).await, [] as [&str; 0]);
}

#[tokio::test]
async fn no_node_pages_where_collectors_do_not_say_where_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.discovered(&nodes(&["n1"]), at(0, 0)).await.unwrap();
    for minute in 0..15 {
        engine.ingest(heartbeat("a", minute)).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(pages(&engine).await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_node_on_which_no_collector_is_to_be_pages_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let labelled: [(&str, &[(&str, &str)]); 6] = [
        ("n1", &[]),
        ("excluded", &[("headroom.dev/exclude", "true")]),
        ("fargate", &[("eks.amazonaws.com/compute-type", "fargate")]),
        ("lacking", &[]),
        ("virtual", &[("type", "virtual-kubelet")]),
        ("windows", &[("kubernetes.io/os", "windows")]),
    ];
    engine.discovered(&labelled_nodes(&labelled), at(0, 0)).await.unwrap();
    for minute in 0..15 {
        engine.ingest(on("n1", heartbeat("a", minute))).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(pages(&engine).await, ["node/lacking"]);
}

#[tokio::test]
async fn a_collector_whose_node_was_never_listed_is_missed_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.discovered(&nodes(&["n1"]), at(0, 0)).await.unwrap();
    engine.ingest(on("n1", heard("a", 0, 0, Some(1)))).await.unwrap();
    engine.ingest(on("n1.example.net", heard("b", 0, 0, Some(1)))).await.unwrap();
    for minute in 2..=12 {
        engine.ingest(on("n1", heartbeat("a", minute))).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(states(&engine, 0..12), "RPPPPPPPPPPP");
    assert_eq!(pages(&engine).await, ["pipeline/b"]);
}

#[tokio::test]
async fn a_collector_is_given_up_with_its_node_and_what_it_lacked_stays_lacking() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.discovered(&nodes(&["n1", "n2"]), at(0, 0)).await.unwrap();
    engine.ingest(on("n1", heard("a", 0, 0, Some(1)))).await.unwrap();
    engine.ingest(on("n2", heard("b", 0, 0, Some(1)))).await.unwrap();
    for minute in 2..=12 {
        engine.ingest(on("n1", heartbeat("a", minute))).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(states(&engine, 0..12), "RPPPPPPPPPPP");
    assert_eq!(pages(&engine).await, ["pipeline/b"]);
    engine.discovered(&nodes(&["n1"]), at(12, 10)).await.unwrap();
    for minute in 13..=20 {
        engine.ingest(on("n1", heartbeat("a", minute))).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(pages(&engine).await, [] as [&str; 0]);
    for engine in [&engine, &wall(dir.path()).await] {
        assert_eq!(states(engine, 0..20), "RPPPPPPPPPPPPPiiiiii");
    }
    // It was not gone after all: what it read meanwhile fills what was lacking.
    engine.discovered(&nodes(&["n1", "n2"]), at(20, 10)).await.unwrap();
    engine.ingest(on("n2", heartbeat("b", 20))).await.unwrap();
    engine.tick(at(20, 20)).await.unwrap();
    assert_eq!(states(&engine, 0..20), format!("R{}", "i".repeat(19)));
}
