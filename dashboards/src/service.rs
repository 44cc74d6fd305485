//! What a dashboard is rendered from: a service and its SLOs.

use slo::counts::Sli;
use slo::objective::SloSpec;

/// A service that gets a dashboard.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceDashboard {
    /// As it stands in the field `service` of its results: `namespace/name`, or a raw upstream name.
    pub service: String,
    /// Whose log lines are its own; nothing where its name is not resolved.
    pub workload: Option<Workload>,
    /// Its SLOs, one of an SLI; their order does not matter.
    pub slos: Vec<SloSpec>,
    /// What to do when it fails.
    pub runbook_url: Option<String>,
}

/// A Kubernetes workload: its pods are called `name-…`, or their container `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the service.
    pub name: String,
}

impl ServiceDashboard {
    /// How it is called in titles: a log may give no name.
    pub(crate) fn title(&self) -> &str {
        if self.service.trim().is_empty() { "(no name)" } else { &self.service }
    }

    /// The SLOs, availability first.
    pub(crate) fn sorted_slos(&self) -> Vec<&SloSpec> {
        let mut slos: Vec<&SloSpec> = self.slos.iter().collect();
        slos.sort_by_key(|slo| sli_name(slo.sli));
        slos.dedup_by_key(|slo| slo.sli);
        slos
    }
}

/// The value of the field `slo`.
pub(crate) fn sli_name(sli: Sli) -> &'static str {
    match sli {
        Sli::Availability => "availability",
        Sli::Latency => "latency",
    }
}
