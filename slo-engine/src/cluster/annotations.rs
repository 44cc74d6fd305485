//! What the annotations of a Service ask for; whatever is wrong with one is told with its object, and the default holds.

use std::fmt::Display;

use kubernetes::{Labels, Namespace, Service};
use slo::counts::{DEFAULT_EDGES_US, Sli};
use slo::objective::{Objective, SloSpec};
use slo::ratio::Ratio;

use super::Name;

/// What all of ours begin with.
const PREFIX: &str = "headroom.dev/";

/// Those that a Service may have.
const ALLOWED: [&str; 7] = ["availability", "exclude", "latency", "owner", "renamed-from", "runbook", "team"];

/// What the annotations of a Service say.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) team: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) runbook: Option<String>,
    pub(super) slos: Vec<SloSpec>,
    pub(super) renamed_from: Option<Name>,
    /// It asks for an SLO, be it with a value that is wrong.
    pub(super) wants_slos: bool,
    pub(super) problems: Vec<String>,
}

/// Reads the annotations of a Service; its namespace says team and owner where it does not.
pub(super) fn read(service: &Service, namespace: Option<&Namespace>) -> Asked {
    let mut asked = Asked::default();
    let who = |key: &str| {
        let of_namespace = namespace.and_then(|it| of(&it.annotations, &it.labels, key));
        of(&service.annotations, &service.labels, key).or(of_namespace)
    };
    asked.team = who("team");
    asked.owner = who("owner");
    asked.known_keys(service);
    asked.runbook = asked.take(service, "runbook", address);
    let availability = asked.take(service, "availability", availability);
    let latency = asked.take(service, "latency", latency);
    asked.slos = availability.into_iter().chain(latency).collect();
    let (own, name) = (&service.namespace, &service.name);
    asked.renamed_from = asked.take(service, "renamed-from", |text| renamed_from(own, name, text));
    asked.take(service, "exclude", |text| match text {
        "true" | "false" => Ok(()),
        _ => Err(format!("{text:?} is neither \"true\" nor \"false\"; it is not excluded")),
    });
    asked
}

/// A problem with an annotation of a Service.
pub(super) fn problem((namespace, name): (&str, &str), key: &str, message: impl Display) -> String {
    format!("Service {namespace}/{name}, annotation {PREFIX}{key}: {message}")
}

fn of(annotations: &Labels, labels: &Labels, key: &str) -> Option<String> {
    text(annotations, key)
        .or_else(|| labels.get(key).map(|text| text.trim()).filter(|text| !text.is_empty()))
        .map(str::to_owned)
}

fn text<'a>(annotations: &'a Labels, key: &str) -> Option<&'a str> {
    annotations.get(&format!("{PREFIX}{key}")).map(|text| text.trim()).filter(|text| !text.is_empty())
}

impl Asked {
    fn take<T>(
        &mut self,
        service: &Service,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text(&service.annotations, key)?;
        self.wants_slos |= matches!(key, "availability" | "latency");
        let read = read(text);
        read.map_err(|why| self.problems.push(problem((&service.namespace, &service.name), key, why))).ok()
    }

    fn known_keys(&mut self, service: &Service) {
        let ours = service.annotations.keys().filter_map(|key| key.strip_prefix(PREFIX));
        for key in ours.filter(|key| !ALLOWED.contains(key)) {
            let message = format!("there is no such annotation; allowed: {}", ALLOWED.join(", "));
            self.problems.push(problem((&service.namespace, &service.name), key, message));
        }
    }
}

fn address(text: &str) -> Result<String, String> {
    let is_address = ["https://", "http://"].iter().any(|scheme| {
        text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
    });
    if is_address { Ok(text.to_owned()) } else { Err(format!("{text:?} is no address; write https://…")) }
}

/// `99.95`, or `99.95%`.
fn availability(text: &str) -> Result<SloSpec, String> {
    let default = SloSpec::default_of(Sli::Availability);
    let objective = objective(text.strip_suffix('%').unwrap_or(text), &default)?;
    Ok(SloSpec { objective, ..default })
}

/// `95% < 500ms`.
fn latency(text: &str) -> Result<SloSpec, String> {
    let default = SloSpec::default_of(Sli::Latency);
    let parts = text.split_once('<').and_then(|(share, time)| Some((share.trim().strip_suffix('%')?, time)));
    let Some((share, time)) = parts else {
        return Err(format!("{text:?} is no latency objective, like \"95% < 500ms\"; the default holds"));
    };
    let objective = objective(share, &default)?;
    let threshold_us = microseconds(time.trim()).filter(|us| DEFAULT_EDGES_US.contains(us));
    let Some(threshold_us) = threshold_us else {
        let allowed: Vec<String> = DEFAULT_EDGES_US.iter().map(|us| format!("{}ms", us / 1000)).collect();
        return Err(format!(
            "{:?} is not a latency that is counted; allowed: {}; the default holds",
            time.trim(),
            allowed.join(", ")
        ));
    };
    Ok(SloSpec { objective, threshold_us: Some(threshold_us), ..default })
}

fn objective(percent: &str, default: &SloSpec) -> Result<Objective, String> {
    let holds = default.objective;
    Objective::parse(percent.trim()).map_err(|error| format!("{error}; the default, {holds}, holds"))
}

/// `500ms`, `0.5s`, `1 s`.
fn microseconds(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1000),
        None => (text.strip_suffix('s')?, 1_000_000),
    };
    let us = Ratio::parse_decimal(number.trim()).ok()? * Ratio::from(unit);
    (us.den() == 1).then(|| u64::try_from(us.num()).ok()).flatten()
}

/// A name in the namespace of the service, or `namespace/name`.
fn renamed_from(namespace: &str, name: &str, text: &str) -> Result<Name, String> {
    let old = text.split_once('/').unwrap_or((namespace, text));
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !is_name(old.0) || !is_name(old.1) {
        return Err(format!("{text:?} is not the name of a Service, nor namespace/name"));
    }
    if old == (namespace, name) {
        return Err("this is how it is called now".to_owned());
    }
    Ok((old.0.to_owned(), old.1.to_owned()))
}
