//! The documented configuration through the real parser, and every kind of mistake with its place.

use kubernetes::Access;
use settings::Syntax;

use super::Config;

const README: &str = include_str!("../../README.md");

fn env(name: &str) -> Option<String> {
    match name {
        "HEADROOM_COUNTS_TOKEN"
        | "HEADROOM_COLLECTORS_TOKEN"
        | "HEADROOM_ON_CALL_TOKEN"
        | "PAGER_TOKEN"
        | "KIBANA_API_KEY"
        | "ES_PASSWORD"
        | "PATH" => Some("secret".to_owned()),
        "EMPTY" => Some(String::new()),
        "TWO_LINES" => Some("secret\n".to_owned()),
        _ => None,
    }
}

fn documented() -> &'static str {
    let (_, rest) = README.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_documented_example_is_a_configuration() {
    // The notifiers' secrets are read from this process's environment; PATH is there on every machine.
    let dir = tempfile::tempdir().unwrap();
    let secrets = ["PAGER_TOKEN", "ALERTMANAGER_PASSWORD", "PAGERDUTY_KEY"];
    let text = secrets.iter().fold(documented().to_owned(), |text, secret| text.replace(secret, "PATH"));
    let folder = dir.path().to_str().unwrap();
    let text = text.replace("/var/lib/headroom", folder).replace("/etc/headroom", folder);
    std::fs::write(dir.path().join("kubeconfig"), "apiVersion: v1\nkind: Config\n").unwrap();
    let config = Config::parse("example.yaml", &text, Syntax::Yaml, &env).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.token.as_deref(), Some("secret"));
    assert_eq!(config.access.tokens.len(), 2);
    assert_eq!(config.limits, super::Limits::default());
    assert_eq!(config.tls.unwrap().crt_file, dir.path().join("tls/tls.crt"));
    assert_eq!(config.notifiers.channels().len(), 4);
    assert_eq!(config.dashboards.as_ref().unwrap().url, "https://kibana.example.net:5601");
    assert_eq!(config.elasticsearch.unwrap().retention_days, 30);
    assert_eq!(config.kubernetes, Some(Access::KubeConfig(dir.path().join("kubeconfig"))));
    assert!(config.services.contains(&("social".to_owned(), "feed-generator".to_owned())));
}

#[track_caller]
fn check(text: &str, want: &[&str]) {
    let problems = Config::parse("engine.yaml", text, Syntax::Yaml, &env).unwrap_err();
    let told = problems.to_string();
    assert_eq!(told.lines().collect::<Vec<_>>(), want);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    check(
        "listen: nowhere\ndata_dir: /tmp/x\nservices: [web]\ncolour: red\nenvironment: EU 1\nreports:\n  schedule: '0 6 31 2 *'\n",
        &[
            "engine.yaml:1: listen: \"nowhere\" is not an address; write an address and a port, like 0.0.0.0:8080",
            "engine.yaml:3: services[0]: \"web\" is not namespace/name; each is at most 63 lower-case letters, digits and '-', and neither begins nor ends with '-'",
            "engine.yaml:4: colour: unknown key; allowed here: listen, data_dir, counts, environment, reports, dashboards, services, slos, notifiers, escalation, archive, refill, sli, elasticsearch, kubernetes, access, limits, tls",
            "engine.yaml:5: environment: \"EU 1\" cannot name an environment: use at most 64 lower-case letters, digits, '-' and '_', begin with a letter or digit",
            "engine.yaml:7: reports.schedule: \"0 6 31 2 *\" never comes, like the 30th of February",
        ],
    );
}

#[test]
fn a_credential_in_plain_text_is_refused() {
    let problems =
        Config::parse("engine.yaml", "data_dir: /tmp/x\ncounts:\n  token: hunter2\n", Syntax::Yaml, &env)
            .unwrap_err();
    let told = problems.to_string();
    assert!(told.starts_with("engine.yaml:3: counts.token: "), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn what_is_wrong_with_tokens_limits_and_tls_is_told_at_once() {
    let text = "data_dir: /tmp/x
access:
  tokens:
    - {name: a, scopes: [counts, write], token: '${PAGER_TOKEN}'}
    - {name: a, scopes: [], token: '${PAGER_TOKEN}'}
    - {name: b, scopes: [ack]}
    - {name: c, scopes: [ack], token_file: /there/is/nothing}
    - {name: d, scopes: [ack], token: '${EMPTY}'}
limits: {connections: 0, reads: 65}
tls: {crt_file: a.pem}
";
    let env = |name: &str| if name == "EMPTY" { Some(String::new()) } else { env(name) };
    let told = Config::parse("engine.yaml", text, Syntax::Yaml, &env).unwrap_err().to_string();
    for want in [
        "engine.yaml:4: access.tokens[0].scopes: \"write\" is not one of counts, read, ack, admin",
        "engine.yaml:5: access.tokens[1].scopes: name at least one of counts, read, ack, admin",
        "engine.yaml:5: access.tokens[1].name: there is another token \"a\"; names tell them apart",
        "engine.yaml:6: access.tokens[2].token: this key is missing",
        "engine.yaml:7: access.tokens[3].token_file: cannot read the file /there/is/nothing",
        "engine.yaml:8: access.tokens[4].token: expected a credential, found a variable that is empty",
        "engine.yaml:9: limits.connections: must be 1 to 100000",
        "engine.yaml:9: limits.reads: must be 1 to 64",
        "engine.yaml:10: tls.key_file: this key is missing",
    ] {
        assert!(told.lines().any(|line| line.starts_with(want)), "{want} is not in\n{told}");
    }
}

#[test]
fn a_channel_that_does_not_exist_is_told_at_the_line_that_names_it() {
    let text = "data_dir: /tmp/x\nnotifiers:\n  log: {type: log}\nescalation:\n  page:\n    name: p\n    steps:\n      - targets:\n          - name: me\n            channels:\n              - pager\n";
    let problems = Config::parse("engine.yaml", text, Syntax::Yaml, &env).unwrap_err();
    let told = problems.to_string();
    assert!(told.starts_with("engine.yaml:11: escalation.page.steps[0].targets[0].channels[0]: "), "{told}");
}

#[test]
fn a_notifier_of_an_unknown_type_is_refused_at_its_line() {
    let text = "data_dir: /tmp/x\nnotifiers:\n  pigeon: {type: carrier}\n";
    let problems = Config::parse("engine.yaml", text, Syntax::Yaml, &env).unwrap_err();
    let told = problems.to_string();
    assert!(told.starts_with("engine.yaml:3: notifiers.pigeon.type: \"carrier\" is not one of "), "{told}");
}

#[test]
fn a_retention_of_no_days_or_a_lifetime_is_refused() {
    let text = |days: &str| {
        format!(
            "data_dir: /tmp/x\nelasticsearch:\n  endpoints: [http://127.0.0.1:9200]\n  retention_days: {days}\n"
        )
    };
    for days in ["0", "4000", "99999999999"] {
        check(&text(days), &["engine.yaml:4: elasticsearch.retention_days: must be 1 to 3660 days"]);
    }
    let config = Config::parse("engine.yaml", &text("7"), Syntax::Yaml, &env).unwrap();
    assert_eq!(config.elasticsearch.unwrap().retention_days, 7);
}

#[test]
fn the_cluster_is_watched_by_the_service_account_unless_a_kubeconfig_is_named() {
    let access = |text: &str| Config::parse("engine.yaml", text, Syntax::Yaml, &env).unwrap().kubernetes;
    assert_eq!(access("data_dir: /tmp/x\n"), None);
    assert_eq!(access("data_dir: /tmp/x\nkubernetes: {}\n"), Some(Access::InCluster));
}

/// Like [`check`], where only the place of each mistake matters.
#[track_caller]
fn check_places(text: &str, want: &[&str]) {
    let problems = Config::parse("engine.yaml", text, Syntax::Yaml, &env).unwrap_err().into_vec();
    let places: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.line, problem.path)).collect();
    assert_eq!(places, want, "{problems:?}");
}

#[test]
fn a_bad_notifier_hides_no_other_and_no_bad_escalation() {
    let text = "\
data_dir: /tmp/x
notifiers:
  one: {type: carrier}
  two:
    type: webhook
    url: pigeon://loft
    colour: grey
  three:
    type: alertmanager
    url: http://127.0.0.1:9093
    timeout: soon
  four:
    type: log
escalation:
  page:
    name: page
    steps:
      - targets: [{name: me, channels: [five]}]
  ticket:
    name: ticket
    steps: []
";
    check_places(
        text,
        &[
            "3: notifiers.one.type",
            "7: notifiers.two.colour",
            "11: notifiers.three.timeout",
            "18: escalation.page.steps[0].targets[0].channels[0]",
            "21: escalation.ticket.steps",
        ],
    );
    let text = text.replace("    colour: grey\n", "").replace("    timeout: soon\n", "");
    check_places(
        &text,
        &[
            "3: notifiers.one.type",
            "6: notifiers.two.url",
            "16: escalation.page.steps[0].targets[0].channels[0]",
            "19: escalation.ticket.steps",
        ],
    );
}

#[test]
fn every_unknown_key_below_a_notifier_and_a_policy_is_told_at_its_own_line() {
    let text = "\
data_dir: /tmp/x
notifiers:
  pager:
    type: pagerduty
    routing_key:
      env: PATH
      fiel: /x
    hedaers: {}
escalation:
  page:
    name: page
    stepz: []
    repeat: 2
    every: 1h
  routes:
    - labels: {team: shop}
      priority: 1
      policy:
        name: shop
        steps:
          - afterwards: 5m
            targets:
              - name: shop
                channel: pager
    - policy: {name: rest, steps: []}
";
    check_places(
        text,
        &[
            "7: notifiers.pager.routing_key.fiel",
            "8: notifiers.pager.hedaers",
            "10: escalation.page.steps",
            "12: escalation.page.stepz",
            "14: escalation.page.every",
            "17: escalation.routes[0].priority",
            "21: escalation.routes[0].policy.steps[0].afterwards",
            "23: escalation.routes[0].policy.steps[0].targets[0].channels",
            "24: escalation.routes[0].policy.steps[0].targets[0].channel",
            "25: escalation.routes[1].policy.steps",
        ],
    );
}

#[test]
fn both_a_bad_schedule_and_a_bad_zone_are_told() {
    check_places(
        "data_dir: /tmp/x\nreports:\n  schedule: sometimes\n  time_zone: Mars/Olympus\n",
        &["3: reports.schedule", "4: reports.time_zone"],
    );
}

#[test]
fn a_service_is_two_names_of_kubernetes() {
    let names = ["a/b/c", "shop/", "/web", "Shop/web", "shop/web_1", "-shop/web", "shop/web-", "shop"];
    let long = format!("shop/{}", "x".repeat(64));
    for name in names.into_iter().chain([long.as_str()]) {
        let text = format!("data_dir: /tmp/x\nservices:\n  - shop/web\n  - {name:?}\n");
        check_places(&text, &["4: services[1]"]);
    }
}

#[test]
fn a_token_that_is_empty_or_no_header_is_refused() {
    check_places("data_dir: /tmp/x\ncounts:\n  token: ${EMPTY}\n", &["3: counts.token"]);
    check_places("data_dir: /tmp/x\ncounts:\n  token: ${TWO_LINES}\n", &["3: counts.token"]);
}

#[test]
fn a_secret_that_is_written_instead_of_named_is_refused_and_not_repeated() {
    let text = "data_dir: /tmp/x\nnotifiers:\n  p:\n    type: pagerduty\n    routing_key: hunter2\n";
    let told = Config::parse("engine.yaml", text, Syntax::Yaml, &env).unwrap_err().to_string();
    assert!(told.starts_with("engine.yaml:5: notifiers.p.routing_key: "), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn files_that_are_named_must_be_there_and_be_what_they_are_for() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, data) = (dir.path().join("ca.pem"), dir.path().join("data"));
    std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n").unwrap();
    let text = format!(
        "\
data_dir: {data}
slos: [{data}/none.yaml]
elasticsearch:
  endpoints: [https://127.0.0.1:9200]
  tls:
    ca_file: {ca}
kubernetes:
  kube_config_file: {data}/kubeconfig
notifiers:
  hook: {{type: webhook, url: 'http://127.0.0.1:1', bearer_token: {{file: {data}/token}}}}
  journal: {{type: log, file: {data}/pages.jsonl}}
  other: {{type: log, file: {data}/none/pages.jsonl}}
counts:
  token_file: {data}/token
",
        data = data.display(),
        ca = ca.display(),
    );
    check_places(
        &text,
        &[
            "2: slos[0]",
            "5: elasticsearch.tls",
            "8: kubernetes.kube_config_file",
            "10: notifiers.hook.bearer_token",
            "12: notifiers.other.file",
            "14: counts.token_file",
        ],
    );
    assert!(!data.exists(), "proving makes nothing");
}
