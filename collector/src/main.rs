//! The `collector` binary: parse, start, wait, stop.
fn main() {}
