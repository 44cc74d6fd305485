//! Which service a count row belongs to: nginx's `namespace-service-port` resolved against what is known.

use std::collections::BTreeSet;
use std::fmt;

use slo::counts::{ServiceRef, Sli};

/// What ingress-nginx writes for requests that no Ingress routes.
const DEFAULT_BACKEND: &str = "upstream-default-backend";

/// A service as it is shown: `namespace/name`, a raw upstream name that could not be resolved, or `unattributed`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Resolved.
    Named {
        /// Kubernetes namespace.
        namespace: String,
        /// Service name.
        name: String,
    },
    /// Kept raw and marked: several readings of `namespace-service-port` are possible.
    Ambiguous(String),
    /// Requests that named no service.
    Unattributed,
}

/// The namespaces and services that rows and streams have taught us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Namespaces that pods were seen in.
    pub namespaces: BTreeSet<String>,
    /// (namespace, name) of services that are known by name.
    pub services: BTreeSet<(String, String)>,
}

impl Known {
    /// Learns from a row.
    pub fn learn(&mut self, service: &ServiceRef) {
        if let ServiceRef::Named { namespace, name } = service {
            self.services.insert((namespace.clone(), name.clone()));
        }
    }

    /// Whether a row would teach something.
    pub fn is_news(&self, service: &ServiceRef) -> bool {
        match service {
            ServiceRef::Named { namespace, name } => {
                !self.services.contains(&(namespace.clone(), name.clone()))
            }
            ServiceRef::Upstream(_) | ServiceRef::Unattributed => false,
        }
    }

    /// Whom a row counts for.
    pub fn resolve(&self, service: &ServiceRef) -> Service {
        match service {
            ServiceRef::Named { namespace, name } => {
                Service::Named { namespace: namespace.clone(), name: name.clone() }
            }
            ServiceRef::Upstream(raw) => self.resolve_upstream(raw),
            ServiceRef::Unattributed => Service::Unattributed,
        }
    }

    /// Known services decide, then known namespaces; a name with a single reading needs neither.
    fn resolve_upstream(&self, raw: &str) -> Service {
        if raw == DEFAULT_BACKEND {
            return Service::Unattributed;
        }
        let readings = readings(raw);
        let by_service = readings
            .iter()
            .filter(|(ns, name)| self.services.contains(&((*ns).to_owned(), (*name).to_owned())));
        let by_namespace = readings.iter().filter(|(ns, _)| self.namespaces.contains(*ns));
        let one = only(by_service).or_else(|| only(by_namespace)).or_else(|| only(readings.iter()));
        match one {
            Some((namespace, name)) => {
                Service::Named { namespace: namespace.to_owned(), name: name.to_owned() }
            }
            None => Service::Ambiguous(raw.to_owned()),
        }
    }
}

/// Every (namespace, service) that `namespace-service-port` can be read as. A port is a number, or else a name that may
/// itself hold dashes.
fn readings(raw: &str) -> Vec<(&str, &str)> {
    let dashes: Vec<usize> = raw.match_indices('-').map(|(at, _)| at).collect();
    let numeric = raw
        .rsplit('-')
        .next()
        .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty());
    let ends = if numeric { &dashes[dashes.len().saturating_sub(1)..] } else { &dashes[..] };
    let mut found: Vec<(&str, &str)> = Vec::new();
    for &end in ends {
        for &middle in dashes.iter().filter(|&&middle| middle < end) {
            let reading = (&raw[..middle], &raw[middle + 1..end]);
            if !reading.0.is_empty() && !reading.1.is_empty() && end + 1 < raw.len() {
                found.push(reading);
            }
        }
    }
    found
}

fn only<'a, 'b: 'a>(
    mut readings: impl Iterator<Item = &'a (&'b str, &'b str)>,
) -> Option<(&'b str, &'b str)> {
    let first = *readings.next()?;
    readings.next().is_none().then_some(first)
}

impl Service {
    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => Self::Named { namespace: namespace.into(), name: name.into() },
            None if text == "unattributed" => Self::Unattributed,
            None => Self::Ambiguous(text.to_owned()),
        }
    }

    /// Id of one of its SLOs: `namespace.name.sli`; neither namespaces nor service names hold dots.
    pub fn slo_id(&self, sli: Sli) -> String {
        format!("{}.{}", self.to_string().replace('/', "."), sli_name(sli))
    }
}

/// `availability` or `latency`.
pub fn sli_name(sli: Sli) -> &'static str {
    match sli {
        Sli::Availability => "availability",
        Sli::Latency => "latency",
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Ambiguous(raw) => f.write_str(raw),
            Self::Unattributed => f.write_str("unattributed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, namespaces: &[&str], services: &[(&str, &str)], want: &str) {
        let known = Known {
            namespaces: namespaces.iter().map(|&ns| ns.to_owned()).collect(),
            services: services.iter().map(|&(ns, name)| (ns.to_owned(), name.to_owned())).collect(),
        };
        assert_eq!(known.resolve(&ServiceRef::Upstream(raw.to_owned())).to_string(), want);
    }

    #[test]
    fn a_name_with_one_reading_needs_no_knowledge() {
        check("shop-web-80", &[], &[], "shop/web");
        check("shop-web-http", &[], &[], "shop/web");
    }

    #[test]
    fn a_name_with_several_readings_stays_raw_until_a_namespace_or_service_decides() {
        check("social-feed-generator-8080", &[], &[], "social-feed-generator-8080");
        check("social-feed-generator-8080", &["social"], &[], "social/feed-generator");
        check("social-feed-generator-8080", &["social", "social-feed"], &[], "social-feed-generator-8080");
        let known = [("social-feed", "generator")];
        check("social-feed-generator-8080", &["social", "social-feed"], &known, "social-feed/generator");
    }

    #[test]
    fn what_is_no_upstream_name_stays_raw() {
        for raw in ["", "-", "--", "web", "web-80", "-web-80", "shop-web-"] {
            check(raw, &[], &[], raw);
        }
        check("upstream-default-backend", &[], &[], "unattributed");
    }
}
