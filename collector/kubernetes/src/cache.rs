//! What is known of one kind of object: kept up to date by a watch, kept as it is while the API server is away.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, pin_mut};
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

use crate::access::Client;
use crate::objects::{Kept, Key};

/// Objects that a page of a list holds: what is decoded at once, whatever the size of the cluster.
const PAGE: u32 = 500;

/// Objects that were deleted and are still known: logs are read after their pod is gone.
const DELETED: usize = 500;

/// Which objects are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of the cluster.
    #[default]
    All,
    /// Those that a field selector takes, such as `spec.nodeName=n1`.
    Fields(String),
}

/// Objects of one kind. Clones are the same cache.
#[derive(Debug)]
pub struct Cache<T> {
    state: Arc<Mutex<State<T>>>,
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct State<T> {
    live: BTreeMap<Key, Arc<T>>,
    /// A list that is being read; it takes the place of `live` when it is complete.
    listing: Option<BTreeMap<Key, Arc<T>>>,
    /// The newest last.
    deleted: VecDeque<(Key, Arc<T>)>,
    complete: bool,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { live: BTreeMap::new(), listing: None, deleted: VecDeque::new(), complete: false }
    }
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }
}

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), changed: self.changed.clone() }
    }
}

impl<T: Kept> Cache<T> {
    /// An object, also one of the last 500 that were deleted.
    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        let state = self.state();
        let deleted = || state.deleted.iter().rev().find(|(name, _)| name == key).map(|(_, object)| object);
        state.live.get(key).or_else(deleted).cloned()
    }

    /// Every object that is there, by key.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.state().live.values().cloned().collect()
    }

    /// Whether a list was read to its end once; what is there may be older than the API server's word since.
    pub fn is_complete(&self) -> bool {
        self.state().complete
    }

    /// A number that grows with every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Keeps the cache up to date for ever: what cannot be reached or is refused is tried again with growing pauses, and a
    /// watch that the API server has forgotten (410) begins with a new list. `on_error` hears of each failure, once a try.
    pub async fn follow(&self, client: Client, scope: &Scope, on_error: impl Fn(&watcher::Error)) {
        let config = watcher::Config::default().page_size(PAGE);
        let config = match scope {
            Scope::All => config,
            Scope::Fields(selector) => config.fields(selector),
        };
        let events = watcher::watcher(Api::<T::Object>::all(client), config).default_backoff();
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.apply(event),
                Err(error) => on_error(&error),
            }
        }
    }

    /// Takes one event of a watch.
    pub fn apply(&self, event: Event<T::Object>) {
        let mut state = self.state();
        match event {
            Event::Init => state.listing = Some(BTreeMap::new()),
            Event::InitApply(object) => {
                if let Some((key, object)) = T::keep(object) {
                    let listing = state.listing.get_or_insert_default();
                    listing.insert(key, Arc::new(object));
                }
            }
            Event::InitDone => state.listed(),
            Event::Apply(object) => {
                if let Some((key, object)) = T::keep(object) {
                    state.live.insert(key, Arc::new(object));
                }
            }
            Event::Delete(object) => {
                if let Some((key, _)) = T::keep(object) {
                    state.delete(&key);
                }
            }
        }
        drop(state);
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// What was there and is not in the new list was deleted while nobody watched.
    fn listed(&mut self) {
        let listing = self.listing.take().unwrap_or_default();
        let gone: Vec<Key> = self.live.keys().filter(|key| !listing.contains_key(*key)).cloned().collect();
        gone.iter().for_each(|key| self.delete(key));
        self.live = listing;
        self.complete = true;
    }

    fn delete(&mut self, key: &Key) {
        if let Some(object) = self.live.remove(key) {
            self.deleted.push_back((key.clone(), object));
            if self.deleted.len() > DELETED {
                self.deleted.pop_front();
            }
        }
    }
}
