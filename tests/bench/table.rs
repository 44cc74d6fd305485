//! What was measured, as a table for people and as JSON for programs: medians, and ratios to the floor round by round.

use serde_json::json;

use crate::usage::Usage;

/// The figures of a contender.
struct Figures {
    lines_per_second: f64,
    cpu_micros_per_line: f64,
    peak_mib: f64,
    /// How many times the floor's.
    wall_ratio: f64,
    cpu_ratio: f64,
    peak_ratio: f64,
}

/// For people.
pub(crate) fn text(names: &[&str], usages: &[Vec<Usage>], lines: u64) -> String {
    let mut text = format!(
        "{:<12} {:>10} {:>12} {:>9}   {:>6} {:>6} {:>6}\n",
        "", "lines/s", "CPU µs/line", "peak MiB", "wall", "CPU", "memory"
    );
    for (name, figures) in names.iter().zip(figures(usages, lines)) {
        text.push_str(&format!(
            "{name:<12} {:>10.0} {:>12.2} {:>9.1}   {:>6.2} {:>6.2} {:>6.2}\n",
            figures.lines_per_second,
            figures.cpu_micros_per_line,
            figures.peak_mib,
            figures.wall_ratio,
            figures.cpu_ratio,
            figures.peak_ratio
        ));
    }
    let rounds = usages.first().map_or(0, Vec::len);
    text + &format!("{lines} lines; medians of {rounds} rounds; the last three columns are times the floor's")
}

/// For programs.
pub(crate) fn json(names: &[&str], usages: &[Vec<Usage>], lines: u64) -> anyhow::Result<String> {
    let contender = |(name, figures): (&&str, Figures)| {
        json!({
            "name": name,
            "lines_per_second": figures.lines_per_second,
            "cpu_micros_per_line": figures.cpu_micros_per_line,
            "peak_mib": figures.peak_mib,
            "ratio_to_floor": {
                "wall": figures.wall_ratio, "cpu": figures.cpu_ratio, "peak": figures.peak_ratio,
            },
        })
    };
    let contenders: Vec<_> = names.iter().zip(figures(usages, lines)).map(contender).collect();
    Ok(serde_json::to_string_pretty(&json!({ "lines": lines, "contenders": contenders }))?)
}

fn figures(usages: &[Vec<Usage>], lines: u64) -> Vec<Figures> {
    let floor = &usages[0];
    let figures = |runs: &Vec<Usage>| {
        let of = |what: fn(&Usage) -> f64| median(runs.iter().map(what).collect());
        let ratio = |what: fn(&Usage) -> f64| {
            median(
                runs.iter()
                    .zip(floor)
                    .map(|(run, floor)| what(run) / what(floor).max(f64::MIN_POSITIVE))
                    .collect(),
            )
        };
        let wall: fn(&Usage) -> f64 = |run| run.wall.as_secs_f64();
        let cpu: fn(&Usage) -> f64 = |run| run.cpu.as_secs_f64();
        Figures {
            lines_per_second: lines as f64 / of(wall),
            cpu_micros_per_line: of(cpu) * 1e6 / lines as f64,
            peak_mib: of(|run| run.peak_mib),
            wall_ratio: ratio(wall),
            cpu_ratio: ratio(cpu),
            peak_ratio: ratio(|run| run.peak_mib),
        }
    };
    usages.iter().map(figures).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
