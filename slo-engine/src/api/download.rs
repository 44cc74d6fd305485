//! All dashboards as one file: written service by service, so that there is never more than one service's in memory.

use std::convert::Infallible;
use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;

use super::Api;
use super::answer::{Coding, Encoder, Kind, Wants, head};
use super::query::Query;
use super::refusal::{Problem, Refusal};
use crate::kibana::Boards;

/// What is sent at once.
const PIECE: usize = 64 << 10;

/// Pieces that wait for the client.
const WAITING: usize = 4;

/// Kibana's dashboards as saved objects, one a line: for whoever imports them by hand.
#[utoipa::path(get, path = "/v1/dashboards",
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 503, body = Problem)))]
pub(super) async fn dashboards(
    State(api): State<Api>,
    wants: Wants,
    query: Query,
) -> Result<Response, Refusal> {
    query.only(&[])?;
    let turn = api.downloads.turn().await?;
    let target = api.dashboards.clone();
    let boards = api.heavy(move |engine| async move { Ok(target.boards(&engine)) }).await?;
    let mut head = head(Kind::Ndjson, &boards.tag(), wants.coding);
    if wants.has(&boards.tag()) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let name = HeaderValue::from_static("attachment; filename=\"headroom.ndjson\"");
    head.insert(header::CONTENT_DISPOSITION, name);
    let (sender, mut receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        // It fails when the client has gone away, and then nobody wants to know.
        let _ = write(&boards, wants.coding, sender);
    });
    let pieces = poll_fn(move |cx| receiver.poll_recv(cx).map(|piece| piece.map(Ok::<Bytes, Infallible>)));
    Ok((head, Body::from_stream(pieces)).into_response())
}

fn write(boards: &Boards, coding: Option<Coding>, sender: mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut encoder = Encoder::new(Pipe { waiting: Vec::with_capacity(PIECE), sender }, coding)?;
    for object in boards.objects() {
        encoder.write_all(object.line().as_bytes())?;
        encoder.write_all(b"\n")?;
    }
    encoder.finish()?.send()
}

/// Hands pieces to the answer, as fast as the client takes them.
struct Pipe {
    waiting: Vec<u8>,
    sender: mpsc::Sender<Bytes>,
}

impl Pipe {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE));
        self.sender.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
