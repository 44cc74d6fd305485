//! The sink `elasticsearch` on real servers: each line once, whatever is lost, refused, blocked or busy on the way.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use collector::app::{App, Options};
use collector::books::Account;
use collector::config::{Config, Purpose};
use collector::dead_letters::DeadLetters;
use reqwest::Method;
use search::{
    Action, Auth, Bulk, BulkError, Client, ClientConfig, Daily, Environment, Kind, Outcome, Product, template,
};
use serde_json::{Value, json};
use settings::Syntax;
use tests::program::eventually;
use tests::servers::{Flavor, Search};

/// Lines that have broken pipelines before.
const HOSTILE: [&str; 6] = [
    "{\"index\":{\"_index\":\".security\"}}\\n{\"a\":1}",
    "{\"message\":{\"a\":1},\"_id\":\"x\",\"\":1}",
    "a\u{2028}b\u{85}c\u{0}d\u{1b}e\u{feff}",
    "\\n \\r\\n \\u0000 \"quoted\"",
    "",
    "日本語 ñ 🦀",
];

/// A node whose one source is shipped to a server.
struct Node {
    dir: tempfile::TempDir,
    url: String,
    environment: Environment,
    product: Product,
    /// VRL that every line goes through.
    program: String,
    errors: prometheus::Registry,
}

impl Node {
    fn new(search: &Search, environment: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("logs"))?;
        let environment = Environment::new(environment)?;
        let (url, product) = (search.url().to_owned(), search.flavor().product());
        let (program, errors) = (String::new(), prometheus::Registry::new());
        Ok(Self { dir, url, environment, product, program, errors })
    }

    fn logs(&self) -> Daily {
        Kind::Logs.daily(&self.environment)
    }

    fn client(&self) -> Result<Client> {
        Ok(Client::new(&ClientConfig::new(vec![self.url.clone()]))?)
    }

    async fn install_template(&self) -> Result<()> {
        let path = format!("_index_template/{}", self.logs().alias());
        self.client()?.put(&path, &template(Kind::Logs, &self.environment, self.product)).await?;
        Ok(())
    }

    /// Writes a log, a line a second from 23:59 on, so that it goes on into another day.
    fn write(&self, lines: &[String]) -> Result<()> {
        let second = |at: usize| {
            let start: jiff::Timestamp = "2026-03-01T23:59:00.000000001Z".parse()?;
            Ok::<_, jiff::Error>(start + jiff::SignedDuration::from_secs(i64::try_from(at).unwrap_or(0)))
        };
        let pod = self.dir.path().join("logs/shop_web-0_7d1c2a90-1111-4222-8333-444455556666/web");
        std::fs::create_dir_all(&pod)?;
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            text += &format!("{} stdout F {line}\n", second(at)?);
        }
        std::fs::write(pod.join("0.log"), text)?;
        Ok(())
    }

    async fn start(&self) -> Result<App> {
        let text = format!(
            "data_dir: {data}\nsources:\n  pods: {{type: kubernetes_logs, root: {logs}}}\n\
             {transforms}sinks:\n  search: {{type: elasticsearch, inputs: [{input}], endpoints: [\"{url}\"], \
             bulk: {{index: \"{index}\"}}, compression: gzip, batch: {{max_events: 100, timeout_secs: 0.05}}}}\n",
            data = self.dir.path().join("data").display(),
            logs = self.dir.path().join("logs").display(),
            url = self.url,
            index = self.logs(),
            input = if self.program.is_empty() { "pods" } else { "changed" },
            transforms = match self.program.as_str() {
                "" => String::new(),
                program => format!(
                    "transforms:\n  changed:\n    type: remap\n    inputs: [pods]\n    source: |\n      {}\n",
                    program.trim().replace('\n', "\n      ")
                ),
            },
        );
        let config = Config::parse("node.yaml", &text, Syntax::Yaml, Purpose::Run, &|_| None)
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        App::start(config, Options { registry: self.errors.clone(), ..Options::default() }).await
    }

    /// Runs a collector until all is delivered.
    async fn run(&mut self) -> Result<Account> {
        self.errors = prometheus::Registry::new();
        let app = self.start().await?;
        app.caught_up().await?;
        account(app).await
    }

    fn lose_state(&self) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.path().join("data"))?)
    }

    /// How often a request of the running collector failed.
    fn failures(&self) -> u64 {
        let families = self.errors.gather();
        let errors = families.iter().filter(|family| family.name() == "component_errors_total");
        let failed = errors
            .flat_map(prometheus::proto::MetricFamily::get_metric)
            .filter(|metric| metric.get_label().iter().any(|label| label.value() == "request_failed"));
        failed.map(|metric| metric.get_counter().get_value() as u64).sum()
    }

    /// The messages by index, in the order of the log.
    async fn messages(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let client = self.client()?;
        client.refresh(&self.logs().wildcard()).await?;
        let mut messages: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
        for (_, index) in client.days(&self.logs()).await? {
            // The offset stands for the record: there is one stream.
            let mut walk = client.walk(&index, &json!({"match_all": {}}), "headroom.offset", 1000);
            loop {
                let page = walk.next().await?;
                if page.is_empty() {
                    break;
                }
                for document in page {
                    let offset = document["headroom"]["offset"].as_u64().context("offset")?;
                    let message = document["message"].as_str().context("message")?.to_owned();
                    let before = messages.entry(index.clone()).or_default().insert(offset, message);
                    assert_eq!(before, None, "{document} is there twice");
                }
            }
        }
        Ok(messages.into_iter().map(|(index, lines)| (index, lines.into_values().collect())).collect())
    }

    async fn holds(&self, lines: &[String]) -> Result<()> {
        let found: Vec<String> = self.messages().await?.into_values().flatten().collect();
        assert_eq!(found, lines);
        Ok(())
    }
}

async fn account(app: App) -> Result<Account> {
    let books = app.stop().await?;
    books.check()?;
    Ok(books.sinks["search"])
}

fn lines(count: usize) -> Vec<String> {
    let hostile = HOSTILE.iter().map(|&line| line.to_owned());
    (0..count.saturating_sub(HOSTILE.len())).map(|n| format!("line {n}")).chain(hostile).collect()
}

#[tokio::test]
async fn each_line_is_one_document_on_each_server_and_a_lost_state_doubles_none() -> Result<()> {
    for flavor in Flavor::ALL {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        let mut node = Node::new(search, "each-line")?;
        node.install_template().await?;
        let lines = lines(700);
        node.write(&lines)?;
        assert_eq!(node.run().await?.delivered, 700);
        let messages = node.messages().await?;
        let sizes: Vec<(&str, usize)> =
            messages.iter().map(|(index, lines)| (index.as_str(), lines.len())).collect();
        assert_eq!(
            sizes,
            [("headroom-logs-each-line-2026.03.01", 60), ("headroom-logs-each-line-2026.03.02", 640)]
        );
        node.holds(&lines).await?;
        // All is read and sent again, and every document is there already.
        node.lose_state()?;
        assert_eq!(node.run().await?.delivered, 700);
        node.holds(&lines).await?;
        let sorted = json!({"size": 1, "sort": ["@timestamp"], "query": {"match": {"message": "line"}}});
        let first = search.ask(Method::POST, "/headroom-logs-each-line/_search", Some(sorted)).await?;
        assert_eq!(first["hits"]["hits"][0]["_source"]["message"], "line 0");
        assert_eq!(first["hits"]["hits"][0]["_source"]["@timestamp"], "2026-03-01T23:59:00.000000001Z");
        assert_eq!(first["hits"]["hits"][0]["_source"]["kubernetes"]["pod_name"], "web-0");
    }
    Ok(())
}

/// Labels as an application may set them, and as no API server lets it.
const LABELS: &str = r#"
    .kubernetes.pod_labels = {"app": "web", "app.kubernetes.io/name": "web", "app.kubernetes.io": "x", "a..b": "", "_id": "x",
        "message": "m", "k8s.io/\"}": "{}", "long": "x"}
    .kubernetes.node_labels = {"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/zone.of": "b"}
    .kubernetes.namespace_labels = {"team": .message}
    .kubernetes.pod_ip = "10.0.0.7"
"#;

#[tokio::test]
async fn no_label_makes_a_document_be_refused_and_each_is_found_by_its_name_on_each_server() -> Result<()> {
    for flavor in Flavor::ALL {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        let mut node = Node::new(search, "labels")?;
        node.install_template().await?;
        node.program = LABELS.to_owned();
        let mut lines = lines(20);
        // No label is that long, or has a NUL as another of the lines has: the servers would refuse the document.
        lines[3] = "x".repeat(40_000);
        node.write(&lines)?;
        let account = node.run().await?;
        assert_eq!((account.delivered, account.dead_lettered), (20, 0), "{flavor:?}");
        node.holds(&lines).await?;
        let wanted = [
            ("kubernetes.pod_labels.app", "web", 18),
            ("kubernetes.pod_labels.app.kubernetes.io/name", "web", 18),
            ("kubernetes.pod_labels.app.kubernetes.io", "x", 18),
            ("kubernetes.node_labels.topology.kubernetes.io/zone", "a", 18),
            ("kubernetes.namespace_labels.team", "line 7", 1),
            ("kubernetes.pod_ip", "10.0.0.7", 18),
        ];
        for (field, value, count) in wanted {
            let query = json!({"query": {"term": {field: value}}});
            let found = search.ask(Method::POST, "/headroom-logs-labels/_search", Some(query)).await?;
            assert_eq!(found["hits"]["total"]["value"], count, "{flavor:?} {field}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn templates_come_back_as_they_were_put_on_each_server() -> Result<()> {
    for flavor in Flavor::ALL {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        let environment = Environment::new("templates")?;
        for kind in Kind::ALL {
            let path = format!("/_index_template/{}", kind.daily(&environment).alias());
            let wanted = template(kind, &environment, flavor.product());
            search.ask(Method::PUT, &path, Some(wanted.clone())).await?;
            let found = search.ask(Method::GET, &path, None).await?;
            let found = &found["index_templates"][0]["index_template"];
            for (key, value) in wanted.as_object().context("a template")? {
                assert_eq!(&found[key], value, "{flavor:?} {kind:?} {key}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_its_template_no_index_is_made_and_nothing_is_lost() -> Result<()> {
    let Some(search) = Search::shared(Flavor::Elasticsearch9).await? else { return Ok(()) };
    let node = Node::new(search, "no-template")?;
    let lines = lines(300);
    node.write(&lines)?;
    let app = node.start().await?;
    eventually("the template is missed", async || Ok(node.failures() > 1)).await?;
    assert_eq!(node.client()?.days(&node.logs()).await?, []);
    node.install_template().await?;
    app.caught_up().await?;
    assert_eq!(account(app).await?.delivered, 300);
    node.holds(&lines).await
}

#[tokio::test]
async fn a_document_that_is_refused_is_a_dead_letter_and_its_neighbours_are_not() -> Result<()> {
    for flavor in [Flavor::Elasticsearch9, Flavor::OpenSearch3] {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        let mut node = Node::new(search, "refused")?;
        // Of somebody else's: it wants numbers for messages.
        let mut template = template(Kind::Logs, &node.environment, flavor.product());
        template["template"]["mappings"]["properties"]["message"] =
            json!({"type": "long", "ignore_malformed": false});
        let path = format!("/_index_template/{}", node.logs().alias());
        search.ask(Method::PUT, &path, Some(template)).await?;
        let mut lines: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        (lines[7], lines[200]) = ("seven".into(), "two hundred".into());
        node.write(&lines)?;
        let account = node.run().await?;
        assert_eq!((account.delivered, account.dead_lettered, account.in_flight), (298, 2, 0));
        let letters = DeadLetters::open(&node.dir.path().join("data"))?.list()?;
        let contents: Vec<&str> = letters.iter().map(|letter| letter.content.as_str()).collect();
        assert_eq!(contents, ["seven", "two hundred"]);
        assert!(letters[0].reason.contains("parsing_exception"), "{}", letters[0].reason);
        lines.retain(|line| line.parse::<u32>().is_ok());
        node.holds(&lines).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_blocked_index_holds_up_what_belongs_into_it_until_the_block_is_gone() -> Result<()> {
    for flavor in [Flavor::Elasticsearch8, Flavor::OpenSearch3] {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        let node = Node::new(search, "blocked")?;
        node.install_template().await?;
        let blocked = format!("/{}", node.logs().index("2026-03-02".parse()?));
        search.ask(Method::PUT, &blocked, None).await?;
        let block = |on: Value| json!({"index.blocks.read_only_allow_delete": on});
        search.ask(Method::PUT, &format!("{blocked}/_settings"), Some(block(true.into()))).await?;
        let lines = lines(300);
        node.write(&lines)?;
        let app = node.start().await?;
        eventually("the block is met", async || Ok(node.failures() > 1)).await?;
        search.ask(Method::PUT, &format!("{blocked}/_settings"), Some(block(Value::Null))).await?;
        app.caught_up().await?;
        assert_eq!(account(app).await?.delivered, 300);
        node.holds(&lines).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_queue_and_a_small_limit_of_requests_lose_and_double_nothing() -> Result<()> {
    let settings =
        ["thread_pool.write.size=1", "thread_pool.write.queue_size=1", "http.max_content_length=64kb"];
    let Some(search) = Search::start(Flavor::Elasticsearch9, &settings).await? else { return Ok(()) };
    let mut node = Node::new(&search, "small")?;
    node.install_template().await?;
    let mut lines = lines(2000);
    // A request of a hundred of these is too large; one of them alone is, too.
    lines.iter_mut().take(400).for_each(|line| line.push_str(&noise(line, 1200)));
    let giant = noise("giant", 200_000);
    lines[900].clone_from(&giant);
    node.write(&lines)?;
    let client = node.client()?;
    let busy = tokio::spawn(keep_busy(client.clone()));
    let account = node.run().await?;
    let refused = busy.await??;
    assert!(refused > 0, "the queue was never full");
    assert_eq!((account.delivered, account.dead_lettered), (1999, 1));
    let letters = DeadLetters::open(&node.dir.path().join("data"))?.list()?;
    assert!(letters[0].reason.contains("413"), "{}", letters[0].reason);
    lines.remove(900);
    node.holds(&lines).await
}

/// Text that does not shrink when it is compressed.
fn noise(seed: &str, length: usize) -> String {
    let mut text = String::new();
    let mut turn = 0_u64;
    while text.len() < length {
        text += &search::document_id(&[seed.as_bytes(), &turn.to_be_bytes()]);
        turn += 1;
    }
    text
}

/// Sends more than the server's queue takes, until all of it is taken; says how many items were refused on the way.
async fn keep_busy(client: Client) -> Result<usize> {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..24 {
        let client = client.clone();
        tasks.spawn(async move {
            let mut refused = 0;
            let mut bulk = Bulk::default();
            for n in 0..200 {
                // Each item of an index of its own shard: the queue takes shards.
                let index = format!("busy-{}", n % 8);
                bulk.push_value(Action::Index, &index, &format!("{task}-{n}"), &json!({"n": n}))?;
            }
            while !bulk.is_empty() {
                match client.bulk(&bulk, false).await {
                    Ok(outcomes) => {
                        let left: Vec<usize> = outcomes
                            .iter()
                            .enumerate()
                            .filter(|(_, outcome)| matches!(outcome, Outcome::Retry { .. }))
                            .map(|(item, _)| item)
                            .collect();
                        refused += left.len();
                        bulk = bulk.only(&left);
                    }
                    Err(BulkError::Retry { .. }) => refused += bulk.len(),
                    Err(error) => return Err(error.into()),
                }
            }
            anyhow::Ok(refused)
        });
    }
    let mut refused = 0;
    while let Some(task) = tasks.join_next().await {
        refused += task??;
    }
    Ok(refused)
}

#[tokio::test]
async fn over_tls_a_wrong_password_or_authority_is_told_and_nothing_is_rejected() -> Result<()> {
    let password = "a password of the tests";
    let secured = Search::start_secured(Flavor::Elasticsearch8, password).await?;
    let Some(search) = secured else { return Ok(()) };
    let mut bulk = Bulk::default();
    bulk.push_value(Action::Create, "secured", "1", &json!({"message": "a line"}))?;
    let mut config = ClientConfig::new(vec![search.url().to_owned()]);
    let as_admin = |password: &str| Some(Auth::Basic { user: "admin".into(), password: password.into() });
    config.auth = as_admin(password);
    let untrusted = Client::new(&config)?.bulk(&bulk, false).await;
    assert!(
        matches!(&untrusted, Err(BulkError::Retry { reason, .. }) if reason.contains("certificate")),
        "{untrusted:?}"
    );
    config.tls.ca = Some(std::fs::read(search.ca_file().context("an authority")?)?);
    config.auth = as_admin("wrong");
    let stranger = Client::new(&config)?.bulk(&bulk, false).await;
    assert!(
        matches!(&stranger, Err(BulkError::Retry { reason, .. }) if reason.contains("401")),
        "{stranger:?}"
    );
    config.auth = as_admin(password);
    let client = Client::new(&config)?;
    assert_eq!(client.bulk(&bulk, true).await?, [Outcome::Done]);
    let made = client.post("_security/api_key", Some(&json!({"name": "collector"}))).await;
    // The server's core may lack keys; where it has them, one is as good as the password.
    if let Ok(made) = made {
        config.auth = Some(Auth::ApiKey(made["encoded"].as_str().context("encoded")?.to_owned()));
        assert_eq!(Client::new(&config)?.bulk(&bulk, true).await?, [Outcome::Already]);
    }
    config.tls.ca = None;
    config.tls.verify = false;
    assert_eq!(Client::new(&config)?.bulk(&bulk, false).await?, [Outcome::Already]);
    Ok(())
}
