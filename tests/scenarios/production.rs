//! The collector as a node runs it, sending to the engine as a cluster runs it: two programs, over HTTP.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::program::eventually;

use crate::collector;
use crate::serve::{Served, TOKEN, now};

/// Requests for `path` of the last minutes to one service, every hundredth of which fails.
fn recent(count: i64, path: &str) -> String {
    requests(count, path, 100)
}

/// The same, with every `nth` failing.
pub(crate) fn requests(count: i64, path: &str, nth: i64) -> String {
    let line = |second: i64| {
        let ended = now() - jiff::SignedDuration::from_secs(count - second);
        let status = if second % nth == 0 { 500 } else { 200 };
        format!(
            "192.0.2.7 - - [{}] \"GET {path} HTTP/1.1\" {status} 12 \"-\" \"Mozilla/5.0\" 120 0.010 [shop-web-80] [] \
             10.0.0.1:80 12 0.010 {status} 0123456789abcdef0123456789abcdef\n",
            ended.strftime("%d/%b/%Y:%H:%M:%S +0000")
        )
    };
    (0..count).map(line).collect()
}

pub(crate) fn configure(dir: &Path, url: &str) -> Result<std::path::PathBuf> {
    let config = json!({
        "data_dir": dir.join("collector"),
        "sources": { "logs": { "type": "file", "include": [dir.join("*.log")] } },
        "transforms": { "requests": { "type": "sli", "inputs": ["logs"] } },
        "sinks": {
            "archive": { "type": "archive", "inputs": ["logs"], "path": dir.join("archive") },
            "engine": { "type": "slo_engine", "inputs": ["requests"], "endpoint": url, "token": "${HEADROOM_TOKEN}" },
        },
    });
    let path = dir.join("collector.yaml");
    fs::write(&path, config.to_string())?;
    Ok(path)
}

/// Runs the collector until the engine has `requests`, then ends it as Kubernetes does.
async fn collect(config: &Path, served: &Served, requests: u64) -> Result<()> {
    let mut command = collector().command(&["--config".as_ref(), config.as_os_str()]);
    let child = command.env("HEADROOM_TOKEN", TOKEN).stderr(Stdio::piped()).spawn()?;
    let process = rustix::process::Pid::from_raw(child.id().context("it runs")?.cast_signed());
    eventually("the engine has every request", async || {
        Ok(served.json("/v1/overview").await?["input"]["requests"] == requests)
    })
    .await?;
    rustix::process::kill_process(process.context("a child has an id")?, rustix::process::Signal::TERM)?;
    let ended = child.wait_with_output().await?;
    ensure!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

#[tokio::test]
async fn a_collector_sends_each_request_once_over_restarts() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let served = Served::start(dir.path()).await?;
    let config = configure(dir.path(), served.url())?;
    fs::write(dir.path().join("access.log"), recent(300, "/"))?;
    collect(&config, &served, 300).await?;
    fs::write(dir.path().join("later.log"), recent(350, "/later"))?;
    collect(&config, &served, 650).await?;
    served.app.engine.tick(now()).await?;
    let overview = served.json("/v1/overview").await?;
    let availability = &overview["services"][0]["slos"][0];
    assert_eq!(overview["services"][0]["service"], "shop/web");
    assert_eq!((&availability["total"], &availability["good"]), (&json!(650), &json!(643)));
    served.app.stop().await;
    Ok(())
}
