//! Real servers as values: fetched by a script, on free ports of loopback, stopped and started again, gone on drop.

mod alertmanager;
mod forward;
mod inbox;
mod process;
mod s3;
mod search;

pub use alertmanager::Alertmanager;
pub use forward::Forward;
pub use inbox::{Answer, Inbox, Received};
pub use s3::S3;
pub use search::{Flavor, Search};

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::root;
use crate::seeded::Random;

/// Longer than any server takes to answer, on two cores that others use too.
const STARTS_WITHIN: Duration = Duration::from_secs(180);

/// A script of this folder.
fn script(name: &str) -> PathBuf {
    root().join("tests/harness/servers").join(name)
}

/// Where the servers of this process keep logs and data. What a test left behind that is gone is removed first: it stays
/// until here, for whoever looks into a failure.
///
/// # Errors
/// It cannot be made.
fn folder() -> anyhow::Result<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let name = "headroom-tests-";
    let all = std::env::temp_dir();
    let folder = FOLDER.get_or_init(|| {
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            let of = entry.file_name().to_str().and_then(|file| file.strip_prefix(name)?.parse::<u32>().ok());
            if of.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
                // Someone else's, or gone already.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        all.join(format!("{name}{}", std::process::id()))
    });
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The folder of a server, fetched if need be; nothing, said loudly, where it cannot be had.
///
/// # Errors
/// It cannot be had and `CI` is set: there, nothing is skipped.
async fn fetched(name: &str) -> anyhow::Result<Option<PathBuf>> {
    let output =
        Command::new(script("fetch.sh")).arg(name).output().await.context("cannot start fetch.sh")?;
    if output.status.success() {
        return Ok(Some(String::from_utf8(output.stdout)?.trim_end().into()));
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if std::env::var_os("CI").is_some() {
        bail!("{name} is needed and cannot be fetched:\n{said}");
    }
    eprintln!("SKIPPED: {name} cannot be fetched, so nothing is proven about it:\n{said}");
    Ok(None)
}

/// A port of loopback that nobody listens on now, and neither on the one that lies 10000 above it.
///
/// Below those that the system gives to clients: a client that calls a stopped server could be given the server's own.
///
/// # Errors
/// None is free.
pub fn free_port() -> anyhow::Result<u16> {
    let mut random = Random::unseeded();
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut candidates = (0..1000).map(|_| 10_000 + u16::try_from(random.below(12_000)).unwrap_or(0));
    candidates.find(|port| is_free(*port) && is_free(port + 10_000)).context("no port is free")
}

/// Who asks a server on loopback.
///
/// # Errors
/// TLS cannot be set up.
fn client() -> anyhow::Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One for each call: a connection that is kept would belong to the runtime of the test that made it.
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?)
}
