#![doc = include_str!("../README.md")]

mod logs;
mod readiness;
mod server;
mod stop;
#[cfg(test)]
mod tests;
pub mod traces;

pub use logs::{Format, InitError, init};
pub use readiness::Readiness;
pub use server::{register, router};
pub use stop::{Stop, Stopper, signals, stopper};
