//! Which service a count row belongs to: nginx's `namespace-service-port` resolved against what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use slo::counts::{ServiceRef, Sli};

/// Both SLIs, in the order in which they are shown.
pub const SLIS: [Sli; 2] = [Sli::Availability, Sli::Latency];

/// What ingress-nginx writes for requests that no Ingress routes.
const DEFAULT_BACKEND: &str = "upstream-default-backend";

/// How requests are shown that named no service.
const UNATTRIBUTED: &str = "unattributed";

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

/// The namespaces and services that rows, streams and the cluster have taught us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Namespaces that are there, or that pods were seen in.
    pub namespaces: BTreeSet<String>,
    /// (namespace, name) of services that are known by name.
    pub services: BTreeSet<(String, String)>,
    /// New names of services by old ones.
    pub renames: BTreeMap<(String, String), (String, String)>,
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
            ServiceRef::Named { namespace, name } => self.renamed(namespace, name),
            ServiceRef::Upstream(raw) => self.resolve_upstream(raw),
            ServiceRef::Unattributed => Service::Unattributed,
        }
    }

    /// How a service is called now, over any number of renames; names that lead back to themselves are kept.
    fn renamed(&self, namespace: &str, name: &str) -> Service {
        let start = (namespace.to_owned(), name.to_owned());
        let mut last = &start;
        for _ in 0..=self.renames.len() {
            match self.renames.get(last) {
                Some(next) => last = next,
                None => return Service::of(last),
            }
        }
        Service::of(&start)
    }

    /// Known services decide, then known namespaces; a name with a single reading needs neither.
    fn resolve_upstream(&self, raw: &str) -> Service {
        if raw == DEFAULT_BACKEND || raw == UNATTRIBUTED {
            return Service::Unattributed;
        }
        let readings = readings(raw);
        let by_service = readings
            .iter()
            .filter(|(ns, name)| self.services.contains(&((*ns).to_owned(), (*name).to_owned())));
        let by_namespace = readings.iter().filter(|(ns, _)| self.namespaces.contains(*ns));
        let one = only(by_service).or_else(|| only(by_namespace)).or_else(|| only(readings.iter()));
        match one {
            Some((namespace, name)) => self.renamed(namespace, name),
            None => Service::Ambiguous(escape(raw, "/.")),
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

/// What Kubernetes allows in no name is written as `%2F`: a log may call a service anything, and no two services may be
/// shown alike.
fn escape(text: &str, reserved: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '%' && !reserved.contains(c);
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            escaped.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escaped.push_str(&format!("%{byte:02X}")));
        }
    }
    escaped
}

impl Service {
    /// Of (namespace, name).
    pub fn of((namespace, name): &(String, String)) -> Self {
        Self::Named { namespace: escape(namespace, "/."), name: escape(name, "/") }
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => Self::Named { namespace: namespace.into(), name: name.into() },
            None if text == UNATTRIBUTED => Self::Unattributed,
            None => Self::Ambiguous(text.to_owned()),
        }
    }

    /// Id of one of its SLOs: `namespace.name.sli`; namespaces hold no dots.
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
            Self::Unattributed => f.write_str(UNATTRIBUTED),
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
            ..Known::default()
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
    fn a_service_is_known_by_its_newest_name() {
        let name = |name: &str| ("shop".to_owned(), name.to_owned());
        let renames =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(old, new)| (name(old), name(new))).collect();
        let known =
            Known { renames: renames(&[("a", "b"), ("b", "c"), ("x", "y"), ("y", "x")]), ..Known::default() };
        let resolve = |raw: &str| known.resolve(&ServiceRef::Upstream(raw.to_owned())).to_string();
        assert_eq!(resolve("shop-a-80"), "shop/c");
        assert_eq!(resolve("shop-b-80"), "shop/c");
        assert_eq!(resolve("shop-c-80"), "shop/c");
        assert_eq!((resolve("shop-x-80"), resolve("shop-y-80")), ("shop/x".to_owned(), "shop/y".to_owned()));
        let (namespace, name) = name("a");
        assert_eq!(known.resolve(&ServiceRef::Named { namespace, name }).to_string(), "shop/c");
    }

    #[test]
    fn what_is_no_upstream_name_stays_raw() {
        for raw in ["", "-", "--", "web", "web-80", "-web-80", "shop-web-"] {
            check(raw, &[], &[], raw);
        }
        check("upstream-default-backend", &[], &[], "unattributed");
    }

    #[test]
    fn no_two_services_are_shown_alike_whatever_a_log_calls_them() {
        let named = |namespace: &str, name: &str| ServiceRef::Named {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let raw = |text: &str| ServiceRef::Upstream(text.to_owned());
        let refs = [
            named("shop", "web"),
            named("shop/web", "x"),
            named("shop", "web/x"),
            named("shop.web", "x"),
            named("shop", "web.x"),
            raw("shop/web"),
            raw("shop.web"),
            raw("shop%2Fweb"),
            raw("a b\n\u{fffd}"),
            ServiceRef::Unattributed,
        ];
        let services: Vec<Service> = refs.iter().map(|service| Known::default().resolve(service)).collect();
        let shown: BTreeSet<String> = services.iter().map(Service::to_string).collect();
        let ids: BTreeSet<String> =
            services.iter().map(|service| service.slo_id(Sli::Availability)).collect();
        assert_eq!((shown.len(), ids.len()), (refs.len(), refs.len()), "{shown:?} {ids:?}");
        services.iter().for_each(|service| assert_eq!(&Service::parse(&service.to_string()), service));
        assert_eq!(Known::default().resolve(&raw("unattributed")), Service::Unattributed);
    }
}
