//! The documented configuration through the real parser, and every kind of mistake with its place.

use kubernetes::Access;
use settings::Syntax;

use super::Config;

const README: &str = include_str!("../../README.md");

fn env(name: &str) -> Option<String> {
    matches!(
        name,
        "HEADROOM_COUNTS_TOKEN"
            | "HEADROOM_COLLECTORS_TOKEN"
            | "HEADROOM_ON_CALL_TOKEN"
            | "PAGER_TOKEN"
            | "KIBANA_API_KEY"
            | "ES_PASSWORD"
            | "PATH"
    )
    .then(|| "secret".to_owned())
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
    let text = text.replace("/var/lib/headroom", dir.path().to_str().unwrap());
    let config = Config::parse("example.yaml", &text, Syntax::Yaml, &env).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.token.as_deref(), Some("secret"));
    assert_eq!(config.access.tokens.len(), 2);
    assert_eq!(config.limits, super::Limits::default());
    assert_eq!(config.tls.unwrap().crt_file, std::path::Path::new("/etc/headroom/tls/tls.crt"));
    assert_eq!(config.notifiers.channels().len(), 4);
    assert_eq!(config.dashboards.as_ref().unwrap().url, "https://kibana.example.net:5601");
    assert_eq!(config.elasticsearch.unwrap().retention_days, 30);
    assert_eq!(config.kubernetes, Some(Access::KubeConfig("/etc/headroom/kubeconfig".into())));
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
            "engine.yaml:3: services: \"web\" is not namespace/name",
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
        "engine.yaml:8: access.tokens[4].token: the token is empty",
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
    assert!(told.starts_with("engine.yaml:3: notifiers.pigeon: "), "{told}");
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
