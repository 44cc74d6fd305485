//! How a cluster is reached, as it is written: the README's example, and every mistake at its line.

use std::time::Duration;

use settings::{Problems, Syntax, Table};

use crate::client::Client;
use crate::config::{Auth, ClientConfig};

/// A certificate and its key, made for nobody.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn prove(text: &str) -> (Option<ClientConfig>, String) {
    let env = |name: &str| matches!(name, "ES_PASSWORD" | "ES_KEY").then(|| "s3cret".to_owned());
    let problems = Problems::default();
    let config = settings::parse("c.yaml", text, Syntax::Yaml, &env).map(|node| {
        let mut table = Table::new(&node, &problems);
        let config = ClientConfig::prove(&mut table);
        table.finish();
        config
    });
    match config {
        Ok(config) => (Some(config), problems.to_string()),
        Err(problems) => (None, problems.to_string()),
    }
}

#[track_caller]
fn check_refused(text: &str, want: &str) {
    assert_eq!(prove(text).1, want);
}

#[test]
fn the_example_in_the_readme_is_proven() {
    let readme = include_str!("../../README.md");
    let (_, text) = readme.split_once("```yaml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let folder = std::env::temp_dir().join(format!("search-configuration-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["ca.pem", "crt.pem", "key.pem"] {
        std::fs::write(folder.join(name), PEM).unwrap();
    }
    let (config, problems) = prove(&text.replace("/etc/headroom", folder.to_str().unwrap()));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(problems, "");
    let config = config.unwrap();
    assert_eq!(config.endpoints, ["https://es-0:9200", "https://es-1:9200"]);
    assert_eq!(config.timeout, Duration::from_secs(60));
    assert_eq!(config.auth, Some(Auth::Basic { user: "headroom".into(), password: "s3cret".into() }));
    assert!(config.tls.verify && config.tls.ca.is_some() && config.tls.identity.is_some());
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_key_is_enough() {
    let (config, problems) =
        prove("endpoints: http://es:9200/base/\nauth: {strategy: api_key, api_key: \"${ES_KEY}\"}\n");
    assert_eq!(problems, "");
    let config = config.unwrap();
    assert_eq!(config.endpoints, ["http://es:9200/base"]);
    assert_eq!(config.auth, Some(Auth::ApiKey("s3cret".into())));
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(Client::new(&config).is_ok());
}

#[test]
fn every_mistake_is_told_at_its_line() {
    check_refused(
        "request: {timeout_secs: 0}\n",
        "c.yaml:1: endpoints: this key is missing; expected a list of texts\nc.yaml:1: request.timeout_secs: must be more than 0",
    );
    check_refused(
        "endpoints:\n- es:9200\n- ftp://es\n- http://u:p@es:9200\n- http://es/?a\n",
        "c.yaml:2: endpoints[0]: an http:// or https:// URL is expected, such as https://elasticsearch:9200\n\
         c.yaml:3: endpoints[1]: an http:// or https:// URL is expected, such as https://elasticsearch:9200\n\
         c.yaml:4: endpoints[2]: credentials do not belong into a URL; write them in auth\n\
         c.yaml:5: endpoints[3]: an http:// or https:// URL is expected, such as https://elasticsearch:9200",
    );
    check_refused(
        "endpoints: [http://es]\nauth:\n  strategy: basic\n  user: u\n",
        "c.yaml:2: auth.password: this key is missing; set it to ${VARIABLE}, or name a file in password_file",
    );
    check_refused(
        "endpoints: [http://es]\nauth:\n  strategy: basic\n  user: u\n  password: plain\n",
        "c.yaml:5: auth.password: a credential in plain text; write ${VARIABLE} here, or name a file in password_file",
    );
    check_refused(
        "endpoints: [http://es]\nauth:\n  strategy: api_key\n  api_key: ${ES_KEY}\n  user: u\n",
        "c.yaml:5: auth.user: unknown key; allowed here: strategy, api_key_file, api_key",
    );
    check_refused(
        "endpoints: [http://es]\ntls:\n  crt_file: /none/crt.pem\n  verify_hostname: false\n",
        "c.yaml:3: tls.crt_file: cannot read the file /none/crt.pem: No such file or directory (os error 2)\n\
         c.yaml:3: tls.crt_file: key_file is missing: a certificate and its key belong together\n\
         c.yaml:4: tls.verify_hostname: unknown key; allowed here: ca_file, crt_file, key_file, verify_certificate",
    );
}
