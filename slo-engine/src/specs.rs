//! Which SLOs a service has: those of OpenSLO documents, else those of its annotations, else the defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use slo::counts::Sli;
use slo::episode::Rules;
use slo::objective::SloSpec;

use crate::cluster::Cluster;
use crate::discovery::Service;

/// SLOs by service, each with the rules that it is judged by.
type BySli = BTreeMap<Service, BTreeMap<Sli, Arc<Rules>>>;

/// SLOs by service; a service that has no entry has the defaults.
#[derive(Clone, Debug)]
pub struct Specs {
    exceptions: BySli,
    annotated: BySli,
    defaults: BTreeMap<Sli, Arc<Rules>>,
}

impl Default for Specs {
    fn default() -> Self {
        let default_of = |sli| (sli, Arc::new(Rules::default_of(sli)));
        let defaults = Sli::ALL.into_iter().map(default_of).collect();
        Self { exceptions: BySli::new(), annotated: BySli::new(), defaults }
    }
}

impl Specs {
    /// With exceptions to the defaults; the last one of a service and SLI holds.
    pub fn new(exceptions: impl IntoIterator<Item = (Service, SloSpec)>) -> Self {
        Self { exceptions: by_sli(exceptions), ..Self::default() }
    }

    /// The same exceptions, and what the annotations of a cluster say.
    pub fn annotated(&self, cluster: &Cluster) -> Self {
        let specs = cluster
            .services
            .iter()
            .flat_map(|(name, found)| found.slos.iter().map(move |spec| (Service::of(name), spec.clone())));
        Self { annotated: by_sli(specs), ..self.clone() }
    }

    /// How one SLI of a service is judged.
    pub fn rules(&self, service: &Service, sli: Sli) -> &Arc<Rules> {
        let asked = [&self.exceptions, &self.annotated].into_iter();
        let asked = asked.filter_map(|specs| specs.get(service)?.get(&sli)).next();
        asked.unwrap_or(&self.defaults[&sli])
    }

    /// The SLO of one SLI.
    pub fn spec(&self, service: &Service, sli: Sli) -> SloSpec {
        self.rules(service, sli).spec.clone()
    }

    /// Exceptions of documents, by service.
    pub fn exceptions(&self) -> impl Iterator<Item = (&Service, &SloSpec)> {
        let all = self.exceptions.iter();
        all.flat_map(|(service, by_sli)| by_sli.values().map(move |rules| (service, &rules.spec)))
    }

    /// Every zone that an SLO's month may be of; annotations name none.
    pub fn zones(&self) -> impl Iterator<Item = &TimeZone> {
        const UTC: &TimeZone = &TimeZone::UTC;
        std::iter::once(UTC).chain(self.exceptions().map(|(_, spec)| &spec.time_zone))
    }

    /// Days of the longest window in force.
    pub fn longest_window_days(&self) -> u32 {
        let asked = [&self.exceptions, &self.annotated].into_iter().flat_map(BTreeMap::values);
        asked.flat_map(BTreeMap::values).map(|rules| rules.spec.window_days()).max().unwrap_or(30).max(30)
    }

    /// The latency threshold in microseconds.
    pub fn threshold_us(&self, service: &Service) -> u64 {
        self.rules(service, Sli::Latency).spec.threshold_us.unwrap_or(500_000)
    }
}

fn by_sli(specs: impl IntoIterator<Item = (Service, SloSpec)>) -> BySli {
    let mut by_sli = BySli::new();
    for (service, spec) in specs {
        by_sli.entry(service).or_default().insert(spec.sli, Arc::new(Rules::of(spec)));
    }
    by_sli
}
