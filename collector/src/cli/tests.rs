//! What the commands say, and their exit codes.

use clap::CommandFactory;

use super::*;

const GOOD: &str = "
sources: {app: {type: stdin}}
transforms: {idle: {type: filter, inputs: [app], condition: '.message == \"a\"'}}
sinks: {out: {type: blackhole, inputs: [app]}}
tests:
  - name: a passes
    inputs: [{insert_at: idle, value: a}]
    outputs: [{extract_from: idle}]
";

fn with_file(text: &str, command: fn(&[PathBuf]) -> Answer) -> (Answer, String) {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    (command(&[file.path().to_owned()]), file.path().display().to_string())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
    assert!(Cli::try_parse_from(["collector"]).is_err());
    let run = Cli::try_parse_from(["collector", "--config", "a.yaml", "-c", "b.toml"]).unwrap();
    assert_eq!(run.config, ["a.yaml", "b.toml"].map(PathBuf::from));
    assert!(Cli::try_parse_from(["collector", "validate"]).is_err());
    let validate = Cli::try_parse_from(["collector", "validate", "a.yaml", "b.toml"]).unwrap();
    assert!(matches!(validate.command, Some(Command::Validate { config }) if config.len() == 2));
}

#[test]
fn validate_shows_who_reads_from_whom() {
    let (answer, file) = with_file(GOOD, validate);
    assert_eq!(
        answer.stdout,
        "ok\nsource app (stdin)\ntransform idle (filter) <- app\nsink out (blackhole) <- app\n"
    );
    assert_eq!(
        answer.stderr,
        format!("warning: {file}:3: transforms.idle: nothing reads from this component\n")
    );
    assert_eq!(answer.code, 0);
}

#[test]
fn a_refused_configuration_ends_with_78_and_every_problem() {
    for command in [validate, test] {
        let (answer, file) =
            with_file("sources: {app: {type: stdin}}\nsinks: {out: {type: none}}\nx: 1\n", command);
        assert_eq!(answer.code, EXIT_CONFIG);
        assert!(answer.stdout.is_empty());
        assert!(answer.stderr.contains(&format!("{file}:2: sinks.out.type: ")), "{}", answer.stderr);
        assert!(answer.stderr.contains(&format!("{file}:3: x: unknown key")), "{}", answer.stderr);
    }
    let none = validate(&[PathBuf::from("/none.yaml")]);
    assert_eq!(none.code, EXIT_CONFIG);
    assert!(none.stderr.starts_with("/none.yaml: cannot read the configuration file: "), "{}", none.stderr);
}

#[test]
fn test_says_what_passed_and_fails_when_one_does() {
    let (answer, _) = with_file(GOOD, test);
    assert_eq!((answer.stdout.as_str(), answer.code), ("PASS a passes\n1 passed, 0 failed\n", 0));
    let (answer, _) = with_file(&GOOD.replace("value: a", "value: b"), test);
    assert_eq!(answer.code, 1);
    assert_eq!(answer.stdout, "FAIL a passes\n  idle: no event came out\n0 passed, 1 failed\n");
}
