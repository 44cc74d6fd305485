//! The tables that `up` prints for people.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};

use crate::overview::{Detail, IncidentView, Overview};

/// Every service's SLOs, then what would have paged, when, and whom.
pub fn render(overview: &Overview, details: &[Detail], incidents: &[IncidentView]) -> String {
    let mut out = format!("{}\n\n", services(details));
    if incidents.is_empty() {
        out.push_str("No alert would have fired.\n");
    } else {
        out.push_str(&format!("{}\n", alerts(incidents)));
    }
    let input = &overview.input;
    out.push_str(&format!(
        "\n{} lines: {} requests, {} not requests, {} late, {} dead-lettered; 30 days to {}\n",
        input.lines, input.requests, input.ignored, input.late, input.dead_lettered, overview.window.to
    ));
    out
}

fn services(details: &[Detail]) -> Table {
    let mut table = new(&[
        "SERVICE",
        "SLO",
        "OBJECTIVE",
        "REQUESTS",
        "SLI",
        "BUDGET LEFT",
        "BURN NOW",
        "COVERAGE",
        "STATE",
    ]);
    for detail in details {
        let slo = &detail.rolling;
        let objective = match detail.threshold_ms {
            Some(threshold) => format!("{} % < {threshold} ms", slo.objective),
            None => format!("{} %", slo.objective),
        };
        let burn = detail.burn.first().and_then(|burn| burn.long.clone());
        table.add_row([
            Cell::new(&detail.service),
            Cell::new(&slo.slo),
            Cell::new(objective),
            right(slo.total),
            right(slo.sli.as_deref().unwrap_or("-")),
            right(slo.budget_remaining.as_deref().unwrap_or("-")),
            right(burn.as_deref().unwrap_or("-")),
            right(&slo.coverage),
            Cell::new(&slo.state),
        ]);
    }
    table
}

fn alerts(incidents: &[IncidentView]) -> Table {
    let mut table = new(&["SEVERITY", "SERVICE", "SLO", "FIRED", "RESOLVED", "TOLD"]);
    for incident in incidents.iter().rev() {
        let told = incident.notified.iter().filter(|notice| notice.kind == "trigger");
        let told: Vec<String> =
            told.map(|notice| format!("{} by {} {}", notice.target, notice.channel, notice.at)).collect();
        table.add_row([
            Cell::new(&incident.alert.severity),
            Cell::new(&incident.alert.service),
            Cell::new(&incident.alert.slo),
            Cell::new(&incident.alert.fired_at),
            Cell::new(incident.alert.resolved_at.as_deref().unwrap_or("open")),
            Cell::new(told.join("\n")),
        ]);
    }
    table
}

fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

fn right(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}
