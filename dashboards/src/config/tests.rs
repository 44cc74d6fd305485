//! The configuration: what is read, and what is refused.

use settings::{Problems, Syntax, Table};

use super::{Auth, Config};
use crate::Workload;

fn env(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "hunter2".to_owned())
}

fn read(text: &str) -> (Config, String) {
    let problems = Problems::default();
    let root = settings::parse_with("engine.yaml", text, Syntax::Yaml, &env, &problems).unwrap();
    let config = Config::prove(Table::new(&root, &problems));
    (config, problems.to_string())
}

#[track_caller]
fn check(text: &str, want: &[&str]) {
    let told = read(text).1;
    assert_eq!(told.lines().collect::<Vec<_>>(), want);
}

#[test]
fn every_key_is_read() {
    let (config, told) = read(
        "url: https://kibana.example.net:5601/base/\nspace: sre\nauth: {strategy: basic, user: elastic, password: \"${SECRET}\"}\n\
         tls: {verify_certificate: false}\nrequest: {timeout_secs: 5}\nrunbook_url: https://runbooks.example.net/{namespace}/{name}\n",
    );
    assert_eq!(told, "");
    assert_eq!((config.url.as_str(), config.space.as_str()), ("https://kibana.example.net:5601/base", "sre"));
    assert_eq!(config.auth, Some(Auth::Basic { user: "elastic".into(), password: "hunter2".into() }));
    assert!(!format!("{config:?}").contains("hunter2"));
    let web = Workload { namespace: "shop".into(), name: "web".into() };
    assert_eq!(config.runbook(&web).unwrap(), "https://runbooks.example.net/shop/web");
}

#[test]
fn the_least_is_a_url() {
    let (config, told) = read("url: http://kibana:5601\n");
    assert_eq!((config, told.as_str()), (Config::new("http://kibana:5601"), ""));
}

#[test]
fn mistakes_are_told_with_their_line() {
    check(
        "url: kibana\nspace: Ops Team\nauth: {strategy: basic, user: me}\ncolour: red\n",
        &[
            "engine.yaml:1: url: an http:// or https:// URL is expected, such as https://kibana:5601",
            "engine.yaml:2: space: \"Ops Team\" is not the id of a space: lower-case letters, digits, _ and -",
            "engine.yaml:3: auth.password: this key is missing; set it to ${VARIABLE}, or name a file in password_file",
            "engine.yaml:4: colour: unknown key; allowed here: url, space, auth, tls, request, runbook_url",
        ],
    );
    check(
        "url: http://me:hunter2@kibana:5601\nauth: {strategy: api_key, api_key: plain}\n",
        &[
            "engine.yaml:1: url: credentials do not belong into a URL; write them in auth",
            "engine.yaml:2: auth.api_key: a credential in plain text; write ${VARIABLE} here, or name a file in api_key_file",
        ],
    );
    check(
        "url: http://kibana:5601\ntls: {ca_file: /nowhere/ca.pem}\nrequest: {timeout_secs: 0}\nrunbook_url: wiki\n",
        &[
            "engine.yaml:2: tls.ca_file: cannot read certificates from /nowhere/ca.pem: No such file or directory (os error 2)",
            "engine.yaml:3: request.timeout_secs: must be more than 0",
            "engine.yaml:4: runbook_url: an http:// or https:// URL is expected",
        ],
    );
}
