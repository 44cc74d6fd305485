//! The keys `services` and `slos`: which services are known by name, and which of them have other SLOs.

use std::collections::BTreeSet;

use settings::{Env, Problem, Table};
use slo::counts::DEFAULT_EDGES_US;

use crate::discovery::Service;
use crate::specs::Specs;

/// The longest name that Kubernetes gives to a namespace or a Service.
const LONGEST_NAME: usize = 63;

/// Services as `namespace/name`.
pub(super) fn services(table: &mut Table<'_>) -> BTreeSet<(String, String)> {
    let mut services = BTreeSet::new();
    for node in table.texts("services") {
        let text = node.as_str().unwrap_or_default();
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                services.insert((namespace.to_owned(), name.to_owned()));
            }
            _ => table.problems().push(Problem::at(
                node,
                format!(
                    "{text:?} is not namespace/name; each is at most {LONGEST_NAME} lower-case letters, digits and '-', \
                     and neither begins nor ends with '-'"
                ),
            )),
        }
    }
    services
}

/// Whether a text is a label of RFC 1123, as Kubernetes names namespaces and Services.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// OpenSLO documents: exceptions to the default SLOs.
pub(super) fn specs(table: &mut Table<'_>, env: Env<'_>) -> Specs {
    let mut files: Vec<(&str, String)> = Vec::new();
    for node in table.texts("slos") {
        let file = node.as_str().unwrap_or_default();
        match std::fs::read_to_string(file) {
            Ok(text) => files.push((file, text)),
            Err(cause) => table.problems().push(Problem::at(node, format!("cannot read {file}: {cause}"))),
        }
    }
    let texts: Vec<(&str, &str)> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
    match slo::openslo::parse(&texts, &DEFAULT_EDGES_US, env) {
        Ok(found) => Specs::new(found.into_iter().map(|slo| (Service::parse(&slo.service), slo.spec))),
        Err(wrong) => {
            wrong.into_vec().into_iter().for_each(|problem| table.problems().push(problem));
            Specs::default()
        }
    }
}
