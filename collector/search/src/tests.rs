//! Tests against what servers really answered, and against a double of a server.

mod answers;
mod configuration;
mod double;
