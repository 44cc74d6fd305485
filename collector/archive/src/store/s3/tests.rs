//! The store against a double of S3 (not S3: it knows put, get, head and list of one bucket, and fails as it is told).

mod double;

use std::time::Duration;

use settings::{Problems, Syntax, Table};

use super::S3Config;
use crate::{Put, S3Store, Store, StoreError, sha256_hex};
use double::Double;

fn config(text: &str) -> Result<S3Config, String> {
    let problems = Problems::default();
    let env = |name: &str| (name == "KEY").then(|| "key".to_owned());
    let node = settings::parse_with("s3.yaml", text, Syntax::Yaml, &env, &problems).unwrap();
    let mut table = Table::new(&node, &problems);
    let config = S3Config::prove(&mut table);
    table.finish();
    if problems.is_empty() { Ok(config) } else { Err(problems.to_string()) }
}

fn store(endpoint: &str, more: &str) -> Store {
    let auth = "auth: {access_key_id: $KEY, secret_access_key: $KEY}";
    Store::S3(S3Store::new(
        &config(&format!("bucket: logs\nendpoint: {endpoint}\n{auth}\n{more}\n")).unwrap(),
    ))
}

async fn put(store: &Store, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
    store.put_if_absent(key, bytes, &sha256_hex(bytes)).await
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (String, Option<Duration>) {
    match result {
        Err(error @ StoreError::Unavailable { after, .. }) => (error.to_string(), after),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_bytes_twice_are_one_object_and_others_are_a_conflict() {
    let double = Double::start().await;
    let store = store(&double.url, "key_prefix: prod/");
    assert_eq!(put(&store, "segments/a", b"one").await.unwrap(), Put::Created);
    assert_eq!(put(&store, "segments/a", b"one").await.unwrap(), Put::AlreadySame);
    let error = put(&store, "segments/a", b"two").await.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { found, .. } if *found == sha256_hex(b"one")), "{error}");
    assert_eq!(store.get("segments/a").await.unwrap(), b"one");
    assert!(matches!(store.get("segments/b").await, Err(StoreError::Missing { key }) if key == "segments/b"));
    assert_eq!(double.keys(), ["prod/segments/a"]);
}

#[tokio::test]
async fn an_object_that_was_put_without_a_checksum_is_read_to_be_compared() {
    let double = Double::start().await;
    let store = store(&double.url, "");
    double.keep("segments/a", b"one", None);
    assert_eq!(put(&store, "segments/a", b"one").await.unwrap(), Put::AlreadySame);
    assert!(matches!(put(&store, "segments/a", b"two").await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn a_list_goes_over_all_pages_and_leaves_the_prefix_out() {
    let double = Double::start().await;
    let store = store(&double.url, "key_prefix: prod/");
    for number in (0..7).rev() {
        put(&store, &format!("segments/{number}"), b"x").await.unwrap();
    }
    double.keep("other/segments/8", b"x", None);
    let want: Vec<String> = (0..7).map(|number| format!("segments/{number}")).collect();
    assert_eq!(store.list("segments/").await.unwrap(), want);
    assert_eq!(store.list("none").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn every_refusal_may_be_tried_again_and_says_where_and_what_to_mend() {
    let double = Double::start().await;
    let store = store(&double.url, "");
    double.answer_next(503, "SlowDown", &[("retry-after", "3")]);
    let (text, after) = unavailable(put(&store, "segments/a", b"one").await);
    let place = format!("put segments/a, bucket logs at {}", double.url);
    assert_eq!((text, after), (format!("{place}: answered 503 SlowDown"), Some(Duration::from_secs(3))));
    double.answer_next(403, "AccessDenied", &[]);
    let (text, _) = unavailable(put(&store, "segments/a", b"one").await);
    assert!(text.contains("answered 403 AccessDenied; allow these credentials s3:PutObject"), "{text}");
    double.answer_next(404, "NoSuchBucket", &[]);
    let (text, _) = unavailable(store.list("").await);
    assert!(text.ends_with("answered 404 NoSuchBucket; make the bucket, or mend `bucket`"), "{text}");
    // Nothing was tried again behind our back.
    assert_eq!(double.requests(), 3);
    assert_eq!(put(&store, "segments/a", b"one").await.unwrap(), Put::Created);
}

#[tokio::test]
async fn bytes_that_rot_there_or_on_the_way_are_not_handed_on() {
    let double = Double::start().await;
    let store = store(&double.url, "");
    double.keep("segments/a", b"rot", Some(&sha256_hex(b"one")));
    let (text, _) = unavailable(store.get("segments/a").await);
    assert!(text.starts_with("get segments/a, bucket logs at "), "{text}");
}

#[tokio::test]
async fn a_server_that_is_away_or_hangs_is_told_apart_from_one_that_refuses() {
    let away = store("http://127.0.0.1:9", "");
    let (text, _) = unavailable(put(&away, "segments/a", b"one").await);
    assert!(
        text.contains("bucket logs at http://127.0.0.1:9: no answer: ") && text.contains("refused"),
        "{text}"
    );
    let double = Double::start().await;
    double.hang();
    let hangs = store(&double.url, "request: {timeout_secs: 200ms}");
    let (text, _) = unavailable(hangs.get("segments/a").await);
    assert!(text.contains(": no answer: ") && text.contains("timeout"), "{text}");
}

#[tokio::test]
async fn hostile_keys_reach_no_bucket() {
    let double = Double::start().await;
    let store = store(&double.url, "");
    for key in ["", "..", "a/../b", "/a", "a//b", "a\nb", "%2e%2e/x", "a b"] {
        assert!(matches!(put(&store, key, b"x").await, Err(StoreError::Key { .. })), "{key:?}");
        assert!(matches!(store.get(key).await, Err(StoreError::Key { .. })), "{key:?}");
    }
    assert_eq!(double.requests(), 0);
}

#[test]
fn mistakes_in_the_configuration_are_told_all_at_once() {
    let wrong = "endpoint: localhost:9000\nkey_prefix: date=%F\nauth: {access_key_id: plain}\ntls: {ca_file: /dev/null}\nrequest: {timeout_secs: 0}\nacl: private\n";
    let want = "s3.yaml:1: bucket: this key is missing; expected text
s3.yaml:1: endpoint: \"localhost:9000\" is no URL; an http:// or https:// URL is expected
s3.yaml:2: key_prefix: it stands before the key as it is: end it with a slash
s3.yaml:3: auth.access_key_id: a credential in plain text; write ${VARIABLE} here, or name a file in access_key_id_file
s3.yaml:3: auth.secret_access_key: this key is missing; expected ${VARIABLE}, or a file in its _file key
s3.yaml:4: tls.ca_file: the file /dev/null holds no certificate
s3.yaml:5: request.timeout_secs: must be more than 0
s3.yaml:6: acl: unknown key; allowed here: bucket, endpoint, region, request, auth, key_prefix, force_path_style, tls";
    assert_eq!(config(wrong).unwrap_err(), want);
    let alone = config("bucket: logs\n").unwrap_err();
    let want = "s3.yaml:1: auth: this key is missing; set auth.access_key_id and auth.secret_access_key: no other credentials are looked for
s3.yaml:1: region: this key is missing; name the region of the bucket, or an endpoint";
    assert_eq!(alone, want);
}

#[test]
fn credentials_are_never_shown() {
    let config =
        config("bucket: logs\nregion: eu-central-1\nauth: {access_key_id: $KEY, secret_access_key: $KEY}\n");
    let config = S3Config { secret_access_key: "hunter2".to_owned(), ..config.unwrap() };
    assert!(config.force_path_style);
    assert!(!format!("{config:?} {:?}", S3Store::new(&config)).contains("hunter2"));
}
