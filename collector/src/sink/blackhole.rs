//! The `blackhole` sink: takes everything and keeps nothing.

use super::{SendError, Sink};
use crate::source::chunk::Chunk;

/// Takes everything.
#[derive(Debug, Default)]
pub struct BlackholeSink;

impl Sink for BlackholeSink {
    type Request = ();

    fn encode(&mut self, _: &Chunk, _: Option<i64>) {}

    async fn send(&mut self, (): &mut ()) -> Result<(), SendError> {
        Ok(())
    }
}
