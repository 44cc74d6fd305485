//! Which traces are told: decided by the trace's id, so that all hops of all processes decide alike.

use super::ids::Trace;

/// A share of all traces of lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampling {
    ratio: f64,
}

impl Sampling {
    /// What the environment says; nothing where traces are off.
    pub(super) fn of(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let places = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let disabled = env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || env("OTEL_TRACES_EXPORTER").as_deref() == Some("none");
        if disabled || !places.iter().any(|name| env(name).is_some()) {
            return Ok(None);
        }
        let sampler = env("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "traceidratio".to_owned());
        let ratio = match sampler.trim_start_matches("parentbased_") {
            "always_on" => 1.0,
            "always_off" => return Ok(None),
            "traceidratio" => ratio(env("OTEL_TRACES_SAMPLER_ARG"))?,
            _ => {
                return Err(format!(
                    "OTEL_TRACES_SAMPLER={sampler:?}: allowed are always_on, always_off and traceidratio, each also with \
                     parentbased_ before it"
                ));
            }
        };
        Ok(Some(Self { ratio }))
    }

    /// Whether this trace is told.
    pub(super) fn takes(self, trace: Trace) -> bool {
        // The lower half as a share of all that it could be.
        let share = (trace.id as u64) as f64 / u64::MAX as f64;
        trace.precious || share < self.ratio || self.ratio >= 1.0
    }
}

fn ratio(text: Option<String>) -> Result<f64, String> {
    let Some(text) = text else { return Ok(1.0) };
    let ratio = text.trim().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("OTEL_TRACES_SAMPLER_ARG={text:?} is no number from 0 to 1"))
}
