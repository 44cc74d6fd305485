//! What the README shows is true.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{at, trigger};
use crate::{ChannelName, Notification, NotifierConfig, PoliciesConfig};

const README: &str = include_str!("../../README.md");

#[derive(Deserialize)]
struct Config {
    channels: BTreeMap<ChannelName, NotifierConfig>,
    policies: PoliciesConfig,
}

fn block(language: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_configuration_is_one() {
    let config: Config = toml::from_str(block("toml")).unwrap();
    let channels: Vec<_> = config.channels.into_keys().collect();
    config.policies.prove(&channels).unwrap();
}

#[test]
fn an_unknown_key_is_refused_at_every_level() {
    for text in [
        r#"{"channels":{},"policies":{"pages":{}}}"#,
        r#"{"channels":{"a":{"type":"webhook","uri":"x"}},"policies":{}}"#,
        r#"{"channels":{"a":{"type":"log","path":"x"}},"policies":{}}"#,
        r#"{"channels":{"a":{"type":"fax"}},"policies":{}}"#,
        r#"{"channels":{},"policies":{"page":{"name":"x","steps":[{"afters":"1m","targets":[]}]}}}"#,
    ] {
        assert!(serde_json::from_str::<Config>(text).is_err(), "{text}");
    }
}

#[test]
fn the_body_has_the_fields_that_are_shown() {
    let shown: BTreeMap<String, Value> = serde_json::from_str(block("json")).unwrap();
    let intent = trigger("k", "pager", &[], at(0));
    let sent = serde_json::to_value(Notification::from(&intent)).unwrap();
    let sent: BTreeSet<_> = sent.as_object().unwrap().keys().collect();
    assert_eq!(shown.keys().collect::<BTreeSet<_>>(), sent);
}
