//! Who runs: the floor, the collector, and the peers that are there, each told to ship the same file to the receiver.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use serde_json::json;
use tokio::process::Command;

use crate::Plan;

/// A pod's log, as a kubelet lays it.
pub(crate) struct Input {
    /// The tree of pods.
    pods: PathBuf,
    /// The one log in it.
    log: PathBuf,
}

/// A program that ships.
pub(crate) enum Contender {
    /// This program's own least.
    Floor,
    /// The collector at a path; with the counts of the SLO engine or without.
    Collector(PathBuf),
    /// rsyslog below a folder.
    Rsyslog(PathBuf),
    /// syslog-ng below a folder.
    SyslogNg(PathBuf),
}

/// All that are there; the floor first.
pub(crate) fn all(plan: &Plan) -> Vec<Contender> {
    let mut all = vec![Contender::Floor, Contender::Collector(plan.collector.clone())];
    match &plan.peers {
        Some(peers) => all.extend([Contender::Rsyslog(peers.clone()), Contender::SyslogNg(peers.clone())]),
        None => eprintln!("without --peers, rsyslog and syslog-ng do not run"),
    }
    all
}

impl Input {
    /// Writes a log of so many lines of 216 bytes, its CRI prefix not counted.
    pub(crate) fn write(folder: &Path, lines: u64) -> anyhow::Result<Self> {
        let pods = folder.join("pods");
        let log = pods.join("shop_web-5f7d8c9b6-x2x4z_0f7e2a34-5c1b-4d8e-b6a9-72c3d4e5f633/web/0.log");
        fs::create_dir_all(log.parent().context("a log lies in a folder")?)?;
        let mut file = BufWriter::new(File::create(&log)?);
        for number in 0..lines {
            let (second, nano) = (number / 1000 % 60, number % 1000 * 1_000_000);
            let head = format!(
                "{{\"level\":\"info\",\"seq\":{number:08},\"method\":\"GET\",\"path\":\"/xrpc/app.bsky.feed.getTimeline\",\"status\":200,\"ms\":{:03},\"msg\":\"",
                number % 997
            );
            let message = "a request was answered, and nothing was wrong with it; ".repeat(4);
            let message = &message[..216 - head.len() - 2];
            writeln!(
                file,
                "2026-11-23T19:{:02}:{second:02}.{nano:09}Z stdout F {head}{message}\"}}",
                number / 60_000 % 60
            )?;
        }
        file.flush()?;
        Ok(Self { pods, log })
    }
}

impl Contender {
    /// Its name in the table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Collector(_) => "collector",
            Self::Rsyslog(_) => "rsyslog",
            Self::SyslogNg(_) => "syslog-ng",
        }
    }

    /// How it is started; it ends with its handle.
    pub(crate) fn command(
        &self,
        input: &Input,
        state: &Path,
        receiver: SocketAddr,
    ) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Floor => floor(input, receiver)?,
            Self::Collector(program) => collector(program, input, state, receiver)?,
            Self::Rsyslog(peers) => rsyslog(peers, input, state, receiver)?,
            Self::SyslogNg(peers) => syslog_ng(peers, input, state, receiver)?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }
}

fn floor(input: &Input, receiver: SocketAddr) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor").arg(&input.log).arg(receiver.to_string());
    Ok(command)
}

fn collector(program: &Path, input: &Input, state: &Path, receiver: SocketAddr) -> anyhow::Result<Command> {
    let config = json!({
        "data_dir": state.join("data"),
        "sources": { "pods": { "type": "kubernetes_logs", "root": input.pods } },
        "sinks": {
            "search": { "type": "elasticsearch", "inputs": ["pods"], "endpoints": [format!("http://{receiver}")] },
        },
    });
    let path = state.join("collector.yaml");
    fs::write(&path, config.to_string())?;
    let mut command = Command::new(program);
    command.arg("--config").arg(path).env("HEADROOM_LOG", "error");
    Ok(command)
}

fn rsyslog(peers: &Path, input: &Input, state: &Path, receiver: SocketAddr) -> anyhow::Result<Command> {
    let (host, port, log, state_dir) = (receiver.ip(), receiver.port(), input.log.display(), state.display());
    let config = format!(
        r#"global(workDirectory="{state_dir}")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
template(name="doc" type="list" option.jsonf="on") {{
    property(outname="@timestamp" name="timegenerated" dateFormat="rfc3339" format="jsonf")
    property(outname="message" name="msg" format="jsonf")
}}
ruleset(name="ship") {{
    action(type="omelasticsearch" server="{host}" serverport="{port}" searchIndex="bench" searchType="" bulkmode="on"
        writeoperation="create" bulkid="" template="doc" queue.type="LinkedList" queue.size="20000"
        queue.dequeuebatchsize="1000" action.resumeretrycount="-1")
}}
input(type="imfile" file="{log}" tag="bench" ruleset="ship" needParse="off")
"#
    );
    let path = state.join("rsyslog.conf");
    fs::write(&path, config)?;
    let mut command = Command::new(peers.join("usr/sbin/rsyslogd"));
    command.arg("-n").arg("-f").arg(path).arg("-i").arg(state.join("pid"));
    command.arg("-M").arg(peers.join("usr/lib/x86_64-linux-gnu/rsyslog"));
    command.env("LD_LIBRARY_PATH", libraries(peers));
    Ok(command)
}

fn syslog_ng(peers: &Path, input: &Input, state: &Path, receiver: SocketAddr) -> anyhow::Result<Command> {
    let log = input.log.display();
    let config = format!(
        r#"@version: 3.38
options {{ stats-freq(0); log-fifo-size(200000); }};
source lines {{
    file("{log}" follow-freq(0.01) read-old-records(yes) flags(no-parse) log-fetch-limit(1000) log-iw-size(100000));
}};
destination ship {{
    http(url("http://{receiver}/_bulk") method("POST") headers("Content-Type: application/x-ndjson")
        batch-lines(1000) batch-timeout(1000) delimiter("\n") body-suffix("\n") workers(1)
        body("{{\"create\":{{\"_index\":\"bench\"}}}}\n$(format-json --scope none message=$MESSAGE \\@timestamp=$ISODATE)"));
}};
log {{ source(lines); destination(ship); flags(flow-control); }};
"#
    );
    let path = state.join("syslog-ng.conf");
    fs::write(&path, config)?;
    let mut command = Command::new(peers.join("usr/sbin/syslog-ng"));
    command.args(["-F", "--no-caps", "-f"]).arg(path);
    for (flag, name) in [("-R", "persist"), ("-p", "pid"), ("-c", "control")] {
        command.arg(flag).arg(state.join(name));
    }
    command.arg("--module-path").arg(peers.join("usr/lib/syslog-ng/3.38"));
    command.env("LD_LIBRARY_PATH", libraries(peers));
    Ok(command)
}

/// Where the peers' libraries were unpacked.
fn libraries(peers: &Path) -> String {
    let folders = ["usr/lib/x86_64-linux-gnu", "usr/lib/syslog-ng", "lib/x86_64-linux-gnu"];
    folders.map(|folder| peers.join(folder).display().to_string()).join(":")
}
