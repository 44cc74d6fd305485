//! The engine's configuration: raw keys become proven values, all mistakes are told at once with file and line.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::kubernetes::Access;
use alerts::{Notifiers, Policies};
use search::Environment;
use settings::{Env, Node, Problems, Syntax, Table};

use crate::specs::Specs;

mod access;
mod archive;
mod elasticsearch;
mod escalation;
mod kubernetes;
mod limits;
mod listen;
mod notifiers;
mod place;
mod refill;
mod reports;
mod sections;
mod services;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;

pub use access::{AccessConfig, Scope, TokenConfig};
pub use archive::ArchiveConfig;
pub use elasticsearch::Elasticsearch;
pub use limits::Limits;
pub use refill::RefillConfig;
pub use reports::ReportsConfig;
pub use sections::{Sections, fingerprint};
pub use tls::TlsFiles;

use elasticsearch::elasticsearch;
use escalation::policies;
use kubernetes::access as cluster_access;
use listen::listen;
use notifiers::notifiers;
use reports::reports;
use services::{services, specs};
use tokens::token;

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
    /// What tells one configuration from another.
    pub sections: Sections,
    /// Who may do what.
    pub access: AccessConfig,
    /// How much the HTTP server takes on at once.
    pub limits: Limits,
    /// The certificate of the engine's own port; without it, plain HTTP.
    pub tls: Option<TlsFiles>,
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
        let listen = listen(&mut table);
        let data_dir = PathBuf::from(table.required_string("data_dir"));
        if data_dir.is_file() {
            table.problem("data_dir", format!("{} is a file; name a directory", data_dir.display()));
        }
        let token = token(&mut table);
        let environment = Environment::prove(&mut table);
        let reports = reports(&mut table, &data_dir, environment.as_str());
        let dashboards = table.table("dashboards").map(dashboards::Config::prove);
        let services = services(&mut table);
        let specs = specs(&mut table, env);
        let (channels, notifiers) = notifiers(&mut table, &data_dir);
        let policies = policies(&mut table, &channels);
        let archive = ArchiveConfig::prove(&mut table);
        let refill = RefillConfig::prove(&mut table);
        let elasticsearch = table.table("elasticsearch").map(elasticsearch);
        let kubernetes = cluster_access(&mut table);
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
            sections: Sections::of(root),
            access,
            limits,
            tls,
        })
    }
}
