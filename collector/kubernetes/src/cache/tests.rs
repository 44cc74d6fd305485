//! Tests: what a cache knows after which events.

use k8s_openapi::api::core::v1 as core;
use serde_json::json;

use super::*;
use crate::objects::Pod;

fn pod(n: usize, ip: &str) -> core::Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": format!("web-{n}"), "uid": format!("uid-{n}")},
        "status": {"podIP": ip},
    }))
    .unwrap()
}

fn list(cache: &Cache<Pod>, numbers: impl IntoIterator<Item = usize>) {
    cache.apply(Event::Init);
    numbers.into_iter().for_each(|n| cache.apply(Event::InitApply(pod(n, "10.0.0.1"))));
    cache.apply(Event::InitDone);
}

fn get(cache: &Cache<Pod>, n: usize) -> Option<Arc<Pod>> {
    cache.get(&Key::Uid(format!("uid-{n}")))
}

#[test]
fn a_list_takes_the_place_of_what_was_known_when_it_is_complete() {
    let cache = Cache::default();
    list(&cache, [1, 2]);
    cache.apply(Event::Init);
    cache.apply(Event::InitApply(pod(3, "10.0.0.3")));
    // The API server went away in the middle of the list.
    assert_eq!((cache.all().len(), get(&cache, 3)), (2, None));
    assert!(cache.is_complete());
    list(&cache, [2, 3]);
    let names: Vec<String> = cache.all().iter().map(|pod| pod.name.clone()).collect();
    assert_eq!(names, ["web-2", "web-3"]);
}

#[test]
fn what_was_deleted_is_known_as_it_was_last() {
    let cache = Cache::default();
    list(&cache, [1, 2]);
    cache.apply(Event::Apply(pod(1, "10.0.0.9")));
    cache.apply(Event::Delete(pod(1, "")));
    list(&cache, []);
    assert_eq!(cache.all(), []);
    assert_eq!(get(&cache, 1).unwrap().ip.as_deref(), Some("10.0.0.9"));
    assert_eq!(get(&cache, 2).unwrap().name, "web-2");
    assert_eq!(cache.known().len(), 2);
}

#[test]
fn of_what_was_deleted_the_newest_are_kept_and_no_more() {
    let cache = Cache::default();
    list(&cache, []);
    for n in 0..3 * DELETED {
        cache.apply(Event::Apply(pod(n, "10.0.0.1")));
        cache.apply(Event::Delete(pod(n, "10.0.0.1")));
    }
    assert_eq!(cache.known().len(), DELETED);
    assert_eq!(get(&cache, 2 * DELETED - 1), None);
    assert!(get(&cache, 2 * DELETED).is_some());
}

#[test]
fn what_is_restored_holds_until_the_first_complete_list() {
    let (before, cache) = (Cache::default(), Cache::default());
    list(&before, [1, 2]);
    cache.restore(before.all());
    assert!(get(&cache, 1).is_some() && !cache.is_complete());
    cache.apply(Event::Init);
    cache.apply(Event::InitApply(pod(2, "10.0.0.2")));
    assert_eq!(cache.all().len(), 2);
    cache.apply(Event::InitDone);
    assert_eq!((cache.all().len(), cache.known().len()), (1, 2));
    assert_eq!(get(&cache, 2).unwrap().ip.as_deref(), Some("10.0.0.2"));
}

#[test]
fn a_change_of_what_is_not_kept_is_none() {
    let cache = Cache::default();
    list(&cache, [1]);
    let (changes, before) = (cache.changes(), get(&cache, 1).unwrap());
    let seen = *changes.borrow();
    let mut same = pod(1, "10.0.0.1");
    same.metadata.resource_version = Some("9".into());
    cache.apply(Event::Apply(same));
    assert_eq!(*changes.borrow(), seen);
    list(&cache, [1]);
    assert!(Arc::ptr_eq(&before, &get(&cache, 1).unwrap()));
    cache.apply(Event::Apply(pod(1, "10.0.0.2")));
    assert!(*changes.borrow() > seen);
}
