//! The `slo-engine` binary: parse, start, wait, stop.
fn main() {}
