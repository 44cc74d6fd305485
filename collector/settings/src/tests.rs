//! What is read from files of both syntaxes, and what is said of their mistakes.

use std::time::Duration;

use crate::{Node, Problems, Syntax, Table, Value};

fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("node-1".to_owned()),
        "PORT" => Some("8080".to_owned()),
        "ON" => Some("true".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        "EMPTY" => Some(String::new()),
        "LINES" => Some("a: 1\nb: 2".to_owned()),
        _ => None,
    }
}

fn yaml(text: &str) -> Result<Node, Problems> {
    crate::parse("c.yaml", text, Syntax::Yaml, &env)
}

fn toml(text: &str) -> Result<Node, Problems> {
    crate::parse("c.toml", text, Syntax::Toml, &env)
}

/// Every value with its place, one a line.
fn places(node: &Node, out: &mut String) {
    match &node.value {
        Value::Map(entries) => entries.iter().for_each(|(_, entry)| places(entry, out)),
        Value::List(items) => items.iter().for_each(|item| places(item, out)),
        value => out.push_str(&format!("{}/{} {} = {value:?}\n", node.line, node.text_line, node.path)),
    }
}

#[track_caller]
fn check_places(tree: Result<Node, Problems>, want: &str) {
    let mut found = String::new();
    places(&tree.unwrap(), &mut found);
    assert_eq!(found, want.trim_start());
}

#[test]
fn every_yaml_value_knows_its_line_and_path() {
    check_places(
        yaml(
            "# top\nsources:\n  app:\n    include:\n      - /a\n      - \"/b\"\n    max: 0x10\n    ratio: 1.5\n    on: true\n    off:\nsource: |\n\n  one\n  two\nlast: >-\n  x\n  y\n",
        ),
        r#"
5/5 sources.app.include[0] = String("/a")
6/6 sources.app.include[1] = String("/b")
7/7 sources.app.max = Int(16)
8/8 sources.app.ratio = Float(1.5)
9/9 sources.app.on = Bool(true)
10/10 sources.app.off = Null
11/12 source = String("\none\ntwo\n")
15/16 last = String("x y")
"#,
    );
}

#[test]
fn every_toml_value_knows_its_line_and_path() {
    check_places(
        toml(
            "# top\nday = 2026-01-02\n[sources.app]\ninclude = [\n  '/a',\n  \"/b\",\n]\nmax = 0x1_0\nratio = 1.5\non = true\nsource = '''\none\ntwo\n'''\n[[tests]]\nname = 'n'\n[[tests]]\nname = 'm'\n",
        ),
        r#"
2/2 day = String("2026-01-02")
5/5 sources.app.include[0] = String("/a")
6/6 sources.app.include[1] = String("/b")
8/8 sources.app.max = Int(16)
9/9 sources.app.ratio = Float(1.5)
10/10 sources.app.on = Bool(true)
11/12 sources.app.source = String("one\ntwo\n")
16/16 tests[0].name = String("n")
18/18 tests[1].name = String("m")
"#,
    );
}

#[test]
fn both_syntaxes_give_the_same_tree() {
    let from_yaml = yaml("a: {b: [1, -2.5, 'x'], c: false}\nd: |\n  l1\n  l2\n").unwrap();
    let from_toml = toml("d = '''\nl1\nl2\n'''\n[a]\nb = [1, -2.5, 'x']\nc = false\n").unwrap();
    assert_eq!(from_yaml.get("a"), from_toml.get("a"));
    assert_eq!(from_yaml.get("d"), from_toml.get("d"));
}

#[test]
fn an_alias_copies_a_value_under_its_own_path() {
    check_places(
        yaml("a: &x {k: 1}\nb: *x\n"),
        r"
1/1 a.k = Int(1)
1/1 b.k = Int(1)
",
    );
}

#[track_caller]
fn check_text(text: &str, want: &str) {
    let tree = yaml(&format!("k: '{text}'")).unwrap();
    assert_eq!(tree.get("k").and_then(Node::as_str), Some(want), "{text}");
}

#[test]
fn variables_are_replaced_as_vector_has_it() {
    check_text("${HOST}", "node-1");
    check_text("a-$HOST/b", "a-node-1/b");
    check_text("${HOST}:${PORT}", "node-1:8080");
    check_text("${NONE:-other}", "other");
    check_text("${EMPTY:-other}", "other");
    check_text("${EMPTY-other}", "");
    check_text("${NONE-}", "");
    check_text("${HOST:?must be set}", "node-1");
    check_text("${EMPTY?must be set}", "");
    check_text("$${HOST} $$HOST $$", "${HOST} $HOST $");
    check_text("5 $ and ^a$", "5 $ and ^a$");
    check_text("${HOST", "${HOST");
    check_text("${LINES}", "a: 1\nb: 2");
}

#[track_caller]
fn check_refused(result: Result<Node, Problems>, want: &str) {
    assert_eq!(result.unwrap_err().to_string(), want);
}

#[test]
fn mistakes_of_spelling_name_file_and_line() {
    check_refused(yaml(""), "c.yaml:1: the configuration is empty");
    check_refused(
        yaml("a: 1\nb: 2\na: 3\nc:\n  d: 1\n  d: 2\n"),
        "c.yaml:3: a: this key stands twice; the first is on line 1\n\
         c.yaml:6: c.d: this key stands twice; the first is on line 5",
    );
    check_refused(toml("a = 1\nb = 2\na = 3\n"), "c.toml:3: duplicate key");
    check_refused(
        toml("a = 99999999999999999999\n"),
        "c.toml:1: a: the number 99999999999999999999 is too large",
    );
    check_refused(yaml("a: 1\n---\nb: 2\n"), "c.yaml:3: a second document; one file holds one configuration");
    check_refused(yaml("? [a]\n: 1\n"), "c.yaml:1: a key must be plain text");
    check_refused(yaml("a: &x [*x]\n"), "c.yaml:1: an alias to a value that holds it");
    check_refused(yaml(&"[".repeat(100)), "c.yaml:1: maps and lists stand in each other too deeply");
}

#[test]
fn a_file_that_is_not_text_is_refused_at_its_line() {
    for (syntax, text) in
        [(Syntax::Yaml, "a: [1\nb: 2"), (Syntax::Toml, "a = 1\n= 2"), (Syntax::Yaml, "\0\u{1}")]
    {
        let problems = crate::parse("c", text, syntax, &env).unwrap_err().into_vec();
        assert!(!problems.is_empty() && problems.iter().all(|problem| problem.line > 0), "{problems:?}");
    }
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let problems = yaml(&text).unwrap_err().to_string();
    assert!(problems.contains("aliases copy too many values"), "{problems}");
}

#[test]
fn every_missing_variable_is_told_with_its_line() {
    check_refused(
        yaml("a: ${NONE}\nb:\n  - ${EMPTY:?give a host}\n  - $1\n"),
        "c.yaml:1: a: environment variable NONE is not set; set it, give a default with ${NONE:-…}, or write $$ for a dollar sign\n\
         c.yaml:3: b[0]: environment variable EMPTY is not set: give a host\n\
         c.yaml:4: b[1]: environment variable 1 is not set; set it, give a default with ${1:-…}, or write $$ for a dollar sign",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let problems = crate::load(std::path::Path::new("/none/c.yaml"), &env).unwrap_err().to_string();
    assert!(problems.starts_with("/none/c.yaml: cannot read the configuration file: "), "{problems}");
}

/// Reads `text` with `reader`; returns what it gave and what was said.
fn with_table<T>(text: &str, reader: impl FnOnce(&mut Table<'_>) -> T) -> (T, String) {
    let problems = Problems::default();
    let root = crate::parse_with("c.yaml", text, Syntax::Yaml, &env, &problems).unwrap();
    let mut table = Table::new(&root, &problems);
    let value = reader(&mut table);
    table.finish();
    (value, problems.to_string())
}

#[track_caller]
fn check_value<T: PartialEq + std::fmt::Debug>(text: &str, reader: fn(&mut Table<'_>) -> T, want: T) {
    assert_eq!(with_table(text, reader), (want, String::new()), "{text}");
}

#[track_caller]
fn check_problem<T>(text: &str, reader: fn(&mut Table<'_>) -> T, want: &str) {
    assert_eq!(with_table(text, reader).1, want, "{text}");
}

#[test]
fn a_table_gives_what_is_written() {
    check_value("k: x", |t| t.string("k"), Some("x".to_owned()));
    check_value("{}", |t| t.string_or("k", "d"), "d".to_owned());
    check_value("k: [a, b]", |t| t.strings("k"), vec!["a".to_owned(), "b".to_owned()]);
    check_value("k: a", |t| t.required_strings("k"), vec!["a".to_owned()]);
    check_value("k: true", |t| t.bool_or("k", false), true);
    check_value("k: ${ON}", |t| t.bool_or("k", false), true);
    check_value("k: 7", |t| t.u64("k"), Some(7));
    check_value("k: \"${PORT}\"", |t| t.u64_or("k", 1), 8080);
    check_value("k: ${NONE:-80}", |t| t.u64_or("k", 1), 80);
    check_value("k: b", |t| t.one_of("k", &["a", "b"], None), Some("b"));
    check_value("{}", |t| t.one_of("k", &["a", "b"], Some("a")), Some("a"));
    check_value("k: {a: 1}", |t| t.table("k").map(|mut t| t.u64_or("a", 0)), Some(1));
}

#[test]
fn durations_are_seconds_or_have_a_unit() {
    let read = |t: &mut Table<'_>| t.duration_or("k", Duration::ZERO).as_millis();
    check_value("k: 5", read, 5_000);
    check_value("k: 0.25", read, 250);
    check_value("k: 500ms", read, 500);
    check_value("k: 5s", read, 5_000);
    check_value("k: 10m", read, 600_000);
    check_value("k: 1h", read, 3_600_000);
    check_value("k: 30d", read, 2_592_000_000);
    check_problem(
        "k: soon",
        read,
        "c.yaml:1: k: expected a number of seconds, or text as \"500ms\", \"5s\", \"10m\", \"1h\", \"30d\", found the text \"soon\"",
    );
    check_problem(
        "k: -1",
        read,
        "c.yaml:1: k: expected a number of seconds, or text as \"500ms\", \"5s\", \"10m\", \"1h\", \"30d\", found the number -1",
    );
}

#[test]
fn wrong_types_say_what_is_wanted_and_what_was_found() {
    check_problem(
        "k: 5",
        |t| t.string("k"),
        "c.yaml:1: k: expected text, found the number 5; put it in quotes",
    );
    check_problem("k:", |t| t.string("k"), "c.yaml:1: k: expected text, found nothing");
    check_problem("k: ''", |t| t.required_string("k"), "c.yaml:1: k: expected text, found empty text");
    check_problem("{}", |t| t.required_string("k"), "c.yaml:1: k: this key is missing; expected text");
    check_problem("k: {}", |t| t.strings("k"), "c.yaml:1: k: expected a list of texts, found a table");
    check_problem("k: [a, []]", |t| t.strings("k"), "c.yaml:1: k[1]: expected text, found a list");
    check_problem(
        "k: []",
        |t| t.required_strings("k"),
        "c.yaml:1: k: expected at least one text, found an empty list",
    );
    check_problem(
        "k: 'true'",
        |t| t.bool_or("k", false),
        "c.yaml:1: k: expected true or false, found the text \"true\"",
    );
    check_problem(
        "k: -1",
        |t| t.u64("k"),
        "c.yaml:1: k: expected a whole number of 0 or more, found the number -1",
    );
    check_problem(
        "k: x",
        |t| t.table("k").map(Table::finish),
        "c.yaml:1: k: expected a table, found the text \"x\"",
    );
    check_problem("k: x", |t| t.list("k").len(), "c.yaml:1: k: expected a list, found the text \"x\"");
    check_problem(
        "k: ednd",
        |t| t.one_of("k", &["beginning", "end"], None),
        "c.yaml:1: k: \"ednd\" is not one of beginning, end; did you mean end?",
    );
}

#[test]
fn unknown_keys_name_the_allowed_ones() {
    check_problem(
        "\ninculde: x\nzzz: y\n",
        |t| (t.strings("include"), t.string("read_from")),
        "c.yaml:2: inculde: unknown key; did you mean include?; allowed here: include, read_from\n\
         c.yaml:3: zzz: unknown key; allowed here: include, read_from",
    );
}

#[test]
fn a_missing_variable_is_told_once() {
    check_problem(
        "k: ${NONE:?no port}",
        |t| (t.u64("k"), t.one_of("k", &["a"], None), t.required_string("k"), t.secret("k")),
        "c.yaml:1: k: environment variable NONE is not set: no port",
    );
}

#[test]
fn credentials_come_from_variables_or_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from file\n").unwrap();
    let read = |t: &mut Table<'_>| t.secret("token");
    check_value("token: ${TOKEN}", read, Some("s3cret".to_owned()));
    check_value(&format!("token_file: {}", file.path().display()), read, Some("from file".to_owned()));
    check_value("{}", read, None);
    let plain =
        "c.yaml:1: token: a credential in plain text; write ${VARIABLE} here, or name a file in token_file";
    check_problem("token: s3cret", read, plain);
    check_problem("token: ${NONE:-s3cret}", read, plain);
    check_problem(
        "token: ${EMPTY}",
        read,
        "c.yaml:1: token: expected a credential, found a variable that is empty",
    );
    check_problem(
        "token: ${TOKEN}\ntoken_file: /x",
        read,
        "c.yaml:1: token: token and token_file are both set; keep one",
    );
    assert!(
        with_table("token_file: /none/x", read)
            .1
            .starts_with("c.yaml:1: token_file: cannot read the file /none/x: ")
    );
}

#[test]
fn no_message_shows_the_value_of_a_variable() {
    check_problem(
        "k: ${TOKEN}",
        |t| t.u64("k"),
        "c.yaml:1: k: expected a whole number of 0 or more, found the text of a variable",
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a:{}\\[\\],&*#|>?!%@$'\"=.0x~\\\\ \t\r\nä\u{0}]{0,60}") {
        for syntax in [Syntax::Yaml, Syntax::Toml] {
            if let Ok(root) = crate::parse("c", &text, syntax, &env) {
                let problems = Problems::default();
                let mut table = Table::new(&root, &problems);
                table.strings("a");
                table.secret("a");
                table.duration_or("a", Duration::ZERO);
                table.finish();
            }
        }
    }
}
