//! The engine's configuration: raw keys become proven values, all mistakes are told at once with file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alerts::{ChannelName, ConfigError, NotifierConfig, Notifiers, Policies, PoliciesConfig};
use kubernetes::Access;
use search::{ClientConfig, Environment};
use serde::de::DeserializeOwned;
use settings::{Node, Problem, Problems, Syntax, Table, Value};
use slo::counts::DEFAULT_EDGES_US;

use crate::discovery::Service;
use crate::refill::RefillConfig;
use crate::schedule::{Schedule, ScheduleError};
use crate::specs::Specs;

mod access;
mod archive;
mod limits;
mod tls;

pub use access::{AccessConfig, Scope, TokenConfig};
pub use archive::ArchiveConfig;
pub use limits::Limits;
pub use tls::TlsFiles;

/// The fourth of each month: more than 72 h after the end of the one before, in every zone.
const REPORTS_SCHEDULE: &str = "0 6 4 * *";

/// Days that indices are kept by default.
const RETENTION_DAYS: u32 = 30;

/// Ten years: more is a slip of the finger.
const LONGEST_RETENTION_DAYS: u32 = 3660;

/// Looks up an environment variable.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Proven configuration.
#[derive(Debug)]
pub struct Config {
    /// Address of the API and the page.
    pub listen: SocketAddr,
    /// Where the state lies.
    pub data_dir: PathBuf,
    /// Where the services run: part of the names of indices, dashboards and files.
    pub environment: Environment,
    /// Bearer token that writers must show.
    pub token: Option<Arc<str>>,
    /// Which SLOs services have.
    pub specs: Specs,
    /// (namespace, name) of services that are known from the start.
    pub services: BTreeSet<(String, String)>,
    /// Ways to reach someone.
    pub notifiers: Notifiers,
    /// Whom to tell, in which order.
    pub policies: Policies,
    /// How months are sealed.
    pub reports: ReportsConfig,
    /// The Kibana that gets dashboards.
    pub dashboards: Option<dashboards::Config>,
    /// Where results and counts are written.
    pub elasticsearch: Option<Elasticsearch>,
    /// Where the collectors' archive lies.
    pub archive: Option<ArchiveConfig>,
    /// How an empty state is filled.
    pub refill: RefillConfig,
    /// How the cluster is reached whose services are discovered.
    pub kubernetes: Option<Access>,
    /// Who may do what.
    pub access: AccessConfig,
    /// How much the HTTP server takes on at once.
    pub limits: Limits,
    /// The certificate of the engine's own port; without it, plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// How months are sealed.
#[derive(Clone, Debug)]
pub struct ReportsConfig {
    /// Where the services run: part of the files' names.
    pub environment: String,
    /// When sealing is looked after; a month is due at the first time that lies 72 h or more after its end.
    pub schedule: Schedule,
    /// Where the files are put.
    pub directory: PathBuf,
}

/// Elasticsearch or OpenSearch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elasticsearch {
    /// How it is reached.
    pub client: ClientConfig,
    /// Whole days in UTC that indices are kept beside the current one.
    pub retention_days: u32,
}

impl Config {
    /// Reads and proves a configuration file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file and line.
    pub fn load(path: &Path, env: Env<'_>) -> Result<Self, Problems> {
        let problems = Problems::default();
        let root = settings::load_with(path, env, &problems);
        Self::settle(root, problems, env)
    }

    /// Proves the text of a configuration; `file` is its name in problems.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file and line.
    pub fn parse(file: &str, text: &str, syntax: Syntax, env: Env<'_>) -> Result<Self, Problems> {
        let problems = Problems::default();
        let root = settings::parse_with(file, text, syntax, env, &problems);
        Self::settle(root, problems, env)
    }

    /// Reads where the documents of which environment lie, and leaves the rest of the file alone.
    ///
    /// # Errors
    /// Everything that is wrong with these two keys, each with file and line.
    pub fn load_elasticsearch(
        path: &Path,
        env: Env<'_>,
    ) -> Result<(Environment, Option<Elasticsearch>), Problems> {
        let problems = Problems::default();
        let root = settings::load_with(path, env, &problems);
        let proven = root.map(|root| {
            let mut table = Table::new(&root, &problems);
            (Environment::prove(&mut table), table.table("elasticsearch").map(elasticsearch))
        });
        match proven {
            Some(proven) if problems.is_empty() => Ok(proven),
            _ => Err(problems),
        }
    }

    fn settle(root: Option<Node>, problems: Problems, env: Env<'_>) -> Result<Self, Problems> {
        let proven = root.and_then(|root| Self::prove(&root, &problems, env));
        match proven {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }

    fn prove(root: &Node, problems: &Problems, env: Env<'_>) -> Option<Self> {
        let mut table = Table::new(root, problems);
        let listen = address(&mut table);
        let data_dir = PathBuf::from(table.required_string("data_dir"));
        let token = table.table("counts").map(|mut counts| {
            let token = counts.secret("token");
            token.iter().for_each(|token| access::refuse_blank(&counts, "token", token));
            counts.finish();
            token
        });
        let token = token.flatten().map(Arc::<str>::from);
        let environment = Environment::prove(&mut table);
        let reports = reports(&mut table, &data_dir, environment.as_str());
        let dashboards = table.table("dashboards").map(dashboards::Config::prove);
        let services = services(&mut table);
        let specs = specs(&mut table, env);
        let notifiers = notifiers(&mut table);
        let policies = notifiers.as_ref().and_then(|notifiers| policies(&mut table, notifiers));
        let archive = ArchiveConfig::prove(&mut table);
        let refill = RefillConfig::prove(&mut table);
        table.node("escalation");
        let elasticsearch = table.table("elasticsearch").map(elasticsearch);
        let kubernetes = table.table("kubernetes").map(kubernetes);
        let access = AccessConfig::prove(&mut table, token.clone());
        let limits = Limits::prove(&mut table);
        let tls = TlsFiles::prove(&mut table);
        table.finish();
        Some(Self {
            listen: listen?,
            data_dir,
            environment,
            token,
            specs,
            services,
            notifiers: notifiers?,
            policies: policies?,
            reports: reports?,
            dashboards,
            elasticsearch,
            archive,
            refill,
            kubernetes,
            access,
            limits,
            tls,
        })
    }
}

fn address(table: &mut Table<'_>) -> Option<SocketAddr> {
    let text = table.string_or("listen", "127.0.0.1:8080");
    let parsed = text.parse();
    if parsed.is_err() {
        table.problem(
            "listen",
            format!("{text:?} is not an address; write an address and a port, like 0.0.0.0:8080"),
        );
    }
    parsed.ok()
}

fn reports(table: &mut Table<'_>, data_dir: &Path, environment: &str) -> Option<ReportsConfig> {
    let mut config = ReportsConfig {
        environment: environment.to_owned(),
        schedule: Schedule::parse(REPORTS_SCHEDULE, "UTC").ok()?,
        directory: data_dir.join("reports"),
    };
    let Some(mut reports) = table.table("reports") else { return Some(config) };
    let expression = reports.string_or("schedule", REPORTS_SCHEDULE);
    let zone = reports.string_or("time_zone", "UTC");
    match Schedule::parse(&expression, &zone) {
        Ok(schedule) => config.schedule = schedule,
        Err(error @ ScheduleError::Zone(_)) => reports.problem("time_zone", error.to_string()),
        Err(error) => reports.problem("schedule", error.to_string()),
    }
    if let Some(directory) = reports.string("directory") {
        config.directory = directory.into();
    }
    reports.finish();
    Some(config)
}

fn elasticsearch(mut table: Table<'_>) -> Elasticsearch {
    let client = ClientConfig::prove(&mut table);
    let days = table.u64_or("retention_days", RETENTION_DAYS.into());
    let retention_days = u32::try_from(days).ok().filter(|days| (1..=LONGEST_RETENTION_DAYS).contains(days));
    if retention_days.is_none() {
        table.problem("retention_days", format!("must be 1 to {LONGEST_RETENTION_DAYS} days"));
    }
    table.finish();
    Elasticsearch { client, retention_days: retention_days.unwrap_or(RETENTION_DAYS) }
}

fn kubernetes(mut table: Table<'_>) -> Access {
    let file = table.string("kube_config_file");
    table.finish();
    file.map_or(Access::InCluster, |file| Access::KubeConfig(file.into()))
}

fn services(table: &mut Table<'_>) -> BTreeSet<(String, String)> {
    let mut services = BTreeSet::new();
    for text in table.strings("services") {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                services.insert((namespace.to_owned(), name.to_owned()));
            }
            _ => table.problem("services", format!("{text:?} is not namespace/name")),
        }
    }
    services
}

/// OpenSLO documents: exceptions to the default SLOs.
fn specs(table: &mut Table<'_>, env: Env<'_>) -> Specs {
    let mut files: Vec<(String, String)> = Vec::new();
    for file in table.strings("slos") {
        match std::fs::read_to_string(&file) {
            Ok(text) => files.push((file, text)),
            Err(cause) => table.problem("slos", format!("cannot read {file}: {cause}")),
        }
    }
    let texts: Vec<(&str, &str)> = files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    match slo::openslo::parse(&texts, &DEFAULT_EDGES_US, env) {
        Ok(found) => Specs::new(found.into_iter().map(|slo| (Service::parse(&slo.service), slo.spec))),
        Err(wrong) => {
            wrong.into_vec().into_iter().for_each(|problem| table.problems().push(problem));
            Specs::default()
        }
    }
}

/// Without any, pages go to the engine's own log, so that nothing that would page is unseen.
fn notifiers(table: &mut Table<'_>) -> Option<Notifiers> {
    let problems = table.problems();
    let node = table.node("notifiers");
    let entries = node.map(Node::entries).unwrap_or_default();
    let mut configs: BTreeMap<ChannelName, NotifierConfig> = BTreeMap::new();
    for (name, node) in entries {
        configs.insert(ChannelName(name.clone()), decode(node, problems)?);
    }
    if configs.is_empty() {
        let log = serde_json::json!({"type": "log"});
        configs.insert(ChannelName("log".to_owned()), serde_json::from_value(log).ok()?);
    }
    Notifiers::build(configs).map_err(|errors| place(errors, node, problems)).ok()
}

fn policies(table: &mut Table<'_>, notifiers: &Notifiers) -> Option<Policies> {
    let problems = table.problems();
    let node = table.node("escalation");
    let raw: PoliciesConfig = match node {
        Some(node) => decode(node, problems)?,
        None => PoliciesConfig::default(),
    };
    raw.prove(&notifiers.channels()).map_err(|errors| place(errors, node, problems)).ok()
}

/// Errors of another crate name a path below `node`; the nearest node on that path gives the line.
fn place(errors: Vec<ConfigError>, node: Option<&Node>, problems: &Problems) {
    for error in errors {
        let Some(root) = node else {
            problems.push(Problem::new("the defaults", 0, &error.path, error.message));
            continue;
        };
        let nearest = nearest(root, &error.path);
        let path = format!("{}.{}", root.path, error.path);
        problems.push(Problem::new(&nearest.file, nearest.line, &path, error.message));
    }
}

fn nearest<'a>(root: &'a Node, path: &str) -> &'a Node {
    let mut at = root;
    for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let next = match &at.value {
            Value::Map(_) => at.get(step),
            Value::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match next {
            Some(node) => at = node,
            None => break,
        }
    }
    at
}

fn decode<T: DeserializeOwned>(node: &Node, problems: &Problems) -> Option<T> {
    serde_json::from_value(json(node))
        .map_err(|error| problems.push(Problem::at(node, error.to_string())))
        .ok()
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => text.clone().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node))).collect(),
    }
}

#[cfg(test)]
mod tests;
