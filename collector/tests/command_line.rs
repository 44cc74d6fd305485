//! The binary as a user starts it: exit codes, what it prints, how it stops.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn collector(dir: &Path, config: &str) -> Command {
    std::fs::write(dir.join("c.yaml"), config).expect("the configuration is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command.current_dir(dir).env_remove("HEADROOM_LOG").env_remove("RUST_LOG");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str(), text(&output.stderr).as_str()),
        (Some(code), stdout, stderr)
    );
}

#[test]
fn a_refused_configuration_exits_with_78_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        "data_dir: data\nsources: {app: {type: stdin}}\nsinks: {out: {type: console, inputs: [ap]}}\n";
    let want = "c.yaml:3: sinks.out.inputs[0]: no source or transform is named \"ap\"; did you mean app?; there are: app\n";
    for arguments in [["--config", "c.yaml"], ["validate", "c.yaml"]] {
        let output = collector(dir.path(), config).args(arguments).output().unwrap();
        check(&output, 78, "", want);
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn tests_run_from_several_files() {
    let dir = tempfile::tempdir().unwrap();
    let tests = "[[tests]]\nname = 'upper case'\n[[tests.inputs]]\ninsert_at = 'up'\nvalue = 'a'\n\
                 [[tests.outputs]]\nextract_from = 'up'\nconditions = ['.up == \"A\"']\n";
    std::fs::write(dir.path().join("t.toml"), tests).unwrap();
    let config = "transforms: {up: {type: remap, inputs: [], source: '.up = upcase(string!(.message))'}}\n";
    let output = collector(dir.path(), config).args(["test", "c.yaml", "t.toml"]).output().unwrap();
    check(&output, 0, "PASS upper case\n1 passed, 0 failed\n", "");
    std::fs::write(dir.path().join("t.toml"), tests.replace("\"A\"", "\"B\"")).unwrap();
    let output = collector(dir.path(), config).args(["test", "c.yaml", "t.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("FAIL upper case\n"), "{}", text(&output.stdout));
}

#[test]
fn lines_run_through_the_pipeline_until_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let config = "
data_dir: data
sources: {app: {type: stdin}}
transforms:
  some: {type: filter, inputs: [app], condition: '.message != \"b\"'}
  up: {type: remap, inputs: [some], source: '. = {\"up\": upcase(string!(.message))}'}
sinks: {out: {type: console, inputs: [up], batch: {timeout_secs: 0.05}}}
";
    let mut command = collector(dir.path(), config);
    command.args(["--config", "c.yaml"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"a\nb\nc\n").unwrap();
    input.flush().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().take(2).map(Result::unwrap).collect();
    assert_eq!(lines, [r#"{"up":"A"}"#, r#"{"up":"C"}"#]);
    let terminated = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", child.id())).status().unwrap();
    assert!(terminated.success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    drop(input);
}
