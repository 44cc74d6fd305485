//! SeaweedFS as an S3 service.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use archive::{S3Config, S3Store, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{client, fetched, folder, free_port};

/// An S3 service with one user and path-style buckets, whose data outlives a stop.
#[derive(Debug)]
pub struct S3 {
    program: std::path::PathBuf,
    directory: TempDir,
    ports: Ports,
    url: String,
    process: Option<Process>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    master: u16,
    volume: u16,
    filer: u16,
    s3: u16,
}

impl S3 {
    /// The user's access key id.
    pub const ACCESS_KEY_ID: &str = "TESTSACCESSKEY";

    /// The user's secret access key.
    pub const SECRET_ACCESS_KEY: &str = "the-secret-access-key-of-the-tests";

    /// Where buckets lie.
    pub const REGION: &str = "us-east-1";

    /// Starts one and waits until it answers. Nothing, said loudly, where it cannot be had.
    ///
    /// # Errors
    /// It does not start, or `CI` is set and it cannot be had.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(home) = fetched("seaweedfs").await? else { return Ok(None) };
        let ports =
            Ports { master: free_port()?, volume: free_port()?, filer: free_port()?, s3: free_port()? };
        let directory = tempfile::tempdir_in(folder()?)?;
        std::fs::create_dir(directory.path().join("data"))?;
        let user = json!({
            "name": "tests",
            "credentials": [{ "accessKey": Self::ACCESS_KEY_ID, "secretKey": Self::SECRET_ACCESS_KEY }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        });
        let users = json!({ "identities": [user] });
        std::fs::write(directory.path().join("s3.json"), users.to_string())?;
        let url = format!("http://127.0.0.1:{}", ports.s3);
        let mut s3 = Self { program: home.join("bin/weed"), directory, ports, url, process: None };
        s3.start_again().await?;
        Ok(Some(s3))
    }

    /// Where it listens, the same after each start: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it, by SIGKILL: it has no other way that takes less than seconds.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts what was stopped, on the same port over the same data; waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let Ports { master, volume, filer, s3 } = self.ports;
        let mut command = Command::new(&self.program);
        // Without a key, server-side encryption answers 500.
        command.env("WEED_S3_SSE_KEK", "5a".repeat(32)).current_dir(self.directory.path());
        // It reports home and listens on every interface unless told otherwise.
        command.args([
            "server",
            "-dir=data",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
        ]);
        command.args(["-master.volumeSizeLimitMB=64", "-volume.max=0", "-volume.preStopSeconds=1", "-filer"]);
        command.args([
            "-s3",
            "-s3.config=s3.json",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
        ]);
        command.arg(format!("-master.port={master}")).arg(format!("-volume.port={volume}"));
        command.arg(format!("-filer.port={filer}")).arg(format!("-s3.port={s3}"));
        self.process = None;
        let mut process = Process::start(&format!("seaweedfs-{s3}"), &command)?;
        let asks = client()?;
        // Whoever shows no signature is refused, once it works; a file can be written a little later.
        let answers = async || {
            let refused = asks.get(&self.url).send().await.is_ok_and(|answer| answer.status() == 403);
            let probe = format!("http://127.0.0.1:{filer}/probe");
            refused && asks.put(probe).body("x").send().await.is_ok_and(|answer| answer.status().is_success())
        };
        process.answers(answers).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// It cannot.
    pub async fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        let answer = client()?.post(format!("{}/{name}/", self.files())).send().await?;
        ensure!(answer.status().is_success(), "cannot make bucket {name}: {}", answer.status());
        Ok(())
    }

    /// A bucket as an archive below `key_prefix`.
    pub fn archive(&self, bucket: &str, key_prefix: &str) -> Store {
        Store::S3(S3Store::new(&S3Config {
            bucket: bucket.to_owned(),
            region: Self::REGION.to_owned(),
            endpoint: Some(self.url.clone()),
            key_prefix: key_prefix.to_owned(),
            access_key_id: Self::ACCESS_KEY_ID.to_owned(),
            secret_access_key: Self::SECRET_ACCESS_KEY.to_owned(),
            force_path_style: true,
            ca: None,
            timeout: Duration::from_secs(60),
        }))
    }

    /// The objects of a bucket by key, read behind the back of S3.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn objects(&self, bucket: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let (client, mut objects) = (client()?, BTreeMap::new());
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let url = format!("{}/{bucket}/{folder}?limit=100000", self.files());
            let listed =
                client.get(url).header("accept", "application/json").send().await?.error_for_status()?;
            let listed: Value = serde_json::from_str(&listed.text().await?)?;
            for entry in listed["Entries"].as_array().into_iter().flatten() {
                let path = entry["FullPath"].as_str().context("an entry has a path")?;
                let key = path.strip_prefix(&format!("/buckets/{bucket}/")).context("below its bucket")?;
                // Go's mode of a directory.
                if entry["Mode"].as_u64().is_some_and(|mode| mode & (1 << 31) != 0) {
                    folders.push(format!("{key}/"));
                    continue;
                }
                let object = client.get(format!("{}/{bucket}/{key}", self.files())).send().await?;
                objects.insert(key.to_owned(), object.error_for_status()?.bytes().await?.to_vec());
            }
        }
        Ok(objects)
    }

    fn files(&self) -> String {
        format!("http://127.0.0.1:{}/buckets", self.ports.filer)
    }
}
