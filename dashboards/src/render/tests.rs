//! What is rendered: the same bytes whatever the order, and whole whatever a log calls a service.

use std::collections::BTreeSet;

use proptest::prelude::*;
use slo::counts::Sli;
use slo::objective::{Method, Objective, SloSpec};
use slo::ratio::Ratio;
use slo::window::Window;

use super::{Export, each, render};
use crate::fields::ALL;
use crate::{SavedObject, ServiceDashboard, Workload, ndjson, validate};

fn service(name: &str) -> ServiceDashboard {
    let workload = name.split_once('/');
    ServiceDashboard {
        service: name.to_owned(),
        workload: workload
            .map(|(namespace, name)| Workload { namespace: namespace.into(), name: name.into() }),
        slos: SloSpec::defaults().to_vec(),
        runbook_url: None,
    }
}

#[track_caller]
fn check(services: &[ServiceDashboard]) -> String {
    let objects = render(services, "production", "default");
    let text = ndjson(&objects);
    assert_eq!(validate(&text, &ALL), Vec::new());
    text
}

#[test]
fn one_service_as_it_is_imported() {
    let web = ServiceDashboard {
        runbook_url: Some("https://runbooks.example.net/shop/web".to_owned()),
        ..service("shop/web")
    };
    insta::assert_snapshot!(check(&[web]));
}

#[test]
fn the_order_of_services_does_not_show() {
    let [a, b, c] = ["shop/web", "a/b", "unattributed"].map(service);
    let one = check(&[a.clone(), b.clone(), c.clone()]);
    assert_eq!(one, check(&[c.clone(), a.clone(), b.clone()]));
    assert_eq!(one, check(&[c, a.clone(), b, a]));
}

#[test]
fn a_log_may_call_a_service_anything() {
    let long = format!("shop/{}", "x".repeat(5000));
    let names = [
        "",
        "/",
        "overview",
        "service/overview",
        "a\"b/c\\d",
        "a\nb",
        "{{x}}/${y}",
        "[x](y)/*",
        "日本/Ünï-çødé 🦀",
        "\u{202e}x",
        "shop/web/x",
        "' OR 1=1",
        "a:b",
        &long,
    ];
    let services: Vec<ServiceDashboard> = names.iter().map(|name| service(name)).collect();
    let objects = render(&services, "production", "default");
    check(&services);
    let ids: BTreeSet<&str> = objects.iter().map(|object| object.id.as_str()).collect();
    assert_eq!(ids.len(), objects.len());
    let files: BTreeSet<String> = Export::each(&objects).into_iter().map(|export| export.name).collect();
    assert_eq!(files.len(), names.len() + 1);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(files.iter().all(|name| name.len() < 100 && name.chars().all(plain)), "{files:?}");
}

#[test]
fn five_hundred_services_are_rendered() {
    let services: Vec<ServiceDashboard> = (0..500).map(|n| service(&format!("shop/web-{n}"))).collect();
    let text = check(&services);
    assert_eq!(text.lines().count(), 3 + 1 + 2 * 500);
}

#[test]
fn one_by_one_they_are_the_same_in_the_same_order() {
    let services = ["shop/web", "a", "social/pds", "shop/web"].map(service);
    let one_by_one: Vec<SavedObject> = each(&services, "production", "sre").collect();
    assert_eq!(one_by_one, render(&services, "production", "sre"));
}

#[test]
fn no_services_leave_an_overview() {
    assert_eq!(check(&[]).lines().count(), 4);
}

#[test]
fn an_slo_of_its_own_is_drawn_as_it_is() {
    let slo = SloSpec {
        objective: Objective::parse("99").unwrap(),
        window: Window::Rolling { days: 7 },
        threshold_us: Some(2_500_000),
        method: Method::Timeslices(Ratio::new(19, 20)),
        ..SloSpec::default_of(Sli::Latency)
    };
    let text = check(&[ServiceDashboard { slos: vec![slo], ..service("shop/web") }]);
    assert!(
        text.contains(
            "99 % of minutes are good: those in which 95 % of requests are answered in under 2500 ms"
        )
    );
    assert!(text.contains("over 7 days"));
    check(&[ServiceDashboard { slos: Vec::new(), ..service("shop/web") }]);
}

#[test]
fn spaces_and_environments_share_no_object() {
    let ids = |environment, space| -> BTreeSet<String> {
        render(&[service("shop/web")], environment, space).into_iter().map(|object| object.id).collect()
    };
    let one = ids("production", "default");
    assert!(one.is_disjoint(&ids("staging", "default")));
    assert!(one.is_disjoint(&ids("production", "sre")));
}

#[test]
fn a_dashboard_by_itself_brings_what_it_needs() {
    let objects = render(&[service("shop/web"), service("shop/api")], "production", "default");
    let exports = Export::each(&objects);
    assert_eq!(exports.len(), 3);
    for export in exports {
        // Only other dashboards are not there: Kibana shows a link to what is missing as such, and takes the rest.
        let problems = validate(&export.ndjson(), &ALL);
        let other =
            |message: &str| message.contains("there is no dashboard") || message.contains("nothing uses");
        assert!(problems.iter().all(|problem| other(&problem.message)), "{problems:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_it_is_called_it_holds_together(name in ".{0,40}", other in ".{0,40}") {
        prop_assert!(validate(&ndjson(&render(&[service(&name), service(&other)], "e", "s")), &ALL).is_empty());
    }
}
