//! Which SLOs a service has: the defaults, unless an OpenSLO document says otherwise.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use slo::counts::Sli;
use slo::objective::SloSpec;

use crate::discovery::Service;

/// SLOs by service; a service that has no entry has the defaults.
#[derive(Clone, Debug, Default)]
pub struct Specs {
    exceptions: BTreeMap<(Service, Sli), SloSpec>,
}

impl Specs {
    /// With exceptions to the defaults; the last one of a service and SLI holds.
    pub fn new(exceptions: impl IntoIterator<Item = (Service, SloSpec)>) -> Self {
        Self {
            exceptions: exceptions.into_iter().map(|(service, spec)| ((service, spec.sli), spec)).collect(),
        }
    }

    /// The SLO of one SLI.
    pub fn spec(&self, service: &Service, sli: Sli) -> SloSpec {
        self.exceptions.get(&(service.clone(), sli)).cloned().unwrap_or_else(|| SloSpec::default_of(sli))
    }

    /// Every zone that an SLO's month may be of.
    pub fn zones(&self) -> impl Iterator<Item = &TimeZone> {
        const UTC: &TimeZone = &TimeZone::UTC;
        std::iter::once(UTC).chain(self.exceptions.values().map(|spec| &spec.time_zone))
    }

    /// The latency threshold in microseconds.
    pub fn threshold_us(&self, service: &Service) -> u64 {
        self.spec(service, Sli::Latency).threshold_us.unwrap_or(500_000)
    }
}
