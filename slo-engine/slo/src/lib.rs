#![doc = include_str!("../README.md")]

pub mod budget;
pub mod burn;
pub mod cells;
pub mod counts;
pub mod episode;
pub mod leb128;
pub mod ledger;
pub mod low_traffic;
pub mod objective;
pub mod openslo;
pub mod policy;
pub mod ratio;
pub mod series;
pub mod silence;
pub mod sketch;
pub mod window;
