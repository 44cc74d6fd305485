//! Kibana dashboards of the services that the engine knows: rendered to files, brought into Kibana, kept up with them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;
use dashboards::{Export, Kibana, SavedObject, ServiceDashboard, Workload};

use crate::config::Config;
use crate::discovery::Service;
use crate::engine::Engine;
use crate::figures::{Figures, SLIS};

/// Name of the file that holds everything.
const ALL: &str = "headroom.ndjson";

/// Which dashboards are wanted.
#[derive(Debug)]
pub struct Target {
    environment: String,
    config: Option<dashboards::Config>,
}

impl Target {
    /// Those that `config` asks for.
    pub fn of(config: &Config) -> Self {
        Self { environment: config.environment.to_string(), config: config.dashboards.clone() }
    }

    /// The overview and the dashboard of each service that the engine knows, not made yet.
    pub fn boards(&self, engine: &Engine) -> Boards {
        let (services, environment) = (self.services(engine), self.environment.clone());
        Boards { services, environment, space: self.space().to_owned() }
    }

    /// Everything as one export.
    pub(crate) fn whole(objects: &[SavedObject]) -> Export {
        Export { name: ALL.trim_end_matches(".ndjson").to_owned(), objects: objects.to_vec() }
    }

    /// What the dashboards are of.
    pub(crate) fn services(&self, engine: &Engine) -> Vec<ServiceDashboard> {
        engine.with_figures(|figures| services(figures, self.config.as_ref()))
    }

    /// The overview and a dashboard for each service.
    pub(crate) fn render(&self, services: &[ServiceDashboard]) -> Vec<SavedObject> {
        dashboards::render(services, &self.environment, self.space())
    }

    fn space(&self) -> &str {
        self.config.as_ref().map_or("default", |config| &config.space)
    }
}

/// Dashboards that are made one by one.
#[derive(Debug)]
pub struct Boards {
    services: Vec<ServiceDashboard>,
    environment: String,
    space: String,
}

impl Boards {
    /// Their objects, in the order of the file that Kibana imports.
    pub fn objects(&self) -> impl Iterator<Item = SavedObject> {
        dashboards::each(&self.services, &self.environment, &self.space)
    }

    /// What changes when one of them does.
    pub fn tag(&self) -> String {
        let mut hasher = Tag(DefaultHasher::new());
        // A hasher takes whatever is written.
        let _ = write!(hasher, "{} {self:?}", env!("CARGO_PKG_VERSION"));
        format!("W/\"{:016x}\"", hasher.0.finish())
    }
}

/// Takes text into a hash as it is written.
struct Tag(DefaultHasher);

impl Write for Tag {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Writes an export for each dashboard, and one of everything; gives their files.
pub(crate) fn write(objects: &[SavedObject], out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let (whole, mut paths) = (Target::whole(objects), Vec::new());
    for export in Export::each(objects).iter().chain([&whole]) {
        let path = out.join(format!("{}.ndjson", export.name));
        std::fs::write(&path, export.ndjson()).with_context(|| format!("cannot write {}", path.display()))?;
        paths.push(path);
    }
    Ok(paths)
}

fn services(figures: &Figures<'_>, config: Option<&dashboards::Config>) -> Vec<ServiceDashboard> {
    let dashboard = |service: &Service| {
        let workload = match service {
            Service::Named { namespace, name } => {
                Some(Workload { namespace: namespace.clone(), name: name.clone() })
            }
            Service::Ambiguous(_) | Service::Unattributed => None,
        };
        ServiceDashboard {
            service: service.to_string(),
            runbook_url: figures
                .counts
                .cluster()
                .get(service)
                .and_then(|found| found.runbook.clone())
                .or_else(|| {
                    config.zip(workload.as_ref()).and_then(|(config, workload)| config.runbook(workload))
                }),
            workload,
            slos: SLIS.map(|sli| figures.specs.spec(service, sli)).to_vec(),
        }
    };
    figures.counts.services().map(|(service, ..)| dashboard(service)).collect()
}

/// Keeps Kibana's dashboards up with the services. It takes none away: someone may still look at a service that went.
#[derive(Debug)]
pub(crate) struct Updater {
    target: Target,
    kibana: Kibana,
    /// Hash of what was brought, by id.
    brought: BTreeMap<String, u64>,
    /// What went wrong the last time.
    failed: Option<String>,
}

impl Updater {
    /// Nothing where no Kibana is configured.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(kibana) = &config.dashboards else { return Ok(None) };
        let (target, kibana) = (Target::of(config), Kibana::new(kibana)?);
        Ok(Some(Self { target, kibana, brought: BTreeMap::new(), failed: None }))
    }

    /// Whether it has the same Kibana and the same dashboards in mind.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.target.config == other.target.config
    }

    /// Brings what is new; a failure is told once, and everything is brought the next time.
    pub(crate) async fn update(&mut self, engine: &Engine) {
        match self.bring(engine).await {
            Ok(0) => {}
            Ok(objects) => {
                self.failed = None;
                tracing::info!(objects, "brought dashboards into Kibana");
            }
            Err(error) => {
                self.brought.clear();
                let error = format!("{error:#}");
                if self.failed.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "cannot bring dashboards into Kibana; it is tried again every minute"
                    );
                }
                self.failed = Some(error);
            }
        }
    }

    async fn bring(&mut self, engine: &Engine) -> anyhow::Result<usize> {
        let mut objects = self.target.render(&self.target.services(engine));
        objects.retain(|object| self.brought.get(&object.id) != Some(&hash(object)));
        if objects.is_empty() {
            return Ok(0);
        }
        let count = self.kibana.import(&objects).await?;
        self.brought.extend(objects.iter().map(|object| (object.id.clone(), hash(object))));
        Ok(count)
    }
}

fn hash(object: &SavedObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.line().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
