//! Alertmanager, alone, telling a webhook at once.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{client, fetched, folder, free_port};

/// An Alertmanager whose state outlives a stop.
#[derive(Debug)]
pub struct Alertmanager {
    home: PathBuf,
    directory: TempDir,
    port: u16,
    url: String,
    process: Option<Process>,
}

impl Alertmanager {
    /// Starts one that tells `webhook`, if any, each alert in a group of its own; waits until it answers. Nothing, said
    /// loudly, where it cannot be had.
    ///
    /// # Errors
    /// It does not start, or `CI` is set and it cannot be had.
    pub async fn start(webhook: Option<&str>) -> anyhow::Result<Option<Self>> {
        let Some(home) = fetched("alertmanager").await? else { return Ok(None) };
        let hooks = webhook.map(|url| json!({ "url": url, "send_resolved": true }));
        let config = json!({
            "route": {
                "receiver": "tests", "group_by": ["..."],
                "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h",
            },
            "receivers": [{ "name": "tests", "webhook_configs": hooks.into_iter().collect::<Vec<_>>() }],
        });
        let directory = tempfile::tempdir_in(folder()?)?;
        std::fs::write(directory.path().join("alertmanager.yml"), config.to_string())?;
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let mut alertmanager = Self { home, directory, port, url, process: None };
        alertmanager.start_again().await?;
        Ok(Some(alertmanager))
    }

    /// Where it listens, the same after each start: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of `amtool` of the same version.
    pub fn amtool(&self) -> PathBuf {
        self.home.join("usr/bin/amtool")
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Starts what was stopped, on the same port over the same data; waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(self.home.join("usr/bin/prometheus-alertmanager"));
        let directory = self.directory.path().display();
        command.current_dir(&self.home).arg("--cluster.listen-address=");
        command.arg(format!("--config.file={directory}/alertmanager.yml"));
        command.arg(format!("--storage.path={directory}/data"));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        self.process = None;
        let mut process = Process::start(&format!("alertmanager-{}", self.port), &command)?;
        let asks = client()?;
        let ready = format!("{}/-/ready", self.url);
        process
            .answers(async || asks.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200))
            .await?;
        self.process = Some(process);
        Ok(())
    }

    /// The alerts that it knows, as `GET /api/v2/alerts` lists them.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let answer = client()?.get(format!("{}/api/v2/alerts", self.url)).send().await?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }
}
