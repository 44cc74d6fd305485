//! What is not logs, or cannot be read, is counted and told; it never ends the program, and the books balance.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use tests::logs::gzip;

use crate::engine;

/// Requests in the file that lies beside each bad one.
const GOOD: u64 = 10;

fn good_lines(count: u64) -> String {
    let line = |second| {
        format!(
            "192.0.2.7 - - [23/Nov/2026:19:{:02}:{:02} +0000] \"GET / HTTP/1.1\" 200 12 \"-\" \"Mozilla/5.0\" 120 \
             0.010 [shop-web-80] [] 10.0.0.1:80 12 0.010 200 0123456789abcdef0123456789abcdef\n",
            second / 60 % 60,
            second % 60
        )
    };
    (0..count).map(line).collect()
}

/// What `up` counts in, and says of, a folder with a good file and what `make` puts beside it.
async fn read_beside_good(make: impl FnOnce(&Path) -> Result<()>) -> Result<(Value, String)> {
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    fs::create_dir(&logs)?;
    fs::write(logs.join("good.log"), good_lines(GOOD))?;
    make(&logs)?;
    let ended = engine().up(&dir.path().join("data"), &[logs]).await?;
    assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let told = ended.stderr.clone();
    let input = ended.json()?["input"].clone();
    let count = |name: &str| input[name].as_u64().unwrap();
    assert_eq!(count("lines"), count("requests") + count("ignored") + count("dead_lettered"), "{input}");
    Ok((input, told))
}

#[track_caller]
fn check(read: (Value, String), requests: u64, ignored: u64, dead_lettered: u64, told: &[&str]) {
    let (input, stderr) = read;
    let counts = ["requests", "ignored", "dead_lettered"].map(|name| input[name].as_u64().unwrap());
    assert_eq!(counts, [GOOD + requests, ignored, dead_lettered], "{stderr}");
    for part in told {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
}

async fn read_file(name: &str, content: &[u8]) -> Result<(Value, String)> {
    read_beside_good(|logs| Ok(fs::write(logs.join(name), content)?)).await
}

#[tokio::test]
async fn a_program_is_no_log() -> Result<()> {
    let program = fs::read("/bin/sh")?;
    assert!(program.starts_with(b"\x7fELF"));
    let (input, told) = read_file("sh", &program).await?;
    let count = |name: &str| input[name].as_u64().unwrap();
    assert_eq!(count("requests"), GOOD, "{told}");
    assert!(count("ignored") > 10, "{input}");
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_text_are_ignored_and_requests_among_them_count() -> Result<()> {
    let mut content = b"\xff\xfe\x00\n\xc3\x28 hello\n\xed\xa0\x80\n".to_vec();
    content.extend(good_lines(1).replace("Mozilla", "M\u{fc}zilla").into_bytes());
    let broken = good_lines(2).into_bytes();
    let second = broken.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let agent = broken[second..].windows(7).position(|window| window == b"Mozilla").unwrap();
    content.extend(&broken[second..second + agent]);
    content.extend(b"\xff\xfe");
    content.extend(&broken[second + agent..]);
    check(read_file("bytes.log", &content).await?, 2, 3, 0, &[]);
    Ok(())
}

#[tokio::test]
async fn an_empty_file_is_nothing() -> Result<()> {
    check(read_file("empty.log", b"").await?, 0, 0, 0, &[]);
    check(read_file("empty.log.gz", b"").await?, 0, 0, 0, &[]);
    Ok(())
}

#[tokio::test]
async fn a_half_written_gzip_gives_what_can_be_read_and_is_told() -> Result<()> {
    let packed = gzip(good_lines(5000).as_bytes())?;
    let (input, told) = read_file("cut.log.gz", &packed[..packed.len() / 2]).await?;
    let requests = input["requests"].as_u64().unwrap() - GOOD;
    assert!((1000..5000).contains(&requests), "{input}");
    assert!(told.contains("cut.log.gz") && told.contains("breaks off"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_line_of_twenty_megabytes_is_a_dead_letter() -> Result<()> {
    let mut content = good_lines(1).into_bytes();
    content.extend(vec![b'x'; 20 << 20]);
    content.push(b'\n');
    content.extend(good_lines(2).into_bytes());
    check(read_file("long.log", &content).await?, 3, 0, 1, &["long.log", "dead"]);
    Ok(())
}

#[tokio::test]
async fn what_is_no_file_is_told_and_passed() -> Result<()> {
    let read = read_beside_good(|logs| {
        let mode = rustix::fs::Mode::from(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, logs.join("pipe.log"), rustix::fs::FileType::Fifo, mode, 0)?;
        symlink("/there/is/nothing", logs.join("dangling.log"))?;
        symlink("loop.log", logs.join("loop.log"))?;
        symlink("/dev/zero", logs.join("zero.log"))?;
        Ok(())
    });
    check(read.await?, 0, 0, 0, &["pipe.log", "zero.log", "not a regular file", "loop.log"]);
    Ok(())
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_told_and_passed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root may read every file, so nothing is proven about those it may not");
        return Ok(());
    }
    let secret = dir.path().join("secret.log");
    fs::write(&secret, good_lines(1))?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000))?;
    let read = read_beside_good(|logs| Ok(fs::rename(&secret, logs.join("secret.log"))?));
    check(read.await?, 0, 0, 0, &["secret.log", "denied"]);
    Ok(())
}

#[tokio::test]
async fn a_configuration_is_proven_without_starting_anything() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (config, data) = (dir.path().join("engine.yaml"), dir.path().join("data"));
    let validate = ["validate".as_ref(), "--config".as_ref(), config.as_os_str()];
    let as_json = [&validate[..], &["--output".as_ref(), "json".as_ref()]].concat();
    fs::write(&config, format!("data_dir: {}\nlisten: 127.0.0.1:1\n", data.display()))?;
    let ended = engine().run(&validate).await?;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(ended.stdout, format!("{} is valid\n", config.display()));
    let told: Value = serde_json::from_str(&engine().run(&as_json).await?.stdout)?;
    assert_eq!(told["valid"], true);
    fs::write(&config, "listen: nowhere\nservices:\n  - a/b/c\ncolour: red\n")?;
    let ended = engine().run(&validate).await?;
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(78), ""));
    for line in ["engine.yaml:1: listen", "engine.yaml:3: services[0]", "engine.yaml:4: colour", "data_dir"] {
        assert!(ended.stderr.contains(line), "{line:?} is not in: {}", ended.stderr);
    }
    let ended = engine().run(&as_json).await?;
    assert_eq!(ended.status.code(), Some(78));
    let told: Value = serde_json::from_str(&ended.stdout)?;
    let lines = told["problems"].as_array().unwrap().iter().map(|problem| problem["line"].as_u64().unwrap());
    assert_eq!(lines.collect::<Vec<_>>(), [1, 1, 3, 4]);
    assert!(!data.exists());
    Ok(())
}

#[tokio::test]
async fn every_mistake_of_a_configuration_is_told_and_nothing_is_started() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (config, data) = (dir.path().join("engine.yaml"), dir.path().join("data"));
    let text =
        format!("listen: nowhere\ndata_dir: {}\ncolour: red\ncounts:\n  token: plain\n", data.display());
    fs::write(&config, text)?;
    let arguments = ["serve".as_ref(), "--config".as_ref(), config.as_os_str()];
    let ended = engine().run(&arguments).await?;
    assert_eq!(ended.status.code(), Some(78));
    assert_eq!(ended.stdout, "");
    for line in ["engine.yaml:1: listen", "engine.yaml:3: colour", "engine.yaml:5: counts.token"] {
        assert!(ended.stderr.contains(line), "{line:?} is not in: {}", ended.stderr);
    }
    assert!(!data.exists());
    Ok(())
}
