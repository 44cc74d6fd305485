//! Elasticsearch, an S3 service and Alertmanager on loopback, for whoever walks through the README with real servers.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use tests::servers::{Alertmanager, Flavor, S3, Search};

/// The bucket of the walkthrough.
const BUCKET: &str = "headroom";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".headroom/real".to_owned()));
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
    let variables = [
        ("HEADROOM_REAL", folder.canonicalize()?.display().to_string()),
        ("ELASTICSEARCH_URL", search.url().to_owned()),
        ("S3_URL", s3.url().to_owned()),
        ("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", S3::SECRET_ACCESS_KEY.to_owned()),
        ("ALERTMANAGER_URL", alertmanager.url().to_owned()),
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
