//! Whether something is asked on a connection that is not answered yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Bytes;

/// Requests of a connection that are not answered yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Underway(Arc<()>);

impl Underway {
    /// One more, until what is given back is dropped.
    pub(super) fn begin(&self) -> Self {
        self.clone()
    }

    /// Everything is answered.
    pub(super) fn is_none(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A body that counts as underway until it has gone.
#[derive(Debug)]
pub(super) struct Guarded {
    body: Body,
    _held: Underway,
}

impl Guarded {
    pub(super) fn new(body: Body, held: Underway) -> Self {
        Self { body, _held: held }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
