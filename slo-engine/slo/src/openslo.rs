//! OpenSLO v1 documents: exceptions from the default SLOs, for the two SLIs that are counted here.

mod indicator;
mod metadata;
mod objectives;
mod time_window;

use std::collections::BTreeMap;

use settings::{Env, Node, Problem, Problems, Syntax, Table};

use crate::counts::Sli;
use crate::objective::SloSpec;
use indicator::Indicator;

/// The API version that is read.
pub const API_VERSION: &str = "openslo/v1";

/// The kinds that are read: an SLO may hold its SLI or refer to one.
const KINDS: [&str; 3] = ["SLI", "SLO", "Service"];

/// An SLO of a service, as a document has it; it replaces the default SLO of the same SLI.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSlo {
    /// `metadata.name`.
    pub name: String,
    /// `spec.service`: `namespace/name`.
    pub service: String,
    /// What it says.
    pub spec: SloSpec,
}

/// SLIs by name, nothing where the document has mistakes.
type Slis = BTreeMap<String, Option<Indicator>>;

/// Reads the documents of all files (name and text, YAML or JSON) together, so that an SLO may refer to an SLI elsewhere.
/// `edges_us` are the latency edges that are counted; every threshold must be one of them.
///
/// # Errors
/// Every mistake, and everything that OpenSLO allows but that is not kept here, with file, line, path and what is allowed.
pub fn parse(files: &[(&str, &str)], edges_us: &[u64], env: Env<'_>) -> Result<Vec<ServiceSlo>, Problems> {
    let problems = Problems::default();
    let documents = documents(files, env, &problems);
    let opened: Vec<_> = documents.iter().filter_map(|node| open(node, &problems)).collect();
    let mut slis = Slis::new();
    let mut slos = Vec::new();
    for (kind, table) in opened {
        match kind {
            "SLI" => sli(table, edges_us, &mut slis),
            "Service" => service(table),
            _ => slos.push(table),
        }
    }
    let read: Vec<_> = slos.into_iter().filter_map(|table| slo(table, edges_us, &slis)).collect();
    refuse_twice(&read, &problems);
    if problems.is_empty() { Ok(read.into_iter().map(|(_, slo)| slo).collect()) } else { Err(problems) }
}

fn documents(files: &[(&str, &str)], env: Env<'_>, problems: &Problems) -> Vec<Node> {
    let mut documents = Vec::new();
    for (file, text) in files {
        match settings::parse_all(file, text, Syntax::Yaml, env) {
            Ok(nodes) => documents.extend(nodes),
            Err(found) => found.into_vec().into_iter().for_each(|problem| problems.push(problem)),
        }
    }
    documents
}

fn open<'a>(node: &'a Node, problems: &'a Problems) -> Option<(&'static str, Table<'a>)> {
    let mut table = Table::new(node, problems);
    let version = table.one_of("apiVersion", &[API_VERSION], None);
    let kind = table.one_of("kind", &KINDS, None);
    version.and(kind).map(|kind| (kind, table))
}

fn service(mut document: Table<'_>) {
    metadata::read(&mut document);
    if let Some(mut spec) = required(&mut document, "spec") {
        metadata::description(&mut spec);
        spec.finish();
    }
    document.finish();
}

fn sli(mut document: Table<'_>, edges_us: &[u64], slis: &mut Slis) {
    let name = metadata::read(&mut document);
    let indicator = required(&mut document, "spec").and_then(|spec| indicator::read(spec, edges_us));
    if slis.insert(name.clone(), indicator).is_some() {
        document.problem("metadata", format!("a second SLI is named {name:?}; give each its own name"));
    }
    document.finish();
}

fn slo<'a>(mut document: Table<'a>, edges_us: &[u64], slis: &Slis) -> Option<(&'a Node, ServiceSlo)> {
    let place = document.place();
    let name = metadata::read(&mut document);
    let spec = required(&mut document, "spec").and_then(|spec| slo_spec(spec, edges_us, slis));
    document.finish();
    spec.map(|(service, spec)| (place, ServiceSlo { name, service, spec }))
}

fn slo_spec(mut table: Table<'_>, edges_us: &[u64], slis: &Slis) -> Option<(String, SloSpec)> {
    metadata::description(&mut table);
    let service = service_name(&mut table);
    let indicator = indicator::of_slo(&mut table, edges_us, slis);
    let window = time_window::read(&mut table);
    let promise = objectives::read(&mut table);
    if table.node("alertPolicies").is_some() {
        let message =
            "alert policies are not read from documents: they follow from the objective; take this key out";
        table.problem("alertPolicies", message);
    }
    table.finish();
    let (Indicator { sli, threshold_us }, (objective, method), (window, time_zone)) =
        (indicator?, promise?, window?);
    Some((service?, SloSpec { sli, objective, threshold_us, window, time_zone, method }))
}

fn service_name(table: &mut Table<'_>) -> Option<String> {
    let service = table.required_string("service");
    let known = service
        .split_once('/')
        .is_some_and(|(namespace, name)| metadata::is_dns_label(namespace) && metadata::is_dns_label(name));
    if !known && !service.is_empty() {
        let message = format!(
            "cannot tell which service {service:?} is; write \"namespace/name\" as Kubernetes has them"
        );
        table.problem("service", message);
    }
    known.then_some(service)
}

/// A table that must be there.
fn required<'a>(table: &mut Table<'a>, key: &str) -> Option<Table<'a>> {
    let found = table.table(key);
    if found.is_none() {
        table.problem(key, "this key is missing; expected a table");
    }
    found
}

/// One SLO for each SLI of a service, and one name for each SLO.
fn refuse_twice(slos: &[(&Node, ServiceSlo)], problems: &Problems) {
    let mut names: BTreeMap<&str, &Node> = BTreeMap::new();
    let mut kept: BTreeMap<(&str, Sli), &Node> = BTreeMap::new();
    for (place, slo) in slos {
        if let Some(first) = names.insert(&slo.name, place) {
            let message = format!(
                "a second SLO is named {:?}; the first is at {}:{}",
                slo.name, first.file, first.line
            );
            problems.push(Problem::at(place, message));
        }
        if let Some(first) = kept.insert((&slo.service, slo.spec.sli), place) {
            let (service, sli, at) = (&slo.service, indicator::word(slo.spec.sli), &first.file);
            let message =
                format!("a second {sli} SLO for {service}; the first is at {at}:{}; keep one", first.line);
            problems.push(Problem::at(place, message));
        }
    }
}
