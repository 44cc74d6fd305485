//! Charts: the budget that is left over time, and where and when it hurt.

use maud::{Markup, html};

use crate::format::{clock, clock_after, thousands};
use crate::overview::{PointView, SliceView};

/// Lowest share of the budget that a chart shows, so that one deep fall does not flatten the rest.
const DEEPEST: f64 = -4.0;

/// Budget left over time: an area that falls from 100 %; below the line it is overspent.
pub(super) fn burn_down(points: &[PointView]) -> Markup {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return html! {} };
    let lowest = points.iter().map(|point| point.remaining).fold(0.0, f64::min);
    let floor = lowest.max(DEEPEST);
    let step = 100.0 / (points.len().max(2) - 1) as f64;
    let height = |remaining: f64| 40.0 * (1.0 - remaining.max(floor)) / (1.0 - floor);
    let line: String = points
        .iter()
        .enumerate()
        .map(|(i, point)| {
            format!("{}{:.2},{:.2}", if i == 0 { "M" } else { "L" }, i as f64 * step, height(point.remaining))
        })
        .collect();
    let zero = height(0.0);
    html! {
        figure {
            svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="budget left over time" {
                path.area d={ (line) "L100," (format!("{zero:.2}")) "L0," (format!("{zero:.2}")) "Z" } {}
                path.zero d={ "M0," (format!("{zero:.2}")) "H100" } {}
                path.line d=(line) {}
            }
            figcaption {
                span { (clock(&first.at)) }
                span { "budget left, from 100 %" @if floor < 0.0 { " to " @if lowest < floor { "below " } (format!("−{:.0} %", -floor * 100.0)) } }
                span { (clock_after(&first.at, &last.at)) }
            }
        }
    }
}

/// One cell a slice of time, darker where a larger share was bad.
pub(super) fn hurt(slices: &[SliceView]) -> Markup {
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else { return html! {} };
    html! {
        figure {
            div.strip role="img" aria-label="share of bad requests over time" {
                @for slice in slices { i class=(pain(slice)) title=(told(slice)) {} }
            }
            figcaption {
                span { (clock(&first.from)) }
                span { "where it hurt, " (first.minutes) " min a cell" }
                span { (clock_after(&first.from, &last.from)) }
            }
        }
    }
}

/// Five steps: idle, clean, under 1 %, under 10 %, under a half, more.
fn pain(slice: &SliceView) -> &'static str {
    match (slice.bad, slice.total) {
        (_, 0) => "idle",
        (0, _) => "p0",
        (bad, total) if bad * 100 < total => "p1",
        (bad, total) if bad * 10 < total => "p2",
        (bad, total) if bad * 2 < total => "p3",
        _ => "p4",
    }
}

fn told(slice: &SliceView) -> String {
    format!("{}: {} bad of {}", clock(&slice.from), thousands(slice.bad), thousands(slice.total))
}
