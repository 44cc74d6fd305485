//! The oracle: it writes log lines that are a function of their place, and says what became of each of them.
//!
//! ```text
//! Run ─► Producer ─► files, rotated ─► (what is tested) ─► found::in_search, in_archive, in_dead_letters ─► judge ─► Verdict
//! ```

pub mod found;
mod judge;
mod line;
mod producer;

pub use found::Found;
pub use judge::{Verdict, judge};
pub use line::{Requests, Run};
pub use producer::Producer;
