//! Each real server answers, keeps what it has over a stop, and is told to be absent where it is.

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::program::eventually;
use tests::servers::{Alertmanager, Answer, Flavor, Inbox, S3, Search};

async fn keeps_documents(search: &Search, index: &str) -> Result<()> {
    let path = format!("/{index}/_create/1?refresh=true");
    search.ask(Method::PUT, &path, Some(json!({ "message": "a line" }))).await?;
    let (status, _) = search.request(Method::PUT, &path, Some(json!({ "message": "again" }))).await?;
    assert_eq!(status, StatusCode::CONFLICT);
    let found = search.ask(Method::GET, &format!("/{index}/_search"), None).await?;
    assert_eq!(found["hits"]["hits"][0]["_source"]["message"], "a line");
    Ok(())
}

#[tokio::test]
async fn each_search_server_keeps_documents() -> Result<()> {
    for flavor in Flavor::ALL {
        let Some(search) = Search::shared(flavor).await? else { return Ok(()) };
        keeps_documents(search, "servers-keep").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_search_server_with_a_password_is_asked_over_tls() -> Result<()> {
    let password = "a password of the tests";
    let secured = Search::start_secured(Flavor::Elasticsearch9, password).await?;
    let Some(mut search) = secured else { return Ok(()) };
    assert!(search.url().starts_with("https://"));
    keeps_documents(&search, "servers-secured").await?;
    search.stop().await?;
    assert!(search.request(Method::GET, "/_cluster/health", None).await.is_err());
    search.start_again().await?;
    let found = search.ask(Method::GET, "/servers-secured/_doc/1", None).await?;
    assert_eq!(found["_source"]["message"], "a line");
    Ok(())
}

#[tokio::test]
async fn the_object_store_keeps_objects_and_refuses_strangers() -> Result<()> {
    let Some(mut s3) = S3::start().await? else { return Ok(()) };
    s3.create_bucket("lines").await?;
    assert!(s3.objects("lines").await?.is_empty());
    s3.stop();
    assert!(s3.objects("lines").await.is_err());
    s3.start_again().await?;
    assert!(s3.objects("lines").await?.is_empty());
    let stranger = reqwest::get(format!("{}/lines/object", s3.url())).await?;
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn alertmanager_tells_the_inbox() -> Result<()> {
    let inbox = Inbox::start().await?;
    let Some(alertmanager) = Alertmanager::start(Some(inbox.url())).await? else { return Ok(()) };
    let alert = json!([{ "labels": { "alertname": "Burning", "service": "shop/web" } }]);
    let posted = reqwest::Client::new().post(format!("{}/api/v2/alerts", alertmanager.url()));
    posted.json(&alert).send().await?.error_for_status()?;
    eventually("the alert is told", async || Ok(!inbox.received().is_empty())).await?;
    let told = inbox.received().remove(0);
    assert_eq!(told.body["alerts"][0]["labels"]["service"], "shop/web");
    let alerts = alertmanager.alerts().await?;
    assert_eq!(alerts[0]["labels"]["alertname"], "Burning", "{alerts:?}");
    Ok(())
}

#[tokio::test]
async fn an_inbox_answers_as_it_is_told() -> Result<()> {
    let inbox = Inbox::start().await?;
    let client = reqwest::Client::new();
    let post =
        |key: &str| client.post(inbox.url()).header("idempotency-key", key).json(&json!({ "key": key }));
    inbox.answer(Answer::Status(503));
    assert_eq!(post("a").send().await?.status(), 503);
    inbox.answer(Answer::Status(200));
    assert_eq!(post("a").send().await?.status(), 200);
    inbox.answer(Answer::Hang);
    let waits = post("b").timeout(std::time::Duration::from_millis(200)).send().await;
    assert!(waits.err().context("no answer may come")?.is_timeout());
    assert_eq!(inbox.received().len(), 3);
    assert_eq!(inbox.taken(), [("a".to_owned(), vec![json!({ "key": "a" })])].into());
    Ok(())
}
