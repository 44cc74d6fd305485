//! Policies: what is refused, with its path, and which one an alert follows.

use jiff::SignedDuration;

use super::{channels, page, policy, step, ticket};
use crate::{Policies, PoliciesConfig, Policy, Route, Severity, Target};

fn prove(page: Policy) -> Result<Policies, Vec<crate::ConfigError>> {
    PoliciesConfig { page: Some(page), ..PoliciesConfig::default() }.prove(&channels())
}

#[track_caller]
fn refused(page: Policy, want: &[&str]) {
    let errors: Vec<_> = prove(page).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(errors, want);
}

#[test]
fn a_policy_that_tells_nobody_is_refused() {
    refused(policy(vec![], 0, 0), &["page.steps: has no step; at least one is needed, else nobody is told"]);
    refused(
        policy(vec![step(0, &[])], 0, 0),
        &["page.steps[0].targets: has no target; at least one is needed, else nobody is told"],
    );
    let mute = Target { name: "a".into(), channels: vec![] };
    refused(
        policy(vec![crate::Step { after: SignedDuration::ZERO, targets: vec![mute] }], 0, 0),
        &["page.steps[0].targets[0].channels: has no channel; at least one is needed, else nobody is told"],
    );
}

#[test]
fn without_channels_even_the_default_policy_is_refused() {
    let errors = PoliciesConfig::default().prove(&[]).unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn delays_must_ascend_and_stay_in_bounds() {
    refused(
        policy(vec![step(60, &["a"]), step(60, &["b"])], 0, 0),
        &["page.steps[1].after: is 1m; must be longer than 1m of the step before"],
    );
    refused(
        policy(vec![step(-1, &["a"]), step(2_592_001, &["b"])], 0, 0),
        &[
            "page.steps[0].after: is 1s ago; 0s to 30 days is allowed",
            "page.steps[1].after: is 720h 1s; 0s to 30 days is allowed",
        ],
    );
}

#[test]
fn repetitions_must_not_overlap_nor_be_endless() {
    refused(
        policy(vec![step(0, &["a"]), step(600, &["b"])], 101, 600),
        &[
            "page.repeat: is 101; at most 100 is allowed",
            "page.repeat_every: is 10m; must be longer than 10m of the last step, and at most 30 days",
        ],
    );
}

#[test]
fn all_errors_come_at_once() {
    let target = |name: &str, channel: &str| Target { name: name.into(), channels: vec![channel.into()] };
    let twice = Target { name: "b".into(), channels: vec!["mail".into(), "mail".into()] };
    let targets = vec![target(" ", "pager"), target("a", "fax"), target("a", "mail"), twice];
    refused(
        policy(vec![crate::Step { after: SignedDuration::ZERO, targets }], 0, 0),
        &[
            "page.steps[0].targets[0].name: is empty; a name is needed",
            "page.steps[0].targets[1].channels[0]: is fax, which is no channel; configured are: mail, pager",
            "page.steps[0].targets[2].name: is \"a\" a second time in this step",
            "page.steps[0].targets[3].channels[1]: is mail a second time for this target",
        ],
    );
}

#[test]
fn the_first_route_that_matches_wins_and_severity_decides_the_rest() {
    let route = |severity, team: &str, name: &str| Route {
        severity,
        labels: [("team".to_owned(), team.to_owned())].into(),
        policy: Policy { name: name.into(), ..policy(vec![step(0, &["a"])], 0, 0) },
    };
    let routes = vec![
        route(Some(Severity::Page), "pay", "pay-pages"),
        route(None, "pay", "pay-all"),
        route(None, "pay", "never"),
    ];
    let policies = PoliciesConfig { routes, ..PoliciesConfig::default() }.prove(&channels()).unwrap();
    let of = |mut alert: crate::Alert, team: &str| {
        alert.labels.insert("team".into(), team.into());
        policies.route(&alert).name.clone()
    };
    assert_eq!(of(page("k"), "pay"), "pay-pages");
    assert_eq!(of(ticket("k"), "pay"), "pay-all");
    assert_eq!(of(page("k"), "web"), "page");
    assert_eq!(policies.route(&ticket("k")).name, "ticket");
}
