//! The webhook notifier against a real server.

use jiff::SignedDuration;

use super::server::{Answer, Server};
use super::{at, trigger};
use crate::{Notifier, NotifierConfig, Notifiers, SecretSource, SendError, WebhookConfig};

/// What one message meets, once the server answered `answer`.
async fn send(answer: Answer) -> Result<(), SendError> {
    let server = Server::start([answer]).await;
    server.webhook().send(&trigger("k", "pager", &[], at(0)), at(0)).await
}

#[track_caller]
fn check(got: Result<(), SendError>, want: Result<(), (&str, Option<i64>)>) {
    let got = got.map_err(|error| match error {
        SendError::Retry { after, .. } => ("retry", after.map(|after| after.as_secs())),
        SendError::Refused { .. } => ("refused", None),
    });
    assert_eq!(got, want);
}

#[tokio::test]
async fn a_status_says_whether_to_try_again() {
    for status in ["200 OK\r\n", "202 Accepted\r\n", "204 No Content\r\n"] {
        check(send(Answer::Status(status, "")).await, Ok(()));
    }
    for status in ["408 x\r\n", "425 x\r\n", "429 x\r\n", "500 x\r\n", "502 x\r\n", "503 x\r\n"] {
        check(send(Answer::Status(status, "")).await, Err(("retry", None)));
    }
    for status in ["400 x\r\n", "401 x\r\n", "403 x\r\n", "404 x\r\n", "410 x\r\n", "422 x\r\n"] {
        check(send(Answer::Status(status, "")).await, Err(("refused", None)));
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    check(send(Answer::Status("302 Found\r\nlocation: /elsewhere\r\n", "")).await, Err(("refused", None)));
}

#[tokio::test]
async fn a_retry_after_is_read_as_seconds_and_as_a_date() {
    let answer = |head| send(Answer::Status(head, ""));
    check(answer("429 x\r\nretry-after: 120\r\n").await, Err(("retry", Some(120))));
    check(answer("503 x\r\nretry-after: Sun, 01 Mar 2026 12:10:00 GMT\r\n").await, Err(("retry", Some(600))));
    check(answer("503 x\r\nretry-after: Sun, 01 Mar 2020 12:10:00 GMT\r\n").await, Err(("retry", Some(0))));
    check(answer("503 x\r\nretry-after: soon\r\n").await, Err(("retry", None)));
}

#[tokio::test]
async fn no_answer_and_a_lost_answer_are_tried_again() {
    let silent = Server::start([Answer::Hang]).await;
    check(silent.hasty_webhook().send(&trigger("k", "pager", &[], at(0)), at(0)).await, Err(("retry", None)));
    check(send(Answer::Close).await, Err(("retry", None)));
    let nobody = Server::start([]).await.webhook();
    check(nobody.send(&trigger("k", "pager", &[], at(0)), at(0)).await, Err(("retry", None)));
}

#[tokio::test]
async fn the_body_is_the_documented_one_and_the_id_is_the_idempotency_key() {
    let server = Server::start([]).await;
    let intent = trigger("shop/checkout", "pager", &[], at(0));
    server.webhook().send(&intent, at(0)).await.unwrap();
    let request = server.requests().remove(0);
    let want = serde_json::json!({
        "version": 1, "id": intent.id, "kind": "trigger", "dedup_key": intent.dedup_key, "incident": intent.incident,
        "episode": 1, "key": "shop/checkout", "severity": "page", "summary": "shop/checkout is wrong", "labels": {},
        "target": "on-call", "step": 0, "round": 0, "by": null,
        "opened_at": "2026-03-01T12:00:00Z", "created_at": "2026-03-01T12:00:00Z",
    });
    assert_eq!(request.body, want);
    assert!(request.head.starts_with("post /page http/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains(&format!("idempotency-key: {}", intent.id)), "{}", request.head);
    assert!(request.head.contains("content-type: application/json"), "{}", request.head);
}

#[tokio::test]
async fn secrets_are_sent_but_never_shown_and_may_change_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let server = Server::start([Answer::Status("401 x\r\n", "bad token s3cret\n")]).await;
    let config = WebhookConfig {
        url: Some(server.url()),
        bearer_token: Some(SecretSource::File(file.clone())),
        headers: [("X-Team".to_owned(), SecretSource::File(file.clone()))].into(),
        ..WebhookConfig::default()
    };
    let notifiers = Notifiers::build([("pager".into(), NotifierConfig::Webhook(config))].into()).unwrap();
    let intent = trigger("k", "pager", &[], at(0));
    let error = notifiers.send(&intent, at(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "answer 401 Unauthorized to a POST: bad token ***\\n");
    assert!(!format!("{notifiers:?}").contains("s3cret"));
    std::fs::write(&file, "n3w").unwrap();
    notifiers.send(&intent, at(0)).await.unwrap();
    let heads: Vec<_> = server.requests().into_iter().map(|request| request.head).collect();
    assert!(
        heads[0].contains("authorization: bearer s3cret") && heads[0].contains("x-team: s3cret"),
        "{heads:?}"
    );
    assert!(heads[1].contains("authorization: bearer n3w") && heads[1].contains("x-team: n3w"), "{heads:?}");
    std::fs::remove_file(&file).unwrap();
    let error = notifiers.send(&intent, at(0)).await;
    assert!(error.unwrap_err().to_string().starts_with(&format!("cannot read file {}", file.display())));
}

#[tokio::test]
async fn a_secret_url_is_not_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let server = Server::start([Answer::Hang]).await;
    std::fs::write(&file, format!("{}/s3cret", server.url())).unwrap();
    let timeout = Some(SignedDuration::from_millis(100));
    let config =
        WebhookConfig { url_from: Some(SecretSource::File(file)), timeout, ..WebhookConfig::default() };
    let webhook = crate::Webhook::build(config).unwrap();
    let error = webhook.send(&trigger("k", "pager", &[], at(0)), at(0)).await.unwrap_err().to_string();
    assert!(error.starts_with("no answer to a POST: ") && !error.contains("s3cret"), "{error}");
    assert!(!format!("{:?}", Notifier::Webhook(webhook)).contains("s3cret"));
}

#[test]
fn all_errors_of_a_configuration_come_at_once_and_show_no_secret() {
    let config = WebhookConfig {
        url: Some("https://ann:s3cret@example.org/".into()),
        bearer_token: Some(SecretSource::Env("HEADROOM_NO_SUCH_VARIABLE".into())),
        headers: [("bad name".to_owned(), SecretSource::File("/nonexistent".into()))].into(),
        timeout: Some(SignedDuration::from_secs(61)),
        ..WebhookConfig::default()
    };
    let configs = [
        ("both".into(), NotifierConfig::Webhook(WebhookConfig::default())),
        (
            "ftp".into(),
            NotifierConfig::Webhook(WebhookConfig { url: Some("ftp://x".into()), ..Default::default() }),
        ),
        ("pager".into(), NotifierConfig::Webhook(config)),
    ];
    let errors = Notifiers::build(configs.into()).unwrap_err();
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let want = [
        "both.url: exactly one of url and url_from is needed",
        "ftp.url: has the scheme ftp; http and https are allowed",
        "pager.url: holds a user or password in plain text; name an environment variable or file in headers",
        "pager.bearer_token: cannot read environment variable HEADROOM_NO_SUCH_VARIABLE: environment variable not found",
        "pager.headers.bad name: cannot read file /nonexistent: No such file or directory (os error 2)",
        "pager.headers.bad name: is no name of an HTTP header",
        "pager.timeout: is 1m 1s; 100ms to 60s is allowed",
    ];
    assert_eq!(errors, want);
}
