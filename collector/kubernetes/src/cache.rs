//! What is known of one kind of object: the events of a watch, taken one by one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::objects::{Kept, Key};

/// Objects that were deleted and are still known: logs are read after their pod is gone.
const DELETED: usize = 500;

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

    /// Every object that is known: those that are there, and the last 500 that were deleted.
    pub fn known(&self) -> Vec<Arc<T>> {
        let state = self.state();
        let deleted = state.deleted.iter().filter(|(key, _)| !state.live.contains_key(key));
        let deleted: BTreeMap<&Key, &Arc<T>> = deleted.map(|(key, object)| (key, object)).collect();
        state.live.values().chain(deleted.into_values()).cloned().collect()
    }

    /// Takes what was known to an earlier process, until the first complete list takes its place.
    pub fn restore(&self, objects: impl IntoIterator<Item = Arc<T>>) {
        let mut state = self.state();
        for object in objects {
            state.live.entry(object.key()).or_insert(object);
        }
        drop(state);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// A number that grows with every change of what is kept, and with every complete list.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes one event of a watch.
    pub fn apply(&self, event: Event<T::Object>) {
        let changed = match event {
            Event::Init => {
                self.state().listing = Some(BTreeMap::new());
                false
            }
            Event::InitApply(object) => {
                if let Some(object) = T::keep(object) {
                    let mut state = self.state();
                    state.listing.get_or_insert_default().insert(object.key(), Arc::new(object));
                }
                false
            }
            Event::InitDone => {
                self.state().listed();
                true
            }
            Event::Apply(object) => T::keep(object).is_some_and(|object| self.state().put(object)),
            Event::Delete(object) => T::keep(object).is_some_and(|object| self.state().delete(&object.key())),
        };
        if changed {
            self.changed.send_modify(|changes| *changes += 1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Kept> State<T> {
    /// Returns whether anything that is kept differs.
    fn put(&mut self, object: T) -> bool {
        let key = object.key();
        if self.live.get(&key).is_some_and(|known| **known == object) {
            return false;
        }
        self.live.insert(key, Arc::new(object));
        true
    }

    /// What was there and is not in the new list was deleted while nobody watched.
    fn listed(&mut self) {
        let mut listing = self.listing.take().unwrap_or_default();
        let gone: Vec<Key> = self.live.keys().filter(|key| !listing.contains_key(*key)).cloned().collect();
        for key in &gone {
            self.delete(key);
        }
        // What is the same stays the same object, so that whoever made something of it need not do so again.
        for (key, known) in std::mem::take(&mut self.live) {
            if listing.get(&key).is_some_and(|new| *new == known) {
                listing.insert(key, known);
            }
        }
        self.live = listing;
        self.complete = true;
    }

    fn delete(&mut self, key: &Key) -> bool {
        let Some(object) = self.live.remove(key) else { return false };
        self.deleted.push_back((key.clone(), object));
        if self.deleted.len() > DELETED {
            self.deleted.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests;
