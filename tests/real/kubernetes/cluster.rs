//! The cluster that is up: asked and told by kubectl and helm, and cut off at its nodes.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::program::within;
use tests::root;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

/// Long enough for anything that is to happen soon on two cores.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// There is one cluster, so there is one test at a time.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// What kubectl prints.
pub(crate) async fn kubectl(arguments: &[&str]) -> Result<String> {
    run("kubectl", arguments, "").await
}

/// The same as whoever has a token.
pub(crate) async fn kubectl_as(token: &str, arguments: &[&str]) -> Result<String> {
    let config: String = std::fs::read_to_string(state()?.join("admin.kubeconfig"))?;
    let server = config.split('"').find(|part| part.starts_with("https://")).context("a server is named")?;
    let authority = state()?.join("pki/ca.crt").display().to_string();
    // An empty kubeconfig: the administrator's certificate would count more than the token.
    let options = ["--kubeconfig", "/dev/null", "--server", server, "--certificate-authority", &authority];
    run("kubectl", &[&options[..], &["--token", token], arguments].concat(), "").await
}

/// The same as JSON.
pub(crate) async fn get(arguments: &[&str]) -> Result<Value> {
    let text = kubectl(&[&["get", "--output", "json"], arguments].concat()).await?;
    Ok(serde_json::from_str(&text)?)
}

/// Applies an object, or several in a list.
pub(crate) async fn apply(object: &Value) -> Result<()> {
    run("kubectl", &["apply", "--filename", "-"], &object.to_string()).await.map(drop)
}

/// What helm prints.
pub(crate) async fn helm(arguments: &[&str]) -> Result<String> {
    run("helm", arguments, "").await
}

/// Runs a script of the folder.
pub(crate) async fn script(name: &str, arguments: &[&str]) -> Result<String> {
    let path = root().join("tests/real/kubernetes").join(name);
    run(path.to_str().context("a path is UTF-8")?, arguments, "").await
}

/// Where the cluster keeps what it has.
pub(crate) fn state() -> Result<PathBuf> {
    let file = std::env::var("KUBECONFIG").context("no cluster is named: run tests/real/kubernetes/test")?;
    Ok(PathBuf::from(file).parent().context("a kubeconfig lies in a folder")?.to_owned())
}

/// Cuts a node's power: everything on it ends at once. Its disk stays.
pub(crate) async fn cut(node: &str) -> Result<()> {
    let file = state()?.join("pids").join(node);
    let noted = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let pid = noted.split_whitespace().next().context("a pid stands there")?.parse()?;
    kill_process(Pid::from_raw(pid).context("a pid is above 0")?, Signal::KILL)?;
    // One that nobody waited for stays as a zombie.
    let stat = format!("/proc/{pid}/stat");
    let gone = async || Ok(std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
    within(SOON, &format!("{node} is without power"), gone).await
}

/// Boots a node again; waits until it is ready.
pub(crate) async fn boot(node: &str) -> Result<()> {
    println!("{}", script("node", &[node.trim_start_matches('n')]).await?.trim_end());
    Ok(())
}

/// Waits until a value is there at a JSON pointer of an object.
pub(crate) async fn becomes(what: &[&str], pointer: &str, wanted: &Value) -> Result<()> {
    let is_so = async || Ok(get(what).await?.pointer(pointer) == Some(wanted));
    within(SOON, &format!("{what:?} has {wanted} at {pointer}"), is_so).await
}

async fn run(program: &str, arguments: &[&str], stdin: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}: run tests/real/kubernetes/test"))?;
    let mut input = child.stdin.take().context("stdin is a pipe")?;
    input.write_all(stdin.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
