//! The archive in a real bucket: nothing is overwritten, damaged bytes are refused, and an absence of the server costs nothing.

mod proxy;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use archive::{Put, S3Config, S3Store, Store, StoreError, sha256_hex};
use collector::app::{App, Options};
use collector::config::{Config, Purpose};
use settings::Syntax;
use tests::archived::Archived;
use tests::program::eventually;
use tests::servers::S3;
use tokio::task::JoinSet;

use proxy::{Fault, Proxy};

const BUCKET: &str = "archive";

async fn started() -> Result<Option<S3>> {
    let Some(s3) = S3::start().await? else { return Ok(None) };
    s3.create_bucket(BUCKET).await?;
    Ok(Some(s3))
}

fn config(url: &str) -> S3Config {
    S3Config {
        bucket: BUCKET.to_owned(),
        region: S3::REGION.to_owned(),
        endpoint: Some(url.to_owned()),
        key_prefix: "tests/".to_owned(),
        access_key_id: S3::ACCESS_KEY_ID.to_owned(),
        secret_access_key: S3::SECRET_ACCESS_KEY.to_owned(),
        force_path_style: true,
        ca: None,
        timeout: Duration::from_secs(20),
    }
}

fn store(url: &str) -> Store {
    Store::S3(S3Store::new(&config(url)))
}

async fn put(store: &Store, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
    store.put_if_absent(key, bytes, &sha256_hex(bytes)).await
}

/// What a refusal says.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(error @ StoreError::Unavailable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_object_is_put_once_whoever_puts_it_and_comes_back_as_it_was() -> Result<()> {
    let Some(s3) = started().await? else { return Ok(()) };
    let store = store(s3.url());
    assert_eq!(put(&store, "segments/a", b"one").await?, Put::Created);
    assert_eq!(put(&store, "segments/a", b"one").await?, Put::AlreadySame);
    let conflict = put(&store, "segments/a", b"two").await.expect_err("another object is there");
    assert!(
        matches!(&conflict, StoreError::Conflict { found, .. } if *found == sha256_hex(b"one")),
        "{conflict}"
    );
    assert_eq!(store.get("segments/a").await?, b"one");
    assert!(matches!(store.get("segments/b").await, Err(StoreError::Missing { .. })));
    // Larger than what the SDK asks for before it sends.
    let large: Vec<u8> =
        (0..5_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(put(&store, "segments/large", &large).await?, Put::Created);
    assert!(store.get("segments/large").await? == large);

    let mut writers = JoinSet::new();
    for writer in 0..16_u8 {
        let store = store.clone();
        writers.spawn(async move { put(&store, "segments/race", &[writer; 1000]).await });
    }
    let outcomes = writers.join_all().await;
    let created = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Put::Created))).count();
    assert_eq!(created, 1, "{outcomes:?}");
    Ok(())
}

#[tokio::test]
async fn a_list_goes_over_more_keys_than_one_answer_holds() -> Result<()> {
    let Some(s3) = started().await? else { return Ok(()) };
    let store = store(s3.url());
    let keys: Vec<String> = (0..1_005).map(|number| format!("segments/{number:05}")).collect();
    let mut puts = JoinSet::new();
    for some in keys.chunks(126) {
        let (store, some) = (store.clone(), some.to_vec());
        puts.spawn(async move {
            for key in some {
                put(&store, &key, key.as_bytes()).await.unwrap();
            }
        });
    }
    puts.join_all().await;
    assert_eq!(store.list("segments/").await?, keys);
    assert_eq!(store.list("segments/0100").await?, keys[1000..]);
    assert_eq!(store.list("other/").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn damaged_bytes_are_refused_and_a_lost_answer_doubles_nothing() -> Result<()> {
    let Some(s3) = started().await? else { return Ok(()) };
    let proxy = Proxy::start(s3.url()).await?;
    let store = store(proxy.url());
    proxy.fail(Some(Fault::FlipBit));
    let said = refused(put(&store, "segments/a", b"a line that is damaged on its way").await);
    assert!(said.contains("answered 400") && said.contains("nothing was kept"), "{said}");
    proxy.fail(None);
    assert_eq!(store.list("").await?, Vec::<String>::new());
    proxy.fail(Some(Fault::LoseAnswer));
    let said = refused(put(&store, "segments/a", b"a line whose answer is lost").await);
    assert!(said.contains("no answer: "), "{said}");
    proxy.fail(None);
    assert_eq!(put(&store, "segments/a", b"a line whose answer is lost").await?, Put::AlreadySame);
    assert_eq!(s3.objects(BUCKET).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_must_be_mended_is_said() -> Result<()> {
    let Some(mut s3) = started().await? else { return Ok(()) };
    let with = |change: fn(&mut S3Config)| {
        let mut config = config(s3.url());
        change(&mut config);
        Store::S3(S3Store::new(&config))
    };
    let stranger = with(|config| config.secret_access_key = "wrong".to_owned());
    let said = refused(put(&stranger, "segments/a", b"x").await);
    assert!(said.contains("; mend `auth.access_key_id` and `auth.secret_access_key`"), "{said}");
    let store = store(s3.url());
    s3.stop();
    let said = refused(put(&store, "segments/a", b"x").await);
    // Refused, or reset where it was just accepted.
    assert!(said.contains("no answer: Connection re"), "{said}");
    Ok(())
}

#[tokio::test]
async fn every_line_is_in_the_bucket_once_though_the_server_is_away_and_the_collector_is_stopped_meanwhile()
-> Result<()> {
    let Some(mut s3) = started().await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("app.log");
    let mut written = String::new();
    let mut write = |lines: std::ops::Range<u32>| -> Result<()> {
        written.extend(lines.map(|line| format!("line {line}\n")));
        Ok(std::fs::write(&log, &written)?)
    };
    let (url, path) = (s3.url().to_owned(), dir.path().to_owned());
    let start = async || {
        let text = format!(
            "data_dir: {dir}/data\nsources: {{app: {{type: file, include: [{dir}/app.log]}}}}\n\
             sinks:\n  bucket:\n    type: aws_s3\n    inputs: [app]\n    bucket: {BUCKET}\n    endpoint: {url}\n    key_prefix: tests/\n    \
             auth: {{access_key_id: $ID, secret_access_key: $SECRET}}\n    batch: {{timeout_secs: 100ms}}\n",
            dir = path.display(),
        );
        let secrets = BTreeMap::from([("ID", S3::ACCESS_KEY_ID), ("SECRET", S3::SECRET_ACCESS_KEY)]);
        let env = |name: &str| secrets.get(name).map(|secret| (*secret).to_owned());
        let config = Config::parse("collector.yaml", &text, Syntax::Yaml, Purpose::Run, &env);
        App::start(config.map_err(|problems| anyhow::anyhow!("{problems}"))?, Options::default()).await
    };
    write(0..1000)?;
    let app = start().await?;
    app.caught_up().await?;
    s3.stop();
    write(1000..2000)?;
    eventually("what cannot be put is staged", async || Ok(staged(&path) > 0)).await?;
    // Like a kill: what is staged stays.
    drop(app);
    let app = loop {
        match start().await {
            Ok(app) => break app,
            // Its tasks hold the directory until the runtime has dropped them.
            Err(error) if error.to_string().contains("in use") => tokio::task::yield_now().await,
            Err(error) => return Err(error),
        }
    };
    write(2000..3000)?;
    s3.start_again().await?;
    app.caught_up().await?;
    let books = app.stop().await?;
    assert_eq!(books.sinks.get("bucket").context("there is a sink")?.in_flight, 0);
    let archived = Archived::in_store(&store(s3.url())).await?;
    assert_eq!(archived.streams.into_values().collect::<Vec<_>>(), [written.into_bytes()]);
    Ok(())
}

/// Segments that wait in the sink's spool.
fn staged(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir.join("data/archive/bucket/pending")).map_or(0, Iterator::count)
}
