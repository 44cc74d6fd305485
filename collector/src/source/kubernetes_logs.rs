//! The `kubernetes_logs` source: `<root>/<namespace>_<pod>_<uid>/<container>/<restart>.log[.<time>[.gz]]`.
//!
//! Whoever can write to a pod's log directory can put links, FIFOs and strange names there, so nothing but a regular file
//! in a real directory is opened, each step from the directory before it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, openat};
use settings::Table;

use super::content::Look;
use super::discovery::{Found, Scan};
use super::{DEFAULT_MAX_LINE_BYTES, DEFAULT_SCAN_INTERVAL, ReadFrom};
use crate::cluster::ClusterConfig;
use crate::event::Pod;
use crate::identity::Inode;

/// Where the kubelet keeps the logs of pods.
const DEFAULT_ROOT: &str = "/var/log/pods";

/// Settings of the `kubernetes_logs` source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesLogsConfig {
    /// The tree's root.
    pub root: PathBuf,
    /// Where to begin in files that lie there at the first start.
    pub read_from: ReadFrom,
    /// Longest record in bytes, partial lines joined; a longer one goes to the dead-letter store.
    pub max_line_bytes: usize,
    /// How often the directories are walked.
    pub glob_minimum_cooldown: Duration,
    /// Whose metadata its events get; nothing: they have what their path says.
    pub cluster: Option<ClusterConfig>,
}

/// A log file's name, in reading order: by restart, rotated ones by time, the one being written last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Generation {
    restart: u32,
    live: bool,
    rotated: String,
}

impl KubernetesLogsConfig {
    /// Defaults for a tree at `root`.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            read_from: ReadFrom::Beginning,
            max_line_bytes: DEFAULT_MAX_LINE_BYTES,
            glob_minimum_cooldown: DEFAULT_SCAN_INTERVAL,
            cluster: None,
        }
    }

    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        Self {
            root: table.string_or("root", DEFAULT_ROOT).into(),
            read_from: ReadFrom::prove(table),
            max_line_bytes: super::prove_max_line_bytes(table),
            glob_minimum_cooldown: super::prove_interval(table, "glob_minimum_cooldown_ms"),
            cluster: ClusterConfig::prove(table),
        }
    }

    pub(super) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        for pod_dir in directories(&self.root, &mut scan) {
            let Some((namespace, name, uid)) = pod_name(pod_dir.file_name()) else {
                scan.refused
                    .push((pod_dir, "not a pod's directory: <namespace>_<pod>_<uid> is expected".into()));
                continue;
            };
            for container_dir in directories(&pod_dir, &mut scan) {
                let Some(container) =
                    container_dir.file_name().and_then(OsStr::to_str).filter(|name| is_name(name))
                else {
                    scan.refused.push((container_dir, "not a container's directory".into()));
                    continue;
                };
                let pod = Pod {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    uid: uid.clone(),
                    container: container.to_owned(),
                    restart: 0,
                };
                container_files(&container_dir, &pod, &mut scan);
            }
        }
        scan
    }

    /// The pod whose directory a path leads into; its container and restart are not told.
    pub(super) fn pod_of(&self, path: &Path) -> Option<Pod> {
        let below = path.strip_prefix(&self.root).ok()?;
        let (namespace, name, uid) = pod_name(Some(below.components().next()?.as_os_str()))?;
        Some(Pod { namespace, name, uid, container: String::new(), restart: 0 })
    }

    /// Opens a file below the root step by step, following no link.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let below = path.strip_prefix(&self.root).map_err(io::Error::other)?;
        let mut names = below.components().collect::<Vec<_>>();
        let last = names.pop().ok_or_else(|| io::Error::other("not a file below the root"))?;
        let mut dir: OwnedFd = File::open(&self.root)?.into();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let step = |dir: &OwnedFd, component: Component<'_>, more| match component {
            Component::Normal(name) => Ok(openat(dir, name, flags | more, Mode::empty())?),
            _ => Err(io::Error::other("not a plain name")),
        };
        for name in names {
            dir = step(&dir, name, OFlags::DIRECTORY)?;
        }
        Ok(step(&dir, last, OFlags::empty())?.into())
    }
}

fn container_files(dir: &Path, pod: &Pod, scan: &mut Scan) {
    let mut generations = BTreeMap::new();
    for (path, metadata) in entries(dir, scan) {
        let Some(generation) = generation(path.file_name()) else {
            // The kubelet compresses into a file of this name before it renames it.
            if path.extension() != Some(OsStr::new("tmp")) {
                scan.refused.push((path, "not a log's name: <restart>.log[.<time>[.gz]] is expected".into()));
            }
            continue;
        };
        match metadata.is_file() {
            true => drop(generations.insert((generation, path), metadata)),
            false => scan.refused.push((path, "not a regular file; links are not followed".into())),
        }
    }
    let mut later = false;
    let mut found = Vec::new();
    for ((generation, path), metadata) in generations.into_iter().rev() {
        found.push(Found {
            inode: Inode { dev: metadata.dev(), ino: metadata.ino() },
            look: Look::of(&metadata),
            pod: Some(Pod { restart: generation.restart, ..pod.clone() }),
            group: format!("{}#{}", dir.display(), generation.restart),
            complete: later,
            path,
        });
        // An empty one may have been made while the runtime still wrote to the one before.
        later |= metadata.len() > 0;
    }
    scan.found.extend(found.into_iter().rev());
}

fn directories(dir: &Path, scan: &mut Scan) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (path, metadata) in entries(dir, scan) {
        match metadata.is_dir() {
            true => paths.push(path),
            false => scan.refused.push((path, "not a directory; links are not followed".into())),
        }
    }
    paths
}

/// Entries of a directory by name, with what they are themselves (not what they link to).
fn entries(dir: &Path, scan: &mut Scan) -> Vec<(PathBuf, fs::Metadata)> {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            scan.refused.push((dir.to_owned(), error.to_string()));
            return Vec::new();
        }
    };
    let paths = listed.flatten().map(|entry| entry.path());
    let mut entries: Vec<_> =
        paths.filter_map(|path| Some((path.clone(), fs::symlink_metadata(path).ok()?))).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

fn pod_name(name: Option<&OsStr>) -> Option<(String, String, String)> {
    let mut parts = name?.to_str()?.split('_');
    let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let good = parts.next().is_none() && [namespace, pod, uid].iter().all(|part| is_name(part));
    good.then(|| (namespace.to_owned(), pod.to_owned(), uid.to_owned()))
}

/// Whether Kubernetes could have given this name.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (1..=253).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

fn generation(name: Option<&OsStr>) -> Option<Generation> {
    let (restart, rotated) = name?.to_str()?.split_once(".log")?;
    let rotated = match rotated {
        "" => "",
        suffix => suffix.strip_prefix('.').filter(|time| !time.is_empty())?,
    };
    let time = rotated.strip_suffix(".gz").unwrap_or(rotated);
    let is_time = time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let restart = restart.parse().ok().filter(|_| restart.bytes().all(|byte| byte.is_ascii_digit()))?;
    (is_time && (rotated.is_empty() || !time.is_empty())).then(|| Generation {
        restart,
        live: rotated.is_empty(),
        rotated: rotated.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: Option<(u32, bool)>) {
        let got = generation(Some(OsStr::new(name))).map(|generation| (generation.restart, generation.live));
        assert_eq!(got, want, "{name}");
    }

    #[test]
    fn a_name_is_restart_log_and_perhaps_the_time_of_rotation() {
        check("0.log", Some((0, true)));
        check("12.log.20260101-120000", Some((12, false)));
        check("0.log.20260101-120000.gz", Some((0, false)));
        check("0.log.20260101-120000.gz.tmp", None);
        check("0.log.", None);
        check("0.log.gz", None);
        check("-1.log", None);
        check("x.log", None);
        check("0.txt", None);
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in
            ["..", "a_b", "a_b_c_d", "a_b_../x", "a_%2e_c", "a_b\n_c", "_b_c", "ä_b_c", &"x".repeat(300)]
        {
            assert_eq!(pod_name(Some(OsStr::new(name))), None, "{name:?}");
        }
        assert!(pod_name(Some(OsStr::new("shop_web-5d9c_3b1f"))).is_some());
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("pods"), dir.path().join("outside"));
        fs::create_dir_all(root.join("a_b_c/app")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("0.log"), "secret").unwrap();
        std::os::unix::fs::symlink(outside.join("0.log"), root.join("a_b_c/app/0.log")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("a_b_c/linked")).unwrap();
        let config = KubernetesLogsConfig::new(root.clone());
        let scan = config.scan();
        assert_eq!((scan.found.len(), scan.refused.len()), (0, 2));
        assert!(config.open(&root.join("a_b_c/app/0.log")).is_err());
        assert!(config.open(&root.join("a_b_c/linked/0.log")).is_err());
    }

    #[test]
    fn generations_are_in_reading_order_and_all_but_the_last_are_complete() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("a_b_c/app");
        fs::create_dir_all(&app).unwrap();
        for name in ["1.log", "0.log", "0.log.20260102-000000", "0.log.20260101-000000.gz"] {
            fs::write(app.join(name), "x").unwrap();
        }
        let found = KubernetesLogsConfig::new(dir.path().into()).scan().found;
        let names: Vec<_> =
            found.iter().map(|f| (f.path.file_name().unwrap().to_str().unwrap(), f.complete)).collect();
        let want = [
            ("0.log.20260101-000000.gz", true),
            ("0.log.20260102-000000", true),
            ("0.log", true),
            ("1.log", false),
        ];
        assert_eq!(names, want);
    }
}
