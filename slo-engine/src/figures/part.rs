//! A part of the figures: one service, one SLO, a page of them. What nobody asked for is not worked out.

use slo::counts::{Origin, Sli};

use super::{Figures, SLIS, latency};
use crate::cluster::Found;
use crate::counts::Source;
use crate::discovery::Service;
use crate::overview::{Detail, ServiceView, SloView};

/// Which services and SLOs are asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Text in lower case that the service's name holds.
    pub text: String,
    /// Namespace of the service.
    pub namespace: Option<String>,
    /// State of an SLO.
    pub state: Option<&'static str>,
}

/// A service with the figures of its SLOs, without charts: what a list of many is made of.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The service.
    pub service: &'a Service,
    /// What the cluster says of it.
    pub found: Option<&'a Found>,
    /// Its SLOs: availability, then latency.
    pub slos: [SloView; 2],
}

impl Filter {
    /// Whether a service is asked for, whatever the state of its SLOs.
    pub fn takes(&self, service: &Service) -> bool {
        let is_there = |wanted: &str| match service {
            Service::Named { namespace, .. } => namespace == wanted,
            Service::Ambiguous(_) | Service::Unattributed => false,
        };
        self.namespace.as_deref().is_none_or(is_there)
            && (self.text.is_empty() || service.to_string().to_lowercase().contains(&self.text))
    }
}

impl<'a> Figures<'a> {
    /// Every service whose name is asked for, by name.
    pub fn summaries(&self, filter: &Filter) -> Vec<Summary<'a>> {
        let rolling = self.rolling();
        let asked = self.counts.services().filter(|(service, ..)| filter.takes(service));
        asked
            .map(|(service, _, source)| Summary {
                service,
                found: self.counts.cluster().get(service),
                slos: SLIS.map(|sli| self.slo(service, source, sli, rolling)),
            })
            .collect()
    }

    /// The first SLOs by id, behind `after` and at most `limit`, with their charts; and whether there are more.
    pub fn details_after(&self, after: Option<&str>, filter: &Filter, limit: usize) -> (Vec<Detail>, bool) {
        let asked = self.counts.services().filter(|(service, ..)| filter.takes(service));
        let mut asked: Vec<(String, Sli, (&Service, Origin, &Source))> = asked
            .flat_map(|found| SLIS.map(|sli| (found.0.slo_id(sli), sli, found)))
            .filter(|(id, ..)| after.is_none_or(|after| id.as_str() > after))
            .collect();
        asked.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        let is_asked = |(_, sli, (service, _, source)): &(String, Sli, (&Service, Origin, &Source))| {
            filter.state.is_none_or(|state| self.slo(service, source, *sli, self.rolling()).state == state)
        };
        let mut asked = asked.into_iter().filter(is_asked);
        let details = asked
            .by_ref()
            .take(limit)
            .map(|(_, sli, (service, origin, source))| self.detail(service, origin, source, sli))
            .collect();
        (details, asked.next().is_some())
    }

    /// The SLO of this id, with its charts.
    pub fn detail_of(&self, id: &str) -> Option<Detail> {
        let mut services = self.counts.services();
        services.find_map(|(service, origin, source)| {
            let sli = SLIS.into_iter().find(|sli| service.slo_id(*sli) == id)?;
            Some(self.detail(service, origin, source, sli))
        })
    }

    /// One service, and its SLOs with their charts.
    pub fn one(&self, wanted: &Service) -> Option<(ServiceView, Vec<Detail>)> {
        let (service, origin, source) = self.counts.services().find(|(service, ..)| *service == wanted)?;
        let details = SLIS.map(|sli| self.detail(service, origin, source, sli));
        Some((self.service_view(service, source), Vec::from(details)))
    }

    pub(super) fn service_view(&self, service: &Service, source: &Source) -> ServiceView {
        ServiceView {
            service: service.to_string(),
            slos: SLIS.iter().map(|&sli| self.slo(service, source, sli, self.rolling())).collect(),
            latency_ms: latency(&source.sketch(self.rolling().from, self.now)),
            cluster: self.counts.cluster().get(service).map(super::cluster_view),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(namespace: &str, name: &str) -> Service {
        Service::Named { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_filter_looks_at_the_name_and_at_the_namespace() {
        let filter = |text: &str, namespace: Option<&str>| Filter {
            text: text.to_owned(),
            namespace: namespace.map(str::to_owned),
            state: None,
        };
        assert!(
            filter("", None).takes(&named("shop", "web")) && filter("p/w", None).takes(&named("shop", "Web"))
        );
        assert!(!filter("cart", None).takes(&named("shop", "web")));
        assert!(filter("", Some("shop")).takes(&named("shop", "web")));
        assert!(!filter("", Some("sho")).takes(&named("shop", "web")));
        assert!(!filter("", Some("shop")).takes(&Service::Unattributed));
        assert!(filter("unattr", None).takes(&Service::Unattributed));
    }
}
