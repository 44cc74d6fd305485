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
    commit(tx).await.unwrap();
    store.close().await;
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 999 }), "{error}");
}
