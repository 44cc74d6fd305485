//! The floor: the least that a program can do that reads, splits, parses and posts. It remembers nothing, retries
//! nothing, and checks no answer but for its end.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, ensure};

/// Lines of a request.
const BATCH: usize = 1000;

/// Reads a CRI log to its end and posts every line as a document.
pub(crate) fn ship(file: &Path, address: &str) -> anyhow::Result<()> {
    let mut lines = BufReader::with_capacity(256 << 10, File::open(file).context("cannot open the log")?);
    let mut connection = TcpStream::connect(address).context("cannot reach the receiver")?;
    connection.set_nodelay(true)?;
    let (mut line, mut body, mut count) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        let is_end = lines.read_until(b'\n', &mut line)? == 0;
        if !is_end {
            document(&line, &mut body)?;
            count += 1;
        }
        if count == BATCH || (is_end && count > 0) {
            post(&mut connection, &body)?;
            body.clear();
            count = 0;
        }
        if is_end {
            // Whoever measures ends it: so its memory can be read.
            std::thread::park();
        }
    }
}

/// A CRI line as an action and a document.
fn document(line: &[u8], body: &mut Vec<u8>) -> anyhow::Result<()> {
    let line = std::str::from_utf8(line)?.trim_end_matches('\n');
    let mut parts = line.splitn(4, ' ');
    let (time, stream) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let message = parts.nth(1).context("no CRI line")?;
    body.extend_from_slice(b"{\"create\":{\"_index\":\"bench\"}}\n{\"@timestamp\":\"");
    body.extend_from_slice(time.as_bytes());
    body.extend_from_slice(b"\",\"stream\":\"");
    body.extend_from_slice(stream.as_bytes());
    body.extend_from_slice(b"\",\"message\":");
    serde_json::to_writer(&mut *body, message)?;
    body.extend_from_slice(b"}\n");
    Ok(())
}

fn post(connection: &mut TcpStream, body: &[u8]) -> anyhow::Result<()> {
    write!(
        connection,
        "POST /_bulk HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )?;
    connection.write_all(body)?;
    let mut head = BufReader::new(&mut *connection);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        ensure!(head.read_line(&mut line)? > 0, "the receiver hung up");
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let read = std::io::copy(&mut head.take(length), &mut std::io::sink())?;
    ensure!(read == length, "the receiver hung up within its answer");
    Ok(())
}
