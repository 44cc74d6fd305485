//! The settings of the `sli` transform, proven.

use std::time::Duration;

use settings::{Problem, Table, Value};

use super::rules::Rules;

/// Settings of the transform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliConfig {
    /// What a request is, and when it was good.
    pub rules: Rules,
}

impl SliConfig {
    /// Reads `health_check_agents`, `health_check_paths`, `streaming_paths`, `client_closed_after_secs`,
    /// `threshold_ms` and `edges_ms`; what is not set keeps its default, a list that is set replaces its default.
    /// Mistakes go to the table's problems; `finish` is left to the caller.
    pub fn prove(table: &mut Table<'_>) -> Self {
        let default = Rules::default();
        let ten_seconds = Duration::from_micros(default.client_closed_after_us);
        let client_closed_after = table.duration_or("client_closed_after_secs", ten_seconds);
        let rules = Rules {
            health_check_agents: texts(table, "health_check_agents", default.health_check_agents),
            health_check_paths: paths(table, "health_check_paths", default.health_check_paths),
            streaming_paths: paths(table, "streaming_paths", default.streaming_paths),
            client_closed_after_us: u64::try_from(client_closed_after.as_micros()).unwrap_or(u64::MAX),
            threshold_us: microseconds(table.u64_or("threshold_ms", default.threshold_us / 1000)),
            edges_us: edges(table, default.edges_us),
        };
        if !rules.edges_us.contains(&rules.threshold_us) {
            let edges: Vec<_> = rules.edges_us.iter().map(|us| (us / 1000).to_string()).collect();
            let threshold = rules.threshold_us / 1000;
            let edges = edges.join(", ");
            table.problem(
                "threshold_ms",
                format!("{threshold} is not among the edges_ms; use one of {edges}, or add it"),
            );
        }
        Self { rules }
    }
}

/// A list that replaces the default, empty or not. Empty text would match every user agent.
fn texts(table: &mut Table<'_>, key: &str, default: Vec<String>) -> Vec<String> {
    if table.node(key).is_none() {
        return default;
    }
    let texts = table.strings(key);
    if texts.iter().any(String::is_empty) {
        table.problem(key, "expected texts, found an empty one; remove it");
    }
    texts
}

fn paths(table: &mut Table<'_>, key: &str, default: Vec<String>) -> Vec<String> {
    let paths = texts(table, key, default);
    for path in paths.iter().filter(|path| !path.is_empty() && !path.starts_with('/')) {
        table.problem(key, format!("{path:?} is no path; it must begin with /"));
    }
    paths
}

fn edges(table: &mut Table<'_>, default: Vec<u64>) -> Vec<u64> {
    let Some(node) = table.node("edges_ms") else { return default };
    let items = table.list("edges_ms");
    let mut edges = Vec::with_capacity(items.len());
    for item in items {
        match &item.value {
            Value::Int(ms) if *ms > 0 => edges.push(microseconds(ms.unsigned_abs())),
            _ => table.problems().push(Problem::at(item, "expected whole milliseconds of 1 or more")),
        }
    }
    if matches!(node.value, Value::List(_)) && (edges.is_empty() || !edges.is_sorted_by(|a, b| a < b)) {
        table.problem("edges_ms", "expected at least one edge, each greater than the one before");
    }
    edges
}

fn microseconds(ms: u64) -> u64 {
    ms.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use settings::{Problems, Syntax, Table};

    use super::{Rules, SliConfig};

    fn prove(text: &str) -> Result<SliConfig, String> {
        let node = settings::parse("sli.yaml", text, Syntax::Yaml, &|_| None).unwrap();
        let problems = Problems::default();
        let mut table = Table::new(&node, &problems);
        let config = SliConfig::prove(&mut table);
        table.finish();
        if problems.is_empty() { Ok(config) } else { Err(problems.to_string()) }
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(prove("{}"), Ok(SliConfig::default()));
    }

    #[test]
    fn the_settings_in_the_readme_are_the_defaults() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let settings = readme.split("type: sli\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(prove(settings), Ok(SliConfig::default()));
    }

    #[test]
    fn every_key_changes_its_rule() {
        let text = "health_check_agents: [probe]\nhealth_check_paths: []\nstreaming_paths: /events*\n\
                    client_closed_after_secs: 5\nthreshold_ms: 300\nedges_ms: [100, 300, 1000]\n";
        let rules = Rules {
            health_check_agents: vec!["probe".to_owned()],
            health_check_paths: vec![],
            streaming_paths: vec!["/events*".to_owned()],
            client_closed_after_us: 5_000_000,
            threshold_us: 300_000,
            edges_us: vec![100_000, 300_000, 1_000_000],
        };
        assert_eq!(prove(text), Ok(SliConfig { rules }));
    }

    #[track_caller]
    fn check_refused(text: &str, want: &str) {
        let problems = prove(text).unwrap_err();
        assert!(problems.contains(want), "{problems}");
    }

    #[test]
    fn mistakes_are_refused_with_their_place() {
        check_refused(
            "threshold_ms: 300",
            "sli.yaml:1: threshold_ms: 300 is not among the edges_ms; use one of 50, ",
        );
        check_refused("edges_ms: [500, 100]", "sli.yaml:1: edges_ms: expected at least one edge");
        check_refused("edges_ms: [500, 500]", "each greater than the one before");
        check_refused("edges_ms: []", "expected at least one edge");
        check_refused("edges_ms: [0, 500]", "edges_ms[0]: expected whole milliseconds of 1 or more");
        check_refused("edges_ms: 500", "expected a list");
        check_refused("streaming_paths: [events]", "\"events\" is no path; it must begin with /");
        check_refused("health_check_agents: ['']", "found an empty one");
        check_refused("treshold_ms: 500", "did you mean threshold_ms?");
    }
}
