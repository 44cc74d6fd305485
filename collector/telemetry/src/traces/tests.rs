//! Ids that follow from what travels, whatever the batches, and the settings of the environment.

use std::collections::BTreeSet;

use super::ids::{Trace, pieces};
use super::sampling::Sampling;

const KIB: u64 = 1 << 10;

/// (trace, start, end) of each piece.
fn cut(start: u64, end: u64) -> Vec<(u128, u64, u64)> {
    pieces("s", start..end).map(|piece| (piece.trace.id, piece.start, piece.end)).collect()
}

#[test]
fn a_byte_is_in_one_trace_however_its_range_was_cut() {
    let whole = cut(0, 1000 * KIB);
    assert_eq!(whole.len(), 4);
    assert_eq!((whole[1].1, whole[1].2, whole[3].2), (256 * KIB, 512 * KIB, 1000 * KIB));
    for (start, end) in [(0, 1), (255 * KIB, 257 * KIB), (300 * KIB, 900 * KIB), (512 * KIB, 768 * KIB)] {
        for (trace, from, to) in cut(start, end) {
            let (home, ..) = whole.iter().find(|(_, start, end)| *start <= from && to <= *end).unwrap();
            assert_eq!(trace, *home, "{start}..{end}");
        }
    }
    assert_eq!(cut(7, 7), []);
    let all: BTreeSet<u128> = whole.iter().map(|(trace, ..)| *trace).collect();
    assert_eq!(all.len(), 4);
    assert_ne!(pieces("t", 0..1).next().unwrap().trace.id, whole[0].0);
}

#[test]
fn the_ids_of_an_incident_are_those_of_every_process() {
    let trace = Trace::of_incident("9a41");
    assert_eq!(trace, Trace::of_incident("9a41"));
    assert_ne!(trace, Trace::of_incident("9a42"));
    assert_eq!(trace.span(&["notify", "a"]), trace.span(&["notify", "a"]));
    assert_ne!(trace.span(&["notify", "a"]), trace.span(&["notifya"]));
}

#[track_caller]
fn sampling(variables: &[(&str, &str)]) -> Result<Option<Sampling>, String> {
    let value = |name: &str| variables.iter().find(|(known, _)| *known == name);
    Sampling::of(&|name| value(name).map(|(_, value)| (*value).to_owned()))
}

/// How many of 1000 traces of lines are told.
fn told(variables: &[(&str, &str)]) -> usize {
    let on = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")], variables].concat();
    let Some(sampling) = sampling(&on).unwrap() else { return 0 };
    assert!(sampling.takes(Trace::of_incident("always")));
    let traces = (0..1000).flat_map(|number| pieces("s", number * 256 * KIB..number * 256 * KIB + 1));
    traces.filter(|piece| sampling.takes(piece.trace)).count()
}

#[test]
fn traces_are_off_unless_an_endpoint_is_named_and_sampled_by_their_id() {
    assert_eq!(sampling(&[]), Ok(None));
    assert_eq!(sampling(&[("OTEL_TRACES_SAMPLER", "always_on")]), Ok(None));
    assert_eq!(told(&[]), 1000);
    assert_eq!(told(&[("OTEL_TRACES_SAMPLER", "parentbased_always_on")]), 1000);
    assert_eq!(told(&[("OTEL_SDK_DISABLED", "true")]), 0);
    assert_eq!(told(&[("OTEL_TRACES_EXPORTER", "none")]), 0);
    assert_eq!(told(&[("OTEL_TRACES_SAMPLER", "always_off")]), 0);
    let tenth = told(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.1")]);
    assert!((60..140).contains(&tenth), "{tenth}");
    assert_eq!(told(&[("OTEL_TRACES_SAMPLER_ARG", "0.1")]), tenth);
    let on = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x");
    let error = sampling(&[on, ("OTEL_TRACES_SAMPLER_ARG", "much")]).unwrap_err();
    assert_eq!(error, "OTEL_TRACES_SAMPLER_ARG=\"much\" is no number from 0 to 1");
    assert!(sampling(&[on, ("OTEL_TRACES_SAMPLER", "dice")]).unwrap_err().contains("traceidratio"));
}
