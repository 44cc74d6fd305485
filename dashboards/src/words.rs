//! What the numbers mean, in the words of the dashboards.

use slo::counts::Sli;
use slo::objective::{Method, SloSpec};
use slo::policy::{BurnPolicy, Severity, policies_for};

use crate::lens::Threshold;
use crate::service::ServiceDashboard;

/// What stands on the overview.
pub(crate) const OVERVIEW: &str = "\
**Budget left** is the share of the failures that an SLO allows over its window and that did not happen yet: \
100 % is untouched, 0 % is used up, below it is overspent. \
**Burn rate** is how fast it goes: 1 uses it up in exactly one window. \
**State**: `burning` an alert is firing, `exhausted` nothing is left, `idle` there was no request, `no_data` nobody knows. \
**Coverage** is the share of the minutes that was read: what was not read is unknown, never good.

Rows with the least budget stand first. Times are those of the requests; the newest minute may still grow.";

/// Availability or latency, at the beginning of a title.
pub(crate) fn title(sli: Sli) -> &'static str {
    match sli {
        Sli::Availability => "Availability",
        Sli::Latency => "Latency",
    }
}

/// What stands on a service's dashboard.
pub(crate) fn service(service: &ServiceDashboard) -> String {
    let mut text = format!("### {}\n\n", escaped(service.title()));
    for slo in service.sorted_slos() {
        text.push_str(&format!("- **{}**: {}\n", title(slo.sli), promise(slo)));
        text.push_str(&format!("- {} alerts at a burn rate {}\n", title(slo.sli), alerts(slo)));
    }
    text.push_str(
        "- **Budget left**: the share of the allowed failures that did not happen yet; below 0 it is overspent\n\
         - **Burn rate**: how fast it goes; 1 uses it up in exactly one window\n\
         - **Coverage**: the share of the minutes that was read; what was not read is unknown, never good\n",
    );
    if service.workload.is_none() {
        text.push_str("- Log lines are not shown: the name of the service has several readings\n");
    }
    text
}

fn promise(slo: &SloSpec) -> String {
    let percent = slo.objective.objective_percent();
    let good = match (slo.sli, slo.threshold_us) {
        (Sli::Availability, _) => "answered without a server error".to_owned(),
        (Sli::Latency, threshold) => {
            format!("answered in under {} ms", millis(threshold.unwrap_or_default()))
        }
    };
    let promise = match slo.method {
        Method::Occurrences => format!("{percent} % of requests are {good}"),
        Method::Timeslices(share) => {
            let share = (share * slo::ratio::Ratio::from(100)).to_decimal(3);
            format!("{percent} % of minutes are good: those in which {share} % of requests are {good}")
        }
    };
    format!("{promise}, over {} days", slo.window_days())
}

/// The threshold as it stands in labels: `500`, `2.5`.
pub(crate) fn millis(threshold_us: u64) -> String {
    slo::ratio::Ratio::new(i128::from(threshold_us), 1000).to_decimal(3)
}

fn alerts(slo: &SloSpec) -> String {
    let policies = policies_for(&slo.objective, slo.window_days());
    let each = policies.iter().map(|policy| over(policy, slo));
    each.collect::<Vec<_>>().join(", ")
}

/// "over 14.4 in the last 1 h and 5 min: page".
fn over(policy: &BurnPolicy, slo: &SloSpec) -> String {
    let factor = policy.factor(&slo.objective).to_decimal(2);
    let severity = match policy.severity {
        Severity::Page => "page",
        Severity::Ticket => "ticket",
    };
    format!("over {factor} in the last {} and {}: {severity}", span(policy.long), span(policy.short))
}

/// The lines across a chart of burn rates.
pub(crate) fn thresholds(slo: &SloSpec) -> Vec<Threshold> {
    let policies = policies_for(&slo.objective, slo.window_days());
    let lines = policies.iter().map(|policy| Threshold {
        id: policy.id(),
        label: over(policy, slo),
        value: policy.factor(&slo.objective).to_decimal(2),
        is_page: policy.severity == Severity::Page,
    });
    lines.collect()
}

fn span(minutes: u32) -> String {
    match minutes {
        days if days % 1440 == 0 => format!("{} d", days / 1440),
        hours if hours % 60 == 0 => format!("{} h", hours / 60),
        minutes => format!("{minutes} min"),
    }
}

/// Text that Markdown shows as it is: a log may call a service anything.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && c != '/' {
            escaped.push('\\');
        }
        escaped.push(if c.is_control() { ' ' } else { c });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_slos_are_said_in_words() {
        let [availability, latency] = SloSpec::defaults();
        assert_eq!(
            promise(&availability),
            "99.9 % of requests are answered without a server error, over 30 days"
        );
        assert_eq!(promise(&latency), "95 % of requests are answered in under 500 ms, over 30 days");
        assert_eq!(
            alerts(&availability),
            "over 14.4 in the last 1 h and 5 min: page, over 6 in the last 6 h and 30 min: page, \
             over 3 in the last 1 d and 2 h: ticket, over 1 in the last 3 d and 6 h: ticket"
        );
        assert!(
            alerts(&latency).starts_with("over 6.66 in the last 30 min and 5 min: page"),
            "{}",
            alerts(&latency)
        );
    }

    #[test]
    fn a_name_cannot_become_markup() {
        assert_eq!(escaped("shop/web-1"), "shop/web\\-1");
        assert_eq!(escaped("[x](http://y)\n# z"), "\\[x\\]\\(http\\:/\\/y\\) \\# z".replace("/\\/", "//"));
    }
}
