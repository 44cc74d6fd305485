//! Elasticsearch, an S3 service and Alertmanager, for whoever walks through the README with real servers: on loopback, and
//! with `--listen` on another address too.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use tests::servers::{Alertmanager, Flavor, Forward, S3, Search};

/// The bucket of the walkthrough.
const BUCKET: &str = "headroom";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listen, folder) = match &arguments[..] {
        [] => (None, PathBuf::from(".headroom/real")),
        [folder] if !folder.starts_with("--") => (None, folder.into()),
        [option, ip, folder] if option == "--listen" => {
            (Some(ip.parse::<IpAddr>().with_context(|| format!("{ip} is not an address"))?), folder.into())
        }
        _ => bail!("usage: headroom-servers [[--listen IP] FOLDER]"),
    };
    fs::create_dir_all(folder.join("logs")).with_context(|| format!("cannot make {}", folder.display()))?;
    eprintln!(
        "Fetching and starting Elasticsearch, SeaweedFS and Alertmanager; the first time that takes a minute."
    );
    let (search, s3, alertmanager) =
        tokio::try_join!(Search::start(Flavor::Elasticsearch9, &[]), S3::start(), Alertmanager::start(None))?;
    let (Some(search), Some(s3), Some(alertmanager)) = (search, s3, alertmanager) else {
        bail!("a server cannot be had here; what is missing stands above");
    };
    s3.create_bucket(BUCKET).await?;
    let mut urls = [search.url(), s3.url(), alertmanager.url()].map(str::to_owned);
    let mut forwards = Vec::new();
    if let Some(ip) = listen {
        for url in &mut urls {
            let forward = Forward::start(ip, url).await?;
            *url = forward.url();
            forwards.push(forward);
        }
    }
    let [search_url, s3_url, alertmanager_url] = urls;
    let variables = [
        ("HEADROOM_REAL", folder.canonicalize()?.display().to_string()),
        ("ELASTICSEARCH_URL", search_url),
        ("S3_URL", s3_url),
        ("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", S3::SECRET_ACCESS_KEY.to_owned()),
        ("ALERTMANAGER_URL", alertmanager_url),
        ("HEADROOM_TOKEN", "a-token-for-this-walkthrough".to_owned()),
    ];
    let exports: String =
        variables.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let file = folder.join("servers.env");
    fs::write(&file, &exports).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{exports}\nThey run until Ctrl-C. In another terminal:  . {}", file.display());
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    Ok(())
}
