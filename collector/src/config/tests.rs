//! What is proven, and what is said of what is not.

use super::*;
use crate::sink::WhenFull;

fn env(name: &str) -> Option<String> {
    (name == "DIR").then(|| "/var/log".to_owned())
}

fn yaml(text: &str) -> Result<Config, Problems> {
    Config::parse("c.yaml", text, Syntax::Yaml, Purpose::Run, &env)
}

#[track_caller]
fn check_refused(text: &str, want: &[&str]) {
    assert_eq!(yaml(text).unwrap_err().to_string(), want.join("\n"), "{text}");
}

#[track_caller]
fn check_graph(text: &str, want: &str) {
    let config = yaml(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.describe(), want.trim_start(), "{text}");
}

/// One source and one sink; tests put their parts between.
const SOURCE: &str = "sources: {app: {type: file, include: ['${DIR}/*.log']}}\n";
const SINK: &str = "sinks: {out: {type: blackhole, inputs: [app]}}\n";

#[test]
fn a_configuration_is_sources_transforms_and_sinks() {
    let config = yaml(&format!("data_dir: /data\n{SOURCE}{SINK}")).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/data"));
    assert_eq!(config.describe(), "source app (file)\nsink out (blackhole) <- app\n");
    assert!(config.warnings.is_empty() && config.tests.is_empty());
    assert_eq!(yaml(&format!("{SOURCE}{SINK}")).unwrap().data_dir, PathBuf::from(DEFAULT_DATA_DIR));
}

#[test]
fn transforms_stand_after_their_inputs_and_patterns_are_written_out() {
    check_graph(
        &format!(
            "{SOURCE}transforms:\n  log_c: {{type: remap, inputs: [log_b], source: .c = 1}}\n  log_b: {{type: remap, inputs: log_a, source: .b = 1}}\n  log_a: {{type: filter, inputs: [app], condition: 'true'}}\nsinks:\n  all: {{type: blackhole, inputs: ['*']}}\n  logs: {{type: blackhole, inputs: ['log_*', log_a]}}\n  some: {{type: blackhole, inputs: ['*_a', 'l*_*c']}}\n"
        ),
        "
source app (file)
transform log_a (filter) <- app
transform log_b (remap) <- log_a
transform log_c (remap) <- log_b
sink all (blackhole) <- app, log_c, log_b, log_a
sink logs (blackhole) <- log_c, log_b, log_a
sink some (blackhole) <- log_a, log_c
",
    );
}

#[test]
fn both_syntaxes_prove_to_the_same_configuration() {
    let from_yaml = yaml(
        "data_dir: /d\nsources:\n  app: {type: file, include: [/a, /b]}\ntransforms:\n  judge: {type: sli, inputs: [app], threshold_ms: 250}\nsinks:\n  out: {type: blackhole, inputs: [judge]}\n",
    )
    .unwrap();
    let toml = "data_dir = '/d'\n[sources.app]\ntype = 'file'\ninclude = ['/a', '/b']\n[transforms.judge]\ntype = 'sli'\ninputs = ['app']\nthreshold_ms = 250\n[sinks.out]\ntype = 'blackhole'\ninputs = ['judge']\n";
    let from_toml = Config::parse("c.toml", toml, Syntax::Toml, Purpose::Run, &env).unwrap();
    assert_eq!(format!("{from_yaml:?}"), format!("{from_toml:?}"));
}

#[test]
fn several_files_are_one_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let source = file("a.yaml", "data_dir: /d\nsources: {app: {type: file, include: [/a]}}\n");
    let sink = file("b.toml", "data_dir = '/d'\n[sinks.out]\ntype = 'blackhole'\ninputs = ['app']\n");
    let both = Config::load(&[source.clone(), sink], Purpose::Run, &env).unwrap();
    assert_eq!(both.describe(), "source app (file)\nsink out (blackhole) <- app\n");

    let other = file("c.yaml", "data_dir: /e\nsinks: {app: {type: blackhole, inputs: [app]}}\n");
    let problems = Config::load(&[source.clone(), other.clone()], Purpose::Run, &env).unwrap_err();
    let (source, other) = (source.display(), other.display());
    assert_eq!(
        problems.to_string(),
        format!(
            "{other}:1: data_dir: another directory than the one in {source}:1\n\
             {other}:2: sinks.app: a second component with this name; the first is sources.app in {source}:2"
        )
    );
}

#[test]
fn all_mistakes_are_told_at_once_sorted_by_line() {
    check_refused(
        "datadir: /x
sources:
  app:
    type: file
    inculde: [/a]
    include: ['${NONE:?where are the logs?}']
  app:
    type: stdin
transforms:
  change:
    type: remap
    inputs: [ap]
    drop_on_error: 1
    source: |
      .a = 1
      .b = nope(2)
sinks:
  out:
    type: blakhole
    inputs: change
",
        &[
            "c.yaml:1: datadir: unknown key; did you mean data_dir?; allowed here: data_dir, api, sources, transforms, sinks, tests",
            "c.yaml:5: sources.app.inculde: unknown key; did you mean include?; allowed here: type, include, exclude, read_from, max_line_bytes, glob_minimum_cooldown_ms",
            "c.yaml:6: sources.app.include[0]: environment variable NONE is not set: where are the logs?",
            "c.yaml:7: sources.app: this key stands twice; the first is on line 3",
            "c.yaml:12: transforms.change.inputs[0]: no source or transform is named \"ap\"; did you mean app?; there are: app, change",
            "c.yaml:13: transforms.change.drop_on_error: expected true or false, found the number 1",
            "c.yaml:16: transforms.change.source: VRL error E105: call to undefined function; undefined function; did you mean \"now\"?",
            "c.yaml:19: sinks.out.type: \"blakhole\" is not one of archive, aws_s3, blackhole, console, elasticsearch, file, slo_engine; did you mean blackhole?",
        ],
    );
}

#[test]
fn what_does_not_hang_together_is_refused() {
    check_refused(
        "data_dir: /d\n",
        &[
            "c.yaml:1: there is no sink; add one below sinks",
            "c.yaml:1: there is no source; add one below sources",
        ],
    );
    check_refused(
        &format!("{SOURCE}sinks:\n  out: {{type: blackhole}}\n"),
        &["c.yaml:3: sinks.out: there are no inputs; name some of app"],
    );
    check_refused(
        &format!("{SOURCE}sinks:\n  out:\n    type: blackhole\n    inputs: []\n"),
        &["c.yaml:5: sinks.out.inputs: there are no inputs; name some of app"],
    );
    check_refused(
        &format!("{SOURCE}sinks:\n  out: {{type: blackhole, inputs: ['web*']}}\n"),
        &["c.yaml:3: sinks.out.inputs[0]: no source or transform matches \"web*\"; there are: app"],
    );
    check_refused(
        &format!("{SOURCE}sinks:\n  out: {{type: blackhole, inputs: [app, out]}}\n"),
        &["c.yaml:3: sinks.out.inputs[1]: no source or transform is named \"out\"; there are: app"],
    );
    check_refused(
        &format!("{SOURCE}sinks:\n  app: {{type: blackhole, inputs: [app]}}\n"),
        &["c.yaml:3: sinks.app: a second component with this name; the first is sources.app in c.yaml:1"],
    );
    check_refused(
        &format!("{SOURCE}{SINK}transforms:\n  a.b: {{type: filter, inputs: [app], condition: 'true'}}\n"),
        &["c.yaml:4: transforms.a.b: \"a.b\" cannot name a component; use letters, digits, _ and -"],
    );
    check_refused(
        &format!("{SOURCE}{SINK}transforms: []\n"),
        &["c.yaml:3: transforms: expected a table, found a list"],
    );
}

#[test]
fn circles_are_refused() {
    let filter = |name: &str, input: &str| {
        format!("  {name}: {{type: filter, inputs: [{input}], condition: 'true'}}\n")
    };
    let parts = filter("a", "c")
        + &filter("b", "a")
        + &filter("c", "b")
        + &filter("after", "b")
        + &filter("own", "own");
    check_refused(
        &format!("{SOURCE}{SINK}transforms:\n{parts}"),
        &[
            "c.yaml:4: transforms.a: these transforms feed each other in a circle: a -> b -> c -> a",
            "c.yaml:8: transforms.own: these transforms feed each other in a circle: own -> own",
        ],
    );
}

#[test]
fn what_nothing_reads_from_is_a_warning() {
    let config = yaml(&format!(
        "{SOURCE}transforms:\n  idle: {{type: remap, inputs: [app], source: '.a == 1'}}\n{SINK}"
    ))
    .unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["c.yaml:3: transforms.idle: nothing reads from this component",]);
}

#[test]
fn tests_need_neither_sources_nor_sinks() {
    let text = "transforms:\n  a: {type: filter, inputs: [], condition: 'true'}\n";
    assert!(Config::parse("c.yaml", text, Syntax::Yaml, Purpose::Test, &env).is_ok());
    assert!(yaml(text).is_err());
}

#[test]
fn the_configuration_in_the_readme_is_proven_and_its_tests_pass() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## Configuration").unwrap();
    let (_, text) = section.split_once("```yaml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let secrets =
        ["HEADROOM_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ES_PASSWORD", "NODE_NAME"];
    let env = |name: &str| secrets.contains(&name).then(|| "t0ken".to_owned());
    let config = Config::parse("README.md", text, Syntax::Yaml, Purpose::Run, &env)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.warnings, []);
    assert_eq!(
        config.describe(),
        "source pods (kubernetes_logs)\n\
         transform errors (filter) <- pods\n\
         transform requests (sli) <- pods\n\
         transform parsed (remap) <- errors\n\
         sink archive (archive) <- pods\n\
         sink bucket (aws_s3) <- pods\n\
         sink search (elasticsearch) <- pods\n\
         sink engine (slo_engine) <- requests\n\
         sink shown (console) <- parsed\n"
    );
    let outcomes = crate::unit_test::run(&config);
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        assert!(outcome.passed(), "{outcome}");
    }
}

#[test]
fn what_is_counted_must_be_judged() {
    let engine = |input: &str| {
        format!(
            "{SOURCE}transforms:\n  judge: {{type: sli, inputs: [app]}}\n  some: {{type: filter, inputs: [judge], condition: 'true'}}\n  lines: {{type: filter, inputs: [app], condition: 'true'}}\nsinks:\n  out: {{type: slo_engine, inputs: [{input}], endpoint: in_process}}\n  all: {{type: blackhole, inputs: ['*']}}\n"
        )
    };
    assert!(yaml(&engine("judge")).is_ok());
    assert!(yaml(&engine("some")).is_ok());
    check_refused(
        &engine("app, lines, judge"),
        &[
            "c.yaml:7: sinks.out.inputs: app gives lines that nobody judged; put an sli transform between",
            "c.yaml:7: sinks.out.inputs: lines gives lines that nobody judged; put an sli transform between",
        ],
    );
}

#[test]
fn a_credential_in_plain_text_is_refused() {
    check_refused(
        &format!(
            "{SOURCE}transforms: {{judge: {{type: sli, inputs: [app]}}}}\nsinks:\n  out:\n    type: slo_engine\n    inputs: [judge]\n    endpoint: http://engine\n    token: s3cret\n"
        ),
        &[
            "c.yaml:8: sinks.out.token: a credential in plain text; write ${VARIABLE} here, or name a file in token_file",
        ],
    );
}

#[test]
fn the_own_page_is_off_until_it_is_enabled_and_stands_in_one_place() {
    let api = |text: &str| yaml(&format!("{text}\n{SOURCE}{SINK}")).unwrap().api.map(|addr| addr.to_string());
    assert_eq!(api(""), None);
    assert_eq!(api("api: {address: '0.0.0.0:9000'}"), None);
    assert_eq!(api("api: {enabled: true}").as_deref(), Some(DEFAULT_API_ADDRESS));
    assert_eq!(api("api: {enabled: true, address: '[::]:0'}").as_deref(), Some("[::]:0"));
    check_refused(
        &format!("api: {{enabled: true, address: 'localhost:1', playground: true}}\n{SOURCE}{SINK}"),
        &[
            "c.yaml:1: api.address: \"localhost:1\" is no IP address with a port, such as 127.0.0.1:8686",
            "c.yaml:1: api.playground: unknown key; allowed here: enabled, address",
        ],
    );
}

#[test]
fn a_buffer_is_on_disk_and_blocks_unless_configured() {
    let buffer = |text: &str| {
        let sinks = format!("sinks: {{out: {{type: blackhole, inputs: [app]{text}}}}}\n");
        yaml(&format!("{SOURCE}{sinks}")).unwrap().buffers["out"]
    };
    let disk = |max_bytes, when_full| Buffer::Disk { max_bytes, when_full };
    assert_eq!(buffer(""), disk(1 << 30, WhenFull::Block));
    assert_eq!(buffer(", buffer: {max_size: 2000000}"), disk(2_000_000, WhenFull::Block));
    assert_eq!(buffer(", buffer: {type: disk, when_full: drop_newest}"), disk(1 << 30, WhenFull::DropNewest));
    assert_eq!(buffer(", buffer: {type: memory, when_full: block}"), Buffer::Memory);
}

#[test]
fn a_buffer_that_cannot_be_is_refused() {
    let check = |buffer: &str, want: &[&str]| {
        check_refused(
            &format!(
                "{SOURCE}sinks:\n  out:\n    type: blackhole\n    inputs: [app]\n    buffer: {buffer}\n"
            ),
            want,
        );
    };
    check(
        "{max_size: 1000, max_events: 5}",
        &[
            "c.yaml:6: sinks.out.buffer.max_events: unknown key; allowed here: type, max_size, when_full",
            "c.yaml:6: sinks.out.buffer.max_size: must be at least 1048576 bytes (1 MiB)",
        ],
    );
    check(
        "{type: memory, max_size: 5000000, when_full: drop_newest}",
        &[
            "c.yaml:6: sinks.out.buffer.max_size: is for the type disk; in memory wait at most 8 chunks",
            "c.yaml:6: sinks.out.buffer.when_full: drop_newest is for the type disk; behind a full queue in memory the files are the buffer",
        ],
    );
    check(
        "{type: tape, when_full: overflow}",
        &[
            "c.yaml:6: sinks.out.buffer.type: \"tape\" is not one of disk, memory",
            "c.yaml:6: sinks.out.buffer.when_full: \"overflow\" is not one of block, drop_newest",
        ],
    );
}

#[test]
fn a_source_of_pods_may_know_its_node_and_how_to_reach_the_cluster() {
    let pods = |keys: &str| {
        format!(
            "sources:\n  app: {{type: kubernetes_logs{keys}}}\nsinks:\n  out: {{type: blackhole, inputs: [app]}}\n"
        )
    };
    assert_eq!(yaml(&pods("")).unwrap().cluster(), None);
    let config = yaml(&pods(", self_node_name: n1, kube_config_file: /etc/kubeconfig")).unwrap();
    let access = kubernetes::Access::KubeConfig("/etc/kubeconfig".into());
    assert_eq!(config.cluster(), Some(&ClusterConfig { node: "n1".into(), access }));
    check_refused(
        &pods(", kube_config_file: /etc/kubeconfig"),
        &[
            "c.yaml:2: sources.app.kube_config_file: does nothing without self_node_name, the name of this node",
        ],
    );
    check_refused(
        &pods(", self_node_name: ''"),
        &[
            "c.yaml:2: sources.app.self_node_name: is empty; in a pod, take it from the field spec.nodeName by a variable",
        ],
    );
    let another = "  more: {type: kubernetes_logs, self_node_name: n2}\nsinks:";
    check_refused(
        &pods(", self_node_name: n1").replace("sinks:", another),
        &[
            "c.yaml:3: sources.more: another node or cluster than that of sources.app; there is one for all sources",
        ],
    );
}
