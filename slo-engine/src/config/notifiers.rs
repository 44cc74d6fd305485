//! The key `notifiers`: ways to reach someone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alerts::{
    AlertmanagerConfig, BasicAuthConfig, ChannelName, LogConfig, NotifierConfig, Notifiers, PagerdutyConfig,
    SecretSource, WebhookConfig,
};
use settings::{Problem, Table, Value};

use super::place::{duration, place};

/// The kinds of notifiers that there are.
const TYPES: [&str; 4] = ["webhook", "alertmanager", "pagerduty", "log"];

/// Every channel that is named, and the notifiers behind them where nothing is wrong with any. Without any, pages go to
/// the engine's own log, so that nothing that would page is unseen.
pub(super) fn notifiers(table: &mut Table<'_>, data_dir: &Path) -> (Vec<ChannelName>, Option<Notifiers>) {
    let (node, problems) = (table.node("notifiers"), table.problems());
    let before = problems.len();
    let named = table.table("notifiers").map(|mut table| table.entries()).unwrap_or_default();
    let mut channels: Vec<ChannelName> = named.iter().map(|(name, _)| ChannelName(name.clone())).collect();
    channels.sort();
    let mut configs: BTreeMap<ChannelName, NotifierConfig> = BTreeMap::new();
    for (name, node) in named {
        let before = problems.len();
        if let Some(config) = notifier(Table::new(node, problems), data_dir)
            && problems.len() == before
        {
            configs.insert(ChannelName(name.clone()), config);
        }
    }
    if channels.is_empty() {
        let log = ChannelName("log".to_owned());
        channels.push(log.clone());
        configs.insert(log, NotifierConfig::Log(LogConfig::default()));
    }
    let notifiers = Notifiers::build(configs).map_err(|errors| place(errors, node, problems)).ok();
    (channels, notifiers.filter(|_| problems.len() == before))
}

fn notifier(mut table: Table<'_>, data_dir: &Path) -> Option<NotifierConfig> {
    let config = match table.one_of("type", &TYPES, None)? {
        "webhook" => Some(NotifierConfig::Webhook(webhook(&mut table))),
        "alertmanager" => Some(NotifierConfig::Alertmanager(alertmanager(&mut table))),
        "pagerduty" => pagerduty(&mut table).map(NotifierConfig::Pagerduty),
        _ => Some(NotifierConfig::Log(log(&mut table, data_dir))),
    };
    table.finish();
    config
}

fn webhook(table: &mut Table<'_>) -> WebhookConfig {
    WebhookConfig {
        url: table.string("url"),
        url_from: secret(table, "url_from"),
        bearer_token: secret(table, "bearer_token"),
        headers: headers(table),
        timeout: duration(table, "timeout"),
    }
}

fn alertmanager(table: &mut Table<'_>) -> AlertmanagerConfig {
    AlertmanagerConfig {
        url: table.string("url"),
        url_from: secret(table, "url_from"),
        bearer_token: secret(table, "bearer_token"),
        basic_auth: table.table("basic_auth").and_then(basic_auth),
        headers: headers(table),
        timeout: duration(table, "timeout"),
        resolve_after: duration(table, "resolve_after"),
        repost_every: duration(table, "repost_every"),
    }
}

fn pagerduty(table: &mut Table<'_>) -> Option<PagerdutyConfig> {
    let (url, timeout) = (table.string("url"), duration(table, "timeout"));
    let routing_key = needed(table, "routing_key");
    routing_key.map(|routing_key| PagerdutyConfig { routing_key, url, timeout })
}

/// The file is made at the start, its folder is not, unless it is that of the state.
fn log(table: &mut Table<'_>, data_dir: &Path) -> LogConfig {
    let file = table.string("file").map(PathBuf::from);
    let folder = file.as_deref().and_then(Path::parent).filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.is_dir() && *folder != data_dir) {
        table.problem("file", format!("its folder {} is not there", folder.display()));
    }
    LogConfig { file }
}

fn basic_auth(mut table: Table<'_>) -> Option<BasicAuthConfig> {
    let (user, password) = (table.required_string("user"), needed(&mut table, "password"));
    table.finish();
    password.map(|password| BasicAuthConfig { user, password })
}

fn headers(table: &mut Table<'_>) -> BTreeMap<String, SecretSource> {
    let Some(mut headers) = table.table("headers") else { return BTreeMap::new() };
    let names = headers.entries().iter().map(|(name, _)| name.clone());
    names.filter_map(|name| secret(&mut headers, &name).map(|source| (name, source))).collect()
}

/// Where a secret lies; that it is not there is a mistake.
fn needed(table: &mut Table<'_>, key: &str) -> Option<SecretSource> {
    if table.node(key).is_none() {
        table.problem(key, "this key is missing; name the secret as {env: NAME} or {file: PATH}");
    }
    secret(table, key)
}

/// Where a secret lies. What stands there instead is not repeated: it may be the secret.
fn secret(table: &mut Table<'_>, key: &str) -> Option<SecretSource> {
    let (node, problems) = (table.node(key)?, table.problems());
    if !matches!(node.value, Value::Map(_)) {
        let message = "a secret is named, never written: {env: NAME} or {file: PATH} is expected";
        problems.push(Problem::at(node, message));
        return None;
    }
    let mut table = Table::new(node, problems);
    let (env, file) = (table.string("env"), table.string("file"));
    if table.node("env").is_some() == table.node("file").is_some() {
        problems.push(Problem::at(node, "exactly one of env and file is needed: where the secret lies"));
    }
    table.finish();
    env.map(SecretSource::Env).or_else(|| file.map(|file| SecretSource::File(file.into())))
}
