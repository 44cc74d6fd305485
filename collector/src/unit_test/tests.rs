//! How unit tests run, fail and are refused.

use settings::Syntax;

use super::*;
use crate::config::Purpose;

fn load(text: &str) -> Result<Config, String> {
    let config = Config::parse("c.yaml", text, Syntax::Yaml, Purpose::Test, &|_| None);
    config.map_err(|problems| problems.to_string())
}

const TRANSFORMS: &str = r"
transforms:
  parse: {type: remap, inputs: [], drop_on_error: true, source: '. = parse_json!(string!(.message))'}
  errors: {type: filter, inputs: [parse], condition: '.level == 50'}
  judge: {type: sli, inputs: []}
tests:
";

#[track_caller]
fn check(tests: &str, want: &str) {
    let config = load(&format!("{TRANSFORMS}{tests}")).unwrap_or_else(|problems| panic!("{problems}"));
    let outcomes: Vec<String> = run(&config).iter().map(ToString::to_string).collect();
    assert_eq!(outcomes.join("\n"), want.trim());
}

#[track_caller]
fn check_refused(tests: &str, want: &[&str]) {
    assert_eq!(load(&format!("{TRANSFORMS}{tests}")).unwrap_err(), want.join("\n"));
}

#[test]
fn an_event_runs_through_all_transforms_behind_the_one_it_is_inserted_at() {
    check(
        r#"
- name: an error passes
  inputs:
    - {insert_at: parse, type: raw, value: '{"level": 50, "n": 1}'}
    - {insert_at: parse, value: '{"level": 30, "n": 2}'}
  outputs:
    - extract_from: parse
      conditions:
        - {type: vrl, source: 'assert_eq!(.n, 1)'}
        - .n == 2
    - extract_from: [errors]
      conditions:
        - {type: vrl, source: '.n == 1'}
- name: what is no error does not
  inputs: [{insert_at: errors, type: log, log_fields: {level: 30}}]
  no_outputs_from: [errors, parse]
"#,
        "PASS an error passes\nPASS what is no error does not",
    );
}

#[test]
fn events_are_lines_fields_or_what_a_program_makes() {
    check(
        r#"
- name: fields
  inputs: [{insert_at: errors, type: log, log_fields: {level: 50, a.b: [1.5, true, null], c: {d: x}}}]
  outputs: [{extract_from: errors, conditions: ['.a.b == [1.5, true, null] && .c.d == "x"']}]
- name: program
  inputs: [{insert_at: errors, type: vrl, source: '. = [{"level": 50}, {"level": 51}]'}]
  outputs: [{extract_from: errors, conditions: [.level == 50]}]
- name: judged
  inputs: [{insert_at: judge, type: raw, value: '1.2.3.4 - - [02/Jan/2026:03:04:05 +0000] "GET / HTTP/1.1" 500 1 "-" "-"'}]
  outputs: [{extract_from: judge, conditions: ['.sli.result == "request" && .sli.availability.bad == 1']}]
"#,
        "PASS fields\nPASS program\nPASS judged",
    );
}

#[test]
fn failures_say_which_condition_and_show_the_events() {
    check(
        r#"
- name: wrong
  inputs: [{insert_at: errors, type: log, log_fields: {level: 50}}]
  outputs:
    - extract_from: errors
      conditions:
        - .level == 51
        - assert_eq!(.level, 52, "not so bad")
- name: nothing
  inputs: [{insert_at: parse, value: no json}]
  outputs: [{extract_from: errors}]
- name: something
  inputs: [{insert_at: parse, value: '{"a": 1}'}]
  no_outputs_from: [parse]
"#,
        r#"
FAIL wrong
  errors: the condition at c.yaml:13 does not hold:
    false for {"level":50}
  errors: the condition at c.yaml:14 does not hold:
    function call error for "assert_eq" at (0:36): not so bad for {"level":50}
FAIL nothing
  errors: no event came out
FAIL something
  parse: expected no event, but one came out: {"a":1}
"#,
    );
}

#[test]
fn mistakes_in_tests_are_told_with_their_line() {
    check_refused(
        "
- inputs:
    - {insert_at: pars, type: raw, value: x}
    - {insert_at: parse, type: metric}
    - {insert_at: parse, type: vrl, source: '. = nope()'}
  outputs:
    - extract_from: [errors,
         judg]
      conditions: [nope()]
- name: empty
  input: {}
",
        &[
            "c.yaml:8: tests[0].name: this key is missing; expected text",
            "c.yaml:9: tests[0].inputs[0].insert_at: no transform is named \"pars\"; did you mean parse?; there are: parse, errors, judge",
            "c.yaml:10: tests[0].inputs[1].type: \"metric\" is not one of raw, log, vrl",
            "c.yaml:11: tests[0].inputs[2].source: VRL error E105: call to undefined function; undefined function; did you mean \"now\"?",
            "c.yaml:14: tests[0].outputs[0].extract_from[1]: no transform is named \"judg\"; did you mean judge?; there are: parse, errors, judge",
            "c.yaml:15: tests[0].outputs[0].conditions[0]: VRL error E105: call to undefined function; undefined function; did you mean \"now\"?",
            "c.yaml:16: tests[1].inputs: a test needs at least one input",
            "c.yaml:16: tests[1].outputs: a test needs outputs or no_outputs_from",
            "c.yaml:17: tests[1].input: unknown key; did you mean inputs?; allowed here: name, inputs, outputs, no_outputs_from",
        ],
    );
}
