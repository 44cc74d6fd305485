//! Images are the same bytes whenever, wherever and by whomever they are made.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};

/// Makes an image of a program and a file of `folder`; nothing, said loudly, without Python.
fn image(folder: &Path, umask: &str) -> Result<Option<Vec<u8>>> {
    let file = |name: &str| folder.join(name).display().to_string();
    let output = Command::new("sh")
        .args(["-c", "umask \"$1\"; shift; exec python3 \"$@\"", "sh", umask])
        .arg(tests::root().join("charts/images/image.py"))
        .args(["--program", &format!("{}:/program", file("program"))])
        .args(["--file", &format!("{}:/etc/some/file", file("file"))])
        .args(["--label", "org.opencontainers.image.title=it", "--created", "1800000000"])
        .args([&file("image.tar"), "headroom/it:1", "/program"])
        .output()?;
    if output.status.code() == Some(127) {
        ensure!(std::env::var_os("CI").is_none(), "there is no python3 here: apt-get install python3");
        eprintln!("SKIPPED: there is no python3 here");
        return Ok(None);
    }
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(fs::read(folder.join("image.tar"))?))
}

/// A folder with what goes into an image, written `age` ago.
fn inputs(age: Duration) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    // Any program with shared libraries.
    fs::copy("/bin/sh", folder.path().join("program"))?;
    fs::write(folder.path().join("file"), "content")?;
    #[expect(clippy::disallowed_methods, reason = "a file's time, which must not matter")]
    let written = SystemTime::now() - age;
    for name in ["program", "file"] {
        File::options().append(true).open(folder.path().join(name))?.set_modified(written)?;
    }
    Ok(folder)
}

#[test]
fn the_same_inputs_give_the_same_bytes() -> Result<()> {
    let day = Duration::from_hours(24);
    let (new, old) = (inputs(Duration::ZERO)?, inputs(day)?);
    let (Some(first), Some(second)) = (image(new.path(), "022")?, image(old.path(), "077")?) else {
        return Ok(());
    };
    assert!(first == second, "times, places or the umask of the inputs are in the image");
    fs::write(old.path().join("file"), "Content")?;
    assert!(
        image(old.path(), "022")?.is_some_and(|other| other != first),
        "a byte of an input is not in the image"
    );
    Ok(())
}

#[test]
fn an_image_says_what_it_is_in_both_forms() -> Result<()> {
    let inputs = inputs(Duration::ZERO)?;
    let Some(_) = image(inputs.path(), "022")? else { return Ok(()) };
    let unpacked = inputs.path().join("unpacked");
    fs::create_dir(&unpacked)?;
    let status = Command::new("tar")
        .arg("-xf")
        .arg(inputs.path().join("image.tar"))
        .arg("-C")
        .arg(&unpacked)
        .status()?;
    ensure!(status.success(), "tar cannot read it");
    let read = |path: &str| -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(unpacked.join(path))?)?)
    };
    let blob = |digest: &serde_json::Value| {
        format!("blobs/sha256/{}", digest.as_str().unwrap_or_default().trim_start_matches("sha256:"))
    };
    let (docker, index) = (read("manifest.json")?, read("index.json")?);
    let manifest = read(&blob(&index["manifests"][0]["digest"]))?;
    let config = blob(&manifest["config"]["digest"]);
    assert_eq!(docker[0]["Config"], config);
    assert_eq!(docker[0]["RepoTags"][0], "headroom/it:1");
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/headroom/it:1");
    let config = read(&config)?;
    assert_eq!(config["config"]["User"], "65532:65532", "an image that says nothing else is not root's");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.title"], "it");
    assert_eq!(config["created"], "2027-01-15T08:00:00Z");
    for (layer, of_docker) in manifest["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(docker[0]["Layers"].as_array().into_iter().flatten())
    {
        assert_eq!(*of_docker, blob(&layer["digest"]));
        assert!(unpacked.join(blob(&layer["digest"])).exists());
    }
    Ok(())
}
