//! `up` as a person uses it: tables, a page that stays, Ctrl-C, and one at a time on a data directory.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use tests::recorded;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::engine;

/// Longer than reading the recorded logs takes on a slow machine.
const READ_WITHIN: Duration = Duration::from_secs(200);

/// `up` over the recorded logs, on a port of its own.
fn start(data_dir: &Path) -> Result<Child> {
    let logs = recorded();
    let (logs, data_dir) = (logs.as_os_str(), data_dir.as_os_str());
    let fixed = ["up", "--listen", "127.0.0.1:0"].map(OsStr::new);
    let arguments = fixed.into_iter().chain([OsStr::new("--logs"), logs, OsStr::new("--data-dir"), data_dir]);
    let arguments: Vec<&OsStr> = arguments.collect();
    Ok(engine().command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Reads what the program tells until it says where the page is.
async fn page_address(child: &mut Child) -> Result<String> {
    let mut told = BufReader::new(child.stderr.as_mut().context("stderr is read")?).lines();
    while let Some(line) = timeout(READ_WITHIN, told.next_line()).await.context("the page never came")?? {
        if let Some((_, address)) = line.split_once("http://") {
            return Ok(format!("http://{}", address.split(' ').next().unwrap_or_default()));
        }
    }
    anyhow::bail!("it ended before the page was there")
}

async fn interrupt(mut child: Child) -> Result<String> {
    let process = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    rustix::process::kill_process(process.context("it runs")?, rustix::process::Signal::INT)?;
    let mut printed = String::new();
    child.stdout.take().context("stdout is read")?.read_to_string(&mut printed).await?;
    let status = timeout(READ_WITHIN, child.wait()).await.context("it does not end")??;
    ensure!(status.success(), "{status}");
    Ok(printed)
}

/// The first block of text in the README.
fn shown_in_the_readme() -> Result<&'static str> {
    let (_, rest) =
        include_str!("../../README.md").split_once("```text\n").context("the README shows a table")?;
    let (shown, _) = rest.split_once("\n```").context("the block ends")?;
    Ok(shown)
}

#[tokio::test]
async fn the_table_is_printed_and_the_page_stays_until_ctrl_c() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut child = start(dir.path())?;
    let address = page_address(&mut child).await?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let page = Client::builder().no_proxy().build()?.get(&address).send().await?.error_for_status()?;
    let page = page.text().await?;
    let printed = interrupt(child).await?;
    for service in ["shop/web", "social/pds", "social/relay", "social/labeler", "social/feed-generator"] {
        assert!(page.contains(service), "{service} is not on the page");
        assert!(printed.contains(service), "{service} is not in the table");
    }
    let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
    assert_eq!(printed.join("\n").trim_end(), shown_in_the_readme()?, "the README shows something else");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_is_for_one_at_a_time() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut first = start(dir.path())?;
    page_address(&mut first).await?;
    let second = engine().up(dir.path(), &[recorded()]).await?;
    assert!(!second.status.success());
    let id = first.id().context("it runs")?.to_string();
    assert!(second.stderr.contains(&id), "the holder's id {id} is not in: {}", second.stderr);
    interrupt(first).await?;
    engine().up(dir.path(), &[recorded()]).await?.success()?;
    Ok(())
}
