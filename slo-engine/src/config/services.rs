//! The keys `services` and `slos`: which services are known by name, and which of them have other SLOs.

use std::collections::BTreeSet;

use settings::{Env, Table};
use slo::counts::DEFAULT_EDGES_US;

use crate::discovery::Service;
use crate::specs::Specs;

/// Services as `namespace/name`.
pub(super) fn services(table: &mut Table<'_>) -> BTreeSet<(String, String)> {
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
pub(super) fn specs(table: &mut Table<'_>, env: Env<'_>) -> Specs {
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
