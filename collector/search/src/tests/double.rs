//! The client against a double: a server in this process that answers what it is told, and keeps what it was asked.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::bulk::{Action, Bulk, BulkError, Outcome};
use crate::client::Client;
use crate::config::{Auth, ClientConfig};
use crate::error::SearchError;
use crate::name::{Environment, Kind};

/// A request as it came: its first line and headers in lower case, and its body.
#[derive(Clone, Debug)]
struct Asked {
    head: String,
    body: Vec<u8>,
}

struct Double {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    /// One that gives these answers, each on a connection of its own, and then hangs up.
    async fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answers, asked) =
            (answers.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), Arc::default());
        let kept: Arc<Mutex<Vec<Asked>>> = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in answers {
                let (connection, _) = listener.accept().await.unwrap();
                let mut connection = BufReader::new(connection);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert_ne!(connection.read_line(&mut head).await.unwrap(), 0);
                }
                let head = head.to_lowercase();
                let length = head
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
                let mut body = vec![0; length];
                connection.read_exact(&mut body).await.unwrap();
                kept.lock().unwrap().push(Asked { head, body });
                connection.write_all(answer.as_bytes()).await.unwrap();
                connection.shutdown().await.unwrap();
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn client(endpoints: &[&str]) -> Client {
    Client::new(&ClientConfig::new(endpoints.iter().map(|&url| url.to_owned()).collect())).unwrap()
}

/// Where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_bulk_request_goes_as_plain_ndjson_with_its_credential() {
    let double = Double::answering(&[&ok(
        r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409}}]}"#,
    )])
    .await;
    let mut config = ClientConfig::new(vec![double.url.clone()]);
    config.auth = Some(Auth::Basic { user: "u".into(), password: "p".into() });
    let mut bulk = Bulk::default();
    bulk.push(Action::Create, "i", "a", |out| out.extend_from_slice(b"{\"n\":\n1}"));
    bulk.push_value(Action::Create, "i", "b", &json!({"n": 2})).unwrap();
    let outcomes = Client::new(&config).unwrap().bulk(&bulk, true).await.unwrap();
    assert_eq!(outcomes, [Outcome::Done, Outcome::Already]);
    let Asked { head, body } = double.asked().remove(0);
    assert!(head.starts_with("post /_bulk?filter_path="), "{head}");
    for header in [
        "content-type: application/x-ndjson\r\n",
        "content-encoding: gzip\r\n",
        "authorization: basic dtpw\r\n",
        "user-agent: headroom/",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert!(!head.contains("compatible-with") && !head.contains("x-elastic"), "{head}");
    let mut text = String::new();
    GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(
        text,
        "{\"create\":{\"_index\":\"i\",\"_id\":\"a\"}}\n{\"n\": 1}\n{\"create\":{\"_index\":\"i\",\"_id\":\"b\"}}\n{\"n\":2}\n"
    );
}

#[tokio::test]
async fn who_cannot_be_reached_is_passed_over_and_who_answers_is_asked_first_from_then_on() {
    let gone = nobody().await;
    let double = Double::answering(&[&ok("{}"), &ok("{}")]).await;
    let client = client(&[&gone, &double.url]);
    assert_eq!(client.get("a").await, Ok(json!({})));
    assert_eq!(client.get("b").await, Ok(json!({})));
    let Err(SearchError::Unavailable { after: None, reason }) = client.get("c").await else { panic!() };
    assert!(reason.contains(&gone) && reason.contains(&double.url), "{reason}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_comes_is_no_answer() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"errors\":false";
    let double = Double::answering(&[half]).await;
    let mut bulk = Bulk::default();
    bulk.push_value(Action::Create, "i", "a", &json!({})).unwrap();
    let failed = client(&[&double.url]).bulk(&bulk, false).await.unwrap_err();
    assert!(matches!(failed, BulkError::Retry { after: None, .. }), "{failed}");
    // It takes connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = ClientConfig::new(vec![format!("http://{}", silent.local_addr().unwrap())]);
    config.timeout = Duration::from_millis(50);
    let failed = Client::new(&config).unwrap().bulk(&bulk, false).await.unwrap_err();
    assert!(failed.to_string().starts_with("no answer in time from http://127.0.0.1:"), "{failed}");
}

#[tokio::test]
async fn a_server_that_wants_rest_says_how_long() {
    let busy = |seconds: &str| {
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: {seconds}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    };
    let double = Double::answering(&[&busy("7"), &busy("86400"), &busy("soon")]).await;
    let client = client(&[&double.url]);
    for want in [Some(7), Some(300), None] {
        let Err(SearchError::Unavailable { after, .. }) = client.get("a").await else { panic!() };
        assert_eq!(after, want.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn a_walk_goes_on_behind_the_last_document_and_takes_no_part_for_the_whole() {
    let page = |ids: &[&str], failed: u32| {
        let hits: Vec<_> = ids.iter().map(|id| json!({"_source": {"id": id}, "sort": [id]})).collect();
        ok(&json!({"timed_out": false, "_shards": {"total": 2, "failed": failed}, "hits": {"hits": hits}})
            .to_string())
    };
    let double = Double::answering(&[&page(&["a", "b"], 0), &page(&["c"], 1), &page(&["c"], 0)]).await;
    let mut walk = client(&[&double.url]).walk("i", &json!({"match_all": {}}), "id", 2);
    assert_eq!(walk.next().await, Ok(vec![json!({"id": "a"}), json!({"id": "b"})]));
    assert!(walk.next().await.unwrap_err().to_string().contains("all shards"));
    assert_eq!(walk.next().await, Ok(vec![json!({"id": "c"})]));
    assert_eq!(walk.next().await, Ok(vec![]));
    let asked = double.asked();
    assert_eq!(asked.len(), 3);
    let body: serde_json::Value = serde_json::from_slice(&asked[2].body).unwrap();
    assert_eq!(body["search_after"], json!(["b"]));
}

#[tokio::test]
async fn days_are_those_of_the_alias_alone() {
    let listed = json!([
        {"index": "headroom-logs-production-2026.03.02"},
        {"index": "headroom-logs-production-2026.03.01"},
        {"index": "headroom-logs-production-eu-2026.03.01"},
        {"index": "headroom-logs-production-undated"},
    ]);
    let double = Double::answering(&[&ok(&listed.to_string())]).await;
    let days = client(&[&double.url]).days(&Kind::Logs.daily(&Environment::default())).await.unwrap();
    let names: Vec<&str> = days.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["headroom-logs-production-2026.03.01", "headroom-logs-production-2026.03.02"]);
}
