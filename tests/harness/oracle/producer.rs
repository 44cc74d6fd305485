//! Writes a run's lines as a node does: CRI files of pods, rotated by rename, older ones compressed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Requests, Run};
use crate::logs::gzip;

/// Where a container runtime cuts a line into partial ones.
const PARTIAL_BYTES: usize = 16 * 1024;

/// A node's containers.
#[derive(Debug)]
pub struct Producer {
    run: Run,
    containers: Vec<Container>,
}

#[derive(Debug)]
struct Container {
    folder: PathBuf,
    file: File,
    /// Lines that were written.
    lines: u64,
    rotations: i64,
    /// The file that was rotated last, which is not compressed yet.
    rotated: Option<PathBuf>,
}

impl Producer {
    /// So many containers in a tree like `/var/log/pods`.
    ///
    /// # Errors
    /// A file cannot be made.
    pub fn new(run: Run, root: &Path, containers: u16) -> anyhow::Result<Self> {
        let container = |number: u16| {
            let (namespace, pod, name) = match Run::is_ingress(number) {
                true => ("ingress-nginx", "ingress-nginx-controller-7d9f8b6c5-x2lqk", "controller"),
                false => ("shop", "worker-5b8c7d9f4-qk2xz", "worker"),
            };
            let folder = root.join(format!("{namespace}_{pod}_{:08x}-{number:04}/{name}", run.id));
            fs::create_dir_all(&folder)?;
            let file = File::create_new(folder.join("0.log"))?;
            anyhow::Ok(Container { folder, file, lines: 0, rotations: 0, rotated: None })
        };
        let containers = (0..containers).map(container).collect::<anyhow::Result<_>>()?;
        Ok(Self { run, containers })
    }

    /// The run.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Writes so many lines in each container.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&mut self, lines: u64) -> anyhow::Result<()> {
        for (number, container) in (0..).zip(&mut self.containers) {
            let mut written = Vec::new();
            for sequence in container.lines..container.lines + lines {
                cri(&self.run, number, sequence, &mut written);
            }
            container.file.write_all(&written)?;
            container.lines += lines;
        }
        Ok(())
    }

    /// Rotates every container's file as the kubelet does: the one before is compressed, this one renamed, a new one made.
    ///
    /// # Errors
    /// A file cannot be renamed, read or written.
    pub fn rotate(&mut self) -> anyhow::Result<()> {
        self.containers.iter_mut().try_for_each(|container| container.rotate(&self.run))
    }

    /// Lines that each container has written.
    pub fn lines(&self) -> Vec<u64> {
        self.containers.iter().map(|container| container.lines).collect()
    }

    /// What the requests among them count for.
    pub fn requests(&self) -> Requests {
        self.run.all_requests(&self.lines())
    }
}

impl Container {
    fn rotate(&mut self, run: &Run) -> anyhow::Result<()> {
        if let Some(before) = self.rotated.take() {
            let name = before.display().to_string();
            fs::write(format!("{name}.tmp"), gzip(&fs::read(&before)?)?)?;
            fs::rename(format!("{name}.tmp"), format!("{name}.gz"))?;
            fs::remove_file(&before)?;
        }
        self.rotations += 1;
        // A name has whole seconds.
        let at = run.time(0) + jiff::SignedDuration::from_secs(self.rotations);
        let rotated = self.folder.join(format!("0.log.{}", at.strftime("%Y%m%d-%H%M%S")));
        fs::rename(self.folder.join("0.log"), &rotated)?;
        self.file = File::create_new(self.folder.join("0.log"))?;
        self.rotated = Some(rotated);
        Ok(())
    }
}

fn cri(run: &Run, container: u16, sequence: u64, out: &mut Vec<u8>) {
    let line = run.line(container, sequence);
    let time = run.time(sequence).strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string();
    let mut rest = line.as_slice();
    loop {
        let (part, behind) = rest.split_at(rest.len().min(PARTIAL_BYTES));
        let tag = if behind.is_empty() { "F" } else { "P" };
        out.extend_from_slice(format!("{time} stdout {tag} ").as_bytes());
        out.extend_from_slice(part);
        out.push(b'\n');
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
}
