//! Bodies of requests: of a size, within a time, and in a coding that is known.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::refusal::Refusal;

/// Most bytes of all bodies that are held at once.
const HELD_BYTES: usize = 256 << 20;

/// A frame may ask for no larger window to be unpacked: 16 MiB, more than any level but the last asks for.
const ZSTD_WINDOW_LOG: u32 = 24;

/// What is unpacked at once.
const PIECE: usize = 256 << 10;

/// What a route takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    /// Most bytes of a body, unpacked.
    pub(super) bytes: usize,
    /// Whether it may come packed.
    pub(super) packed: bool,
}

/// Counts.
pub(super) const COUNTS: Takes = Takes { bytes: 64 << 20, packed: true };

/// What a person asks for.
pub(super) const SMALL: Takes = Takes { bytes: 64 << 10, packed: false };

/// Bodies that are held, over all requests.
#[derive(Debug, Default)]
pub(crate) struct Held(AtomicUsize);

/// A body that is held until it is dropped.
struct Body {
    bytes: Vec<u8>,
    /// How many bytes of [`Held`] are its own.
    claimed: usize,
    held: Arc<Held>,
}

impl Body {
    fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        if self.held.0.fetch_add(piece.len(), Ordering::Relaxed) + piece.len() > HELD_BYTES {
            self.held.0.fetch_sub(piece.len(), Ordering::Relaxed);
            return Err(Refusal::busy(
                "the engine takes as many counts as it can hold: send this again soon",
            ));
        }
        self.claimed += piece.len();
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.claimed, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packed {
    No,
    Gzip,
    Zstd,
}

/// Reads the body of a request as JSON. A large one is unpacked and read beside the runtime.
pub(super) async fn json<T>(
    request: Request,
    takes: Takes,
    (held, within): (Arc<Held>, Duration),
) -> Result<T, Refusal>
where
    T: DeserializeOwned + Send + 'static,
{
    check_type(request.headers())?;
    let packed = packed(request.headers(), takes)?;
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > takes.bytes) {
        return Err(too_large(takes));
    }
    let body = timeout(within, read(request, takes, held)).await.map_err(|_| {
        let within = within.as_secs();
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {within} s: send it faster, or fewer rows at once"),
        )
    })??;
    let work = move || parse(&unpack(body, packed, takes)?.bytes);
    match tokio::task::spawn_blocking(work).await {
        Ok(parsed) => parsed,
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn read(request: Request, takes: Takes, held: Arc<Held>) -> Result<Body, Refusal> {
    let mut body = Body { bytes: Vec::new(), claimed: 0, held };
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Refusal::bad(format!("the body broke off: {error}")))?;
        if body.bytes.len() + piece.len() > takes.bytes {
            return Err(too_large(takes));
        }
        body.push(&piece)?;
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::bad(format!("the body is not what is taken here: {error}")))
}

fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    let error = "the body must come with `Content-Type: application/json`";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}

fn packed(headers: &HeaderMap, takes: Takes) -> Result<Packed, Refusal> {
    let coding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    match coding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("identity") => Ok(Packed::No),
        Some("gzip" | "x-gzip") if takes.packed => Ok(Packed::Gzip),
        Some("zstd") if takes.packed => Ok(Packed::Zstd),
        Some(other) => {
            let allowed = if takes.packed { "gzip, zstd, or none" } else { "none" };
            let error = format!("a body in the coding {other:?} is not taken here; allowed: {allowed}");
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
        }
    }
}

/// The limit holds for what comes out: a few bytes can stand for gigabytes.
fn unpack(body: Body, packed: Packed, takes: Takes) -> Result<Body, Refusal> {
    let broken = |error: std::io::Error| Refusal::bad(format!("the body cannot be unpacked: {error}"));
    let mut decoder: Box<dyn Read + '_> = match packed {
        Packed::No => return Ok(body),
        Packed::Gzip => Box::new(MultiGzDecoder::new(body.bytes.as_slice())),
        Packed::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(body.bytes.as_slice()).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            Box::new(decoder)
        }
    };
    let mut plain = Body { bytes: Vec::new(), claimed: 0, held: body.held.clone() };
    let mut piece = vec![0; PIECE];
    loop {
        match decoder.read(&mut piece).map_err(broken)? {
            0 => break,
            count if plain.bytes.len() + count > takes.bytes => return Err(too_large(takes)),
            count => plain.push(&piece[..count])?,
        }
    }
    Ok(plain)
}

fn too_large(takes: Takes) -> Refusal {
    let limit = match takes.bytes >> 20 {
        0 => format!("{} KiB", takes.bytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    };
    let (unpacked, next) = match takes.packed {
        true => (" unpacked", ": send fewer rows at once"),
        false => ("", ""),
    };
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit}{unpacked}{next}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: Vec<u8>, packed: Packed) -> Result<Vec<u8>, StatusCode> {
        let held = Arc::new(Held::default());
        let body = Body { bytes, claimed: 0, held: held.clone() };
        let plain =
            unpack(body, packed, COUNTS).map(|body| body.bytes.clone()).map_err(|refusal| refusal.status);
        assert_eq!(held.0.load(Ordering::Relaxed), 0);
        plain
    }

    #[test]
    fn what_is_packed_comes_out_as_it_went_in() {
        let plain = b"{\"rows\": []}".repeat(50_000);
        assert_eq!(unpacked(gzip(&plain), Packed::Gzip).unwrap(), plain);
        assert_eq!(unpacked(zstd::encode_all(&plain[..], 3).unwrap(), Packed::Zstd).unwrap(), plain);
        assert_eq!(unpacked(plain.clone(), Packed::No).unwrap(), plain);
    }

    #[test]
    fn a_bomb_is_refused_by_what_comes_out_of_it() {
        let zeros = vec![0; COUNTS.bytes + 1];
        for (bytes, packed) in
            [(gzip(&zeros), Packed::Gzip), (zstd::encode_all(&zeros[..], 3).unwrap(), Packed::Zstd)]
        {
            assert!(bytes.len() < 1 << 20);
            assert_eq!(unpacked(bytes, packed), Err(StatusCode::PAYLOAD_TOO_LARGE));
        }
    }

    #[test]
    fn what_is_not_packed_as_it_says_is_refused() {
        for packed in [Packed::Gzip, Packed::Zstd] {
            assert_eq!(unpacked(b"plain".to_vec(), packed), Err(StatusCode::BAD_REQUEST));
        }
        let mut cut = gzip(&b"{}".repeat(1000));
        cut.truncate(cut.len() / 2);
        assert_eq!(unpacked(cut, Packed::Gzip), Err(StatusCode::BAD_REQUEST));
    }
}
