//! The cluster as it is shown: what is seen in the cluster, and why.

use std::collections::BTreeSet;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;
use slo::counts::Sli;
use slo::objective::SloSpec;

use super::{Cluster, Found, Name};
use crate::discovery::{Service, sli_name};
use crate::figures::SLIS;
use crate::specs::Specs;

/// What is seen in the cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Discovery {
    /// Services by name.
    pub services: Vec<Seen>,
    /// Kinds of objects that could not be listed, and why.
    pub failures: Vec<String>,
}

/// A service as it is seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// `namespace/name`.
    pub service: String,
    /// Its SLOs; none where there are none.
    pub slos: Vec<SeenSlo>,
    /// Why it has SLOs, or none.
    pub why: String,
    /// How its pods are; nothing where that is not known.
    pub state: Option<String>,
    /// Who answers for it.
    pub team: Option<String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// What to do when it fails.
    pub runbook: Option<String>,
    /// How it was called before, `namespace/name`.
    pub renamed_from: Option<String>,
    /// What is wrong with its annotations.
    pub problems: Vec<String>,
}

/// An SLO as it is seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeenSlo {
    /// `availability` or `latency`.
    pub slo: &'static str,
    /// Target in percent.
    pub objective: String,
    /// Threshold of a latency SLO in milliseconds.
    pub threshold_ms: Option<u64>,
    /// Who says so: `document`, `annotation` or `default`.
    pub from: &'static str,
}

/// Services as they are seen.
pub fn seen(cluster: &Cluster, specs: &Specs) -> Vec<Seen> {
    let documents: BTreeSet<(&Service, Sli)> =
        specs.exceptions().map(|(service, spec)| (service, spec.sli)).collect();
    let specs = specs.annotated(cluster);
    let slo = |service: &Service, found: &Found, sli| {
        let SloSpec { objective, threshold_us, .. } = specs.spec(service, sli);
        let is_annotated = || found.slos.iter().any(|spec| spec.sli == sli);
        let from = match documents.contains(&(service, sli)) {
            true => "document",
            false if is_annotated() => "annotation",
            false => "default",
        };
        let threshold_ms = threshold_us.map(|us| us / 1000);
        SeenSlo { slo: sli_name(sli), objective: objective.objective_percent(), threshold_ms, from }
    };
    let see = |(name, found): (&Name, &Found)| {
        let service = Service::of(name);
        let slis = SLIS.iter().filter(|_| found.why.has_slos());
        Seen {
            service: service.to_string(),
            slos: slis.map(|&sli| slo(&service, found, sli)).collect(),
            why: found.why.to_string(),
            state: found.workload.as_ref().map(ToString::to_string),
            team: found.team.clone(),
            owner: found.owner.clone(),
            runbook: found.runbook.clone(),
            renamed_from: found.renamed_from.as_ref().map(|(namespace, name)| format!("{namespace}/{name}")),
            problems: found.problems.clone(),
        }
    };
    cluster.services.iter().map(see).collect()
}

/// A table for people, and what is wrong below it.
pub fn text(discovery: &Discovery) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["SERVICE", "SLOS", "STATE", "TEAM", "WHY"]);
    for seen in &discovery.services {
        let slos: Vec<String> = seen.slos.iter().map(short).collect();
        let slos = if slos.is_empty() { "none".to_owned() } else { slos.join(", ") };
        table.add_row([
            seen.service.as_str(),
            slos.as_str(),
            seen.state.as_deref().unwrap_or("not known"),
            seen.team.as_deref().unwrap_or("-"),
            &seen.why,
        ]);
    }
    let problems = discovery.services.iter().flat_map(|seen| &seen.problems);
    let problems: String =
        problems.chain(&discovery.failures).map(|problem| format!("\n! {problem}")).collect();
    format!("{table}{problems}")
}

fn short(slo: &SeenSlo) -> String {
    let by = if slo.from == "default" { String::new() } else { format!(" by {}", slo.from) };
    match slo.threshold_ms {
        Some(threshold) => format!("{} % < {threshold} ms{by}", slo.objective),
        None => format!("{} %{by}", slo.objective),
    }
}
