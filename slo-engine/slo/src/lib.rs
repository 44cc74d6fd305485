#![doc = include_str!("../README.md")]

pub mod counts;
pub mod sketch;
