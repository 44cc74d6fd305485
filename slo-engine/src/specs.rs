//! Which SLOs a service has: those of OpenSLO documents, else those of its annotations, else the defaults.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use slo::counts::Sli;
use slo::objective::SloSpec;

use crate::cluster::Cluster;
use crate::discovery::Service;

/// SLOs by service; a service that has no entry has the defaults.
#[derive(Clone, Debug, Default)]
pub struct Specs {
    exceptions: BTreeMap<(Service, Sli), SloSpec>,
    annotated: BTreeMap<(Service, Sli), SloSpec>,
}

impl Specs {
    /// With exceptions to the defaults; the last one of a service and SLI holds.
    pub fn new(exceptions: impl IntoIterator<Item = (Service, SloSpec)>) -> Self {
        Self { exceptions: by_sli(exceptions), annotated: BTreeMap::new() }
    }

    /// The same exceptions, and what the annotations of a cluster say.
    pub fn annotated(&self, cluster: &Cluster) -> Self {
        let specs = cluster
            .services
            .iter()
            .flat_map(|(name, found)| found.slos.iter().map(move |spec| (Service::of(name), spec.clone())));
        Self { exceptions: self.exceptions.clone(), annotated: by_sli(specs) }
    }

    /// The SLO of one SLI.
    pub fn spec(&self, service: &Service, sli: Sli) -> SloSpec {
        let id = (service.clone(), sli);
        let asked = self.exceptions.get(&id).or_else(|| self.annotated.get(&id));
        asked.cloned().unwrap_or_else(|| SloSpec::default_of(sli))
    }

    /// Exceptions of documents, by service.
    pub fn exceptions(&self) -> impl Iterator<Item = (&Service, &SloSpec)> {
        self.exceptions.iter().map(|((service, _), spec)| (service, spec))
    }

    /// Every zone that an SLO's month may be of; annotations name none.
    pub fn zones(&self) -> impl Iterator<Item = &TimeZone> {
        const UTC: &TimeZone = &TimeZone::UTC;
        std::iter::once(UTC).chain(self.exceptions.values().map(|spec| &spec.time_zone))
    }

    /// The latency threshold in microseconds.
    pub fn threshold_us(&self, service: &Service) -> u64 {
        self.spec(service, Sli::Latency).threshold_us.unwrap_or(500_000)
    }
}

fn by_sli(specs: impl IntoIterator<Item = (Service, SloSpec)>) -> BTreeMap<(Service, Sli), SloSpec> {
    specs.into_iter().map(|(service, spec)| ((service, spec.sli), spec)).collect()
}
