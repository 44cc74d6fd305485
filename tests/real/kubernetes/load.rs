//! Pods that log a run's lines, and what the kubelet's files hold of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use tests::oracle::{Found, Requests, Run, Verdict, judge};
use tests::program::within;

use crate::cluster::{SOON, apply, get, kubectl, state};
use crate::product::Product;

/// The image that logs.
pub(crate) const IMAGE: &str = "headroom/demo:1";

/// Pods of a run, one for each container of it, in a namespace of their own.
pub(crate) struct Load {
    run: Run,
    /// Their namespace.
    pub(crate) namespace: String,
    containers: u16,
}

impl Load {
    /// None yet; makes the namespace, with annotations.
    pub(crate) async fn new(run: Run, namespace: &str, annotations: &Value) -> Result<Self> {
        apply(&json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": namespace, "annotations": annotations },
        }))
        .await?;
        Ok(Self { run, namespace: namespace.to_owned(), containers: 0 })
    }

    /// Starts a pod on a node that logs so many lines, so many a second, and ends.
    pub(crate) async fn start(&mut self, node: &str, lines: u64, rate: u64) -> Result<String> {
        let (number, run) = (self.containers, self.run);
        self.containers += 1;
        let name = format!("load-{number}");
        let arguments = json!([
            "lines",
            "--run",
            format!("{:08x}", run.id),
            "--start-ms",
            run.start_ms.to_string(),
            "--step-ms",
            run.step_ms.to_string(),
            "--stream",
            number.to_string(),
            "--count",
            lines.to_string(),
            "--rate",
            rate.to_string(),
        ]);
        apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": self.namespace, "labels": { "app": "load" } },
            "spec": {
                "nodeName": node, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "containers": [{ "name": "load", "image": IMAGE, "args": arguments }],
            },
        }))
        .await?;
        Ok(name)
    }

    /// Whether a pod still logs.
    pub(crate) async fn is_running(&self, pod: &str) -> Result<bool> {
        Ok(get(&["pod", "--namespace", &self.namespace, pod]).await?["status"]["phase"] == "Running")
    }

    /// Waits until every pod has ended.
    pub(crate) async fn ended(&self) -> Result<()> {
        let ended = async || {
            let pods = get(&["pods", "--namespace", &self.namespace]).await?;
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            Ok(pods.iter().all(|pod| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))))
        };
        within(4 * SOON, &format!("the pods of {} have ended", self.namespace), ended).await
    }

    /// Removes a pod.
    pub(crate) async fn remove(&self, pod: &str) -> Result<()> {
        kubectl(&["delete", "pod", "--namespace", &self.namespace, pod, "--now"]).await.map(drop)
    }

    /// Removes all of them with their namespace.
    pub(crate) async fn clear(self) -> Result<()> {
        kubectl(&["delete", "namespace", &self.namespace]).await.map(drop)
    }

    /// How many lines of each container the files of the kubelets show to have been written.
    pub(crate) fn written(&self) -> Result<Vec<u64>> {
        let mut lines = vec![0; usize::from(self.containers)];
        for folder in self.folders()? {
            for file in fs::read_dir(folder)?.flatten() {
                for line in records(&read(&file.path())?) {
                    if let Some((container, sequence)) = self.run.place(&line) {
                        let lines =
                            lines.get_mut(usize::from(container)).context("a container of this run")?;
                        *lines = (*lines).max(sequence + 1);
                    }
                }
            }
        }
        ensure!(lines.iter().all(|&lines| lines > 0), "a container wrote nothing: {lines:?}");
        Ok(lines)
    }

    /// What the first `lines` lines of each container count for.
    pub(crate) fn requests(&self, lines: &[u64]) -> Requests {
        self.run.all_requests(lines)
    }

    /// Whether a line carries this run's mark.
    pub(crate) fn wrote(&self, line: &[u8]) -> bool {
        self.run.place(line).is_some()
    }

    /// Names of the files that hold a pod's lines.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let folders = self.folders()?;
        let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        Ok(files.map(|file| file.file_name().to_string_lossy().into_owned()).collect())
    }

    fn folders(&self) -> Result<Vec<PathBuf>> {
        let own = pod_folders()?.into_iter().filter(|(namespace, _)| *namespace == self.namespace);
        Ok(own.map(|(_, folder)| folder.join("load")).collect())
    }

    /// Waits until all `lines` are in Elasticsearch and in the archive, and says what the oracle says of both.
    pub(crate) async fn judged(&self, product: &Product, lines: &[u64]) -> Result<[Verdict; 2]> {
        let want = lines.iter().sum::<u64>();
        let indexed = async || Ok(product.count(&self.namespace).await? >= want);
        if let Err(error) = within(2 * SOON, &format!("{want} lines are indexed"), indexed).await {
            return Err(error.context(product.said().await));
        }
        let archived = async || Ok(self.own(product.in_archive().await?).len() as u64 >= want);
        within(2 * SOON, &format!("{want} lines are archived"), archived)
            .await
            .context(product.said().await)?;
        let found =
            [self.own(product.in_search(&self.namespace).await?), self.own(product.in_archive().await?)];
        let verdicts = found.map(|found| judge(&self.run, lines, found, &[]));
        for (place, verdict) in ["Elasticsearch", "the archive"].iter().zip(&verdicts) {
            println!("{place} of {}: {verdict}", self.namespace);
        }
        Ok(verdicts)
    }

    /// Lines that carry this run's mark, whatever else they are: others log into the same place.
    fn own(&self, found: Vec<Found>) -> Vec<Found> {
        found.into_iter().filter(|found| self.wrote(&found.line)).collect()
    }
}

/// The folder of each pod's logs on all nodes, with the pod's namespace; the kubelet removes them some time after the pod.
pub(crate) fn pod_folders() -> Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for node in fs::read_dir(state()?)?.flatten() {
        let Ok(pods) = fs::read_dir(node.path().join("root/var/log/pods")) else { continue };
        folders.extend(pods.flatten().filter_map(|pod| {
            let name = pod.file_name().to_string_lossy().into_owned();
            Some((name.split_once('_')?.0.to_owned(), pod.path()))
        }));
    }
    Ok(folders)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let (mut file, mut content) = (File::open(path)?, Vec::new());
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => MultiGzDecoder::new(file).read_to_end(&mut content)?,
        false => file.read_to_end(&mut content)?,
    };
    Ok(content)
}

/// The records of a CRI file, their parts joined.
fn records(content: &[u8]) -> Vec<Vec<u8>> {
    let (mut records, mut open) = (Vec::new(), BTreeMap::<&[u8], Vec<u8>>::new());
    for line in content.split(|&byte| byte == b'\n') {
        let mut fields = line.splitn(4, |&byte| byte == b' ');
        let (Some(_), Some(stdio), Some(tag), Some(text)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        open.entry(stdio).or_default().extend_from_slice(text);
        if tag == b"F" {
            records.extend(open.remove(stdio));
        }
    }
    records
}
