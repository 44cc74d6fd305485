//! Stores of earlier and later versions.

use super::*;

async fn version(store: &Store) -> Option<String> {
    let mut tx = store.begin().await.unwrap();
    meta(&mut tx, "schema_version").await.unwrap()
}

/// A store as the first version made it.
async fn first_version(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    tx.execute(include_str!("schema.sql")).await.unwrap();
    set_meta(&mut tx, "schema_version", "1").await.unwrap();
    tx.execute("INSERT INTO collectors (collector, epoch, watermark_ms) VALUES ('node', 'e', 60000)")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_up_to_date_once_and_keeps_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.db");
    first_version(&path).await;
    for _ in 0..2 {
        let store = Store::open(&path).await.unwrap();
        assert_eq!(version(&store).await, Some(SCHEMA_VERSION.to_string()));
        let mut tx = store.begin().await.unwrap();
        let collectors = counts::all_collectors(&mut tx).await.unwrap();
        let held: Vec<_> =
            collectors.iter().map(|c| (&*c.collector, c.watermark_ms, c.archived_to_ms)).collect();
        assert_eq!(held, [("node", Some(60_000), None)]);
        drop(tx);
        store.close().await;
    }
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.db");
    let store = Store::open(&path).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    set_meta(&mut tx, "schema_version", "999").await.unwrap();
    set_meta(&mut tx, "min_reader", "998").await.unwrap();
    commit(tx).await.unwrap();
    store.close().await;
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 999 }), "{error}");
}

#[tokio::test]
async fn a_later_version_that_only_added_is_gone_on_with_after_a_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.db");
    let store = Store::open(&path).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.execute("ALTER TABLE collectors ADD COLUMN mood TEXT").await.unwrap();
    tx.execute("CREATE TABLE moods (mood TEXT PRIMARY KEY)").await.unwrap();
    set_meta(&mut tx, VERSION, &(SCHEMA_VERSION + 1).to_string()).await.unwrap();
    commit(tx).await.unwrap();
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    let collector = counts::StoredCollector {
        collector: "node".to_owned(),
        epoch: "e".to_owned(),
        watermark_ms: Some(60_000),
        archived_to_ms: None,
        node: None,
        gone: None,
    };
    let epoch = store.take_epoch().await.unwrap();
    let mut tx = store.begin_as(epoch).await.unwrap();
    apply(&mut tx, &[Change::Collector(collector.clone())]).await.unwrap();
    commit(tx).await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(counts::all_collectors(&mut tx).await.unwrap(), [collector]);
    assert_eq!(version(&store).await, Some((SCHEMA_VERSION + 1).to_string()), "the version is left as it is");
}

#[tokio::test]
async fn whoever_had_the_right_to_write_has_it_no_more_when_another_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("engine.db")).await.unwrap();
    let first = store.take_epoch().await.unwrap();
    drop(store.begin_as(first).await.unwrap());
    let second = store.take_epoch().await.unwrap();
    let fenced = store.begin_as(first).await.unwrap_err();
    assert!(
        matches!(fenced, StoreError::Fenced { epoch, holder } if (epoch, holder) == (first, second)),
        "{fenced}"
    );
    drop(store.begin_as(second).await.unwrap());
}

#[tokio::test]
async fn readers_wait_for_no_writer_and_no_writer_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("engine.db")).await.unwrap();
    let mut reading = store.read().await.unwrap();
    meta(&mut reading, IDENTITY).await.unwrap();
    let mut writing = store.begin().await.unwrap();
    set_meta(&mut writing, "x", "1").await.unwrap();
    assert_eq!(meta(&mut store.read().await.unwrap(), "x").await.unwrap(), None);
    commit(writing).await.unwrap();
    assert_eq!(meta(&mut reading, "x").await.unwrap(), None, "as of when it began");
    assert!(reading.execute("DELETE FROM meta").await.is_err(), "a reader writes nothing");
}
