//! Which clients may hold copies of which keys, so that they can be told to forget them.
//!
//! Without a client that tracks keys, a change costs one load here. A session that reads a key registers before the
//! read and again after it: a change in between is met by the first registration, and what it tells arrives after the
//! reply. A client that is gone leaves its number in the table until the key changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::inbox::{Inbox, Push, Wakes};
use crate::storage::sync::{AtomicUsize, Mutex, Ordering};
use crate::value::owned::Value;

/// Keys in the table before one of them is dropped, with a message to those who track it.
const KEYS_MAX: usize = 1_000_000;

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Tracking {
    table: Mutex<Table>,
    clients: AtomicUsize,
    keys_max: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    keys: BTreeMap<Box<[u8]>, BTreeSet<u64>>,
    clients: BTreeMap<u64, Tracker>,
}

/// How one client wants to be told.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    /// The client's own.
    pub(crate) inbox: Arc<Inbox>,
    /// Another client that gets the messages instead.
    pub(crate) redirect: Option<Arc<Inbox>>,
    /// Not of its own changes.
    pub(crate) no_loop: bool,
    /// Of all keys that start with one of these, whether it read them or not.
    pub(crate) prefixes: Option<Vec<Box<[u8]>>>,
    /// The other client is gone.
    pub(crate) broken: bool,
}

impl Tracker {
    fn send(&mut self, keys: Option<Vec<Value>>, wakes: &mut Wakes) {
        let redirected = self.redirect.is_some();
        let push = Push::Invalidate { keys, redirected };
        match &self.redirect {
            None => drop(self.inbox.push(push, wakes)),
            Some(target) if target.push(push, wakes) => {}
            Some(target) => {
                self.broken = true;
                self.inbox.push(Push::RedirectBroken(target.id), wakes);
            }
        }
    }
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            clients: AtomicUsize::new(0),
            keys_max: AtomicUsize::new(KEYS_MAX),
        }
    }
}

impl Tracking {
    /// Whether any client tracks keys.
    pub(crate) fn is_used(&self) -> bool {
        // Acquire pairs with the Release of whoever starts: its later reads come after every change that missed it.
        self.clients.load(Ordering::Acquire) > 0
    }

    /// Number of clients that track keys.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    /// Number of keys in the table.
    pub(crate) fn keys(&self) -> usize {
        self.table.lock().keys.len()
    }

    /// Number of prefixes that clients track.
    pub(crate) fn prefixes(&self) -> usize {
        let table = self.table.lock();
        let prefixes = table
            .clients
            .values()
            .filter_map(|tracker| tracker.prefixes.as_ref());
        prefixes.map(Vec::len).sum()
    }

    /// After how many keys one is dropped for each that comes; 0 is no limit.
    pub(crate) fn keys_max(&self) -> usize {
        self.keys_max.load(Ordering::Relaxed)
    }

    /// Sets after how many keys one is dropped for each that comes; 0 is no limit.
    pub(crate) fn set_keys_max(&self, count: usize) {
        self.keys_max.store(count, Ordering::Relaxed);
    }

    /// Starts, or changes, the tracking of a client.
    pub(crate) fn start(&self, tracker: Tracker) {
        let mut table = self.table.lock();
        table.clients.insert(tracker.inbox.id, tracker);
        self.clients.store(table.clients.len(), Ordering::Release);
    }

    pub(crate) fn stop(&self, client: u64) {
        if !self.is_used() {
            return;
        }
        let mut table = self.table.lock();
        table.clients.remove(&client);
        if table.clients.is_empty() {
            table.keys.clear();
        }
        self.clients.store(table.clients.len(), Ordering::Release);
    }

    /// How a client tracks, if it does.
    pub(crate) fn of(&self, client: u64) -> Option<Tracker> {
        if !self.is_used() {
            return None;
        }
        self.table.lock().clients.get(&client).cloned()
    }

    /// A client reads keys.
    pub(crate) fn remember(&self, client: u64, keys: &[&[u8]]) {
        let keys_max = self.keys_max.load(Ordering::Relaxed);
        let mut wakes = Wakes::default();
        let mut table = self.table.lock();
        for key in keys {
            if let Some(readers) = table.keys.get_mut(*key) {
                readers.insert(client);
                continue;
            }
            if keys_max > 0 && table.keys.len() >= keys_max {
                // Whichever key comes next after the new one: as good as any.
                let after = (Bound::Excluded(*key), Bound::Unbounded);
                let next = table.keys.range::<[u8], _>(after).next();
                let victim = next.or_else(|| table.keys.first_key_value());
                if let Some(victim) = victim.map(|(key, _)| key.clone()) {
                    table.tell_readers(&victim, 0, &mut wakes);
                }
            }
            table.keys.insert((*key).into(), BTreeSet::from([client]));
        }
        drop(table);
        drop(wakes);
    }

    /// Keys changed, by the hand of a client or of nobody (0).
    pub(crate) fn invalidate(&self, keys: &[Box<[u8]>], by: u64, wakes: &mut Wakes) {
        let mut table = self.table.lock();
        for key in keys {
            table.tell_readers(key, by, wakes);
        }
        for (id, tracker) in &mut table.clients {
            let Some(prefixes) = &tracker.prefixes else {
                continue;
            };
            if tracker.no_loop && *id == by {
                continue;
            }
            let under = |prefix: &[u8]| {
                let wanted = keys.iter().filter(|key| key.starts_with(prefix));
                let wanted: BTreeSet<&Box<[u8]>> = wanted.collect();
                wanted.into_iter().map(|key| Value::copy(key)).collect()
            };
            // One message a prefix, since each was asked for on its own.
            let told: Vec<Vec<Value>> = prefixes.iter().map(|prefix| under(prefix)).collect();
            for keys in told.into_iter().filter(|keys| !keys.is_empty()) {
                tracker.send(Some(keys), wakes);
            }
        }
    }

    /// A whole database was emptied.
    pub(crate) fn invalidate_all(&self, by: u64, wakes: &mut Wakes) {
        let mut table = self.table.lock();
        table.keys.clear();
        for (id, tracker) in &mut table.clients {
            if !(tracker.no_loop && *id == by) {
                tracker.send(None, wakes);
            }
        }
    }
}

impl Table {
    fn tell_readers(&mut self, key: &[u8], by: u64, wakes: &mut Wakes) {
        for id in self.keys.remove(key).into_iter().flatten() {
            let tracker = self.clients.get_mut(&id);
            let tracker = tracker.filter(|tracker| tracker.prefixes.is_none());
            if let Some(tracker) = tracker.filter(|tracker| !(tracker.no_loop && id == by)) {
                tracker.send(Some(vec![Value::copy(key)]), wakes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(id: u64, prefixes: Option<&[&str]>) -> Tracker {
        let boxed = |prefix: &&str| Box::from(prefix.as_bytes());
        Tracker {
            inbox: Inbox::new(id, Arc::new(AtomicUsize::new(0))),
            redirect: None,
            no_loop: id == 7,
            prefixes: prefixes.map(|prefixes| prefixes.iter().map(boxed).collect()),
            broken: false,
        }
    }

    fn told(tracker: &Tracker) -> Vec<Option<Vec<Value>>> {
        let taken = std::iter::from_fn(|| tracker.inbox.take());
        let keys = taken.map(|push| match push {
            Push::Invalidate { keys, .. } => keys,
            other => panic!("unexpected {other:?}"),
        });
        keys.collect()
    }

    fn keys(names: &[&str]) -> Vec<Box<[u8]>> {
        names
            .iter()
            .map(|name| Box::from(name.as_bytes()))
            .collect()
    }

    #[test]
    fn readers_are_told_once_and_prefixes_always() {
        let tracking = Tracking::default();
        let (reader, all) = (tracker(1, None), tracker(2, Some(&["user:", "x"])));
        tracking.start(reader.clone());
        tracking.start(all.clone());
        tracking.remember(1, &[b"user:1", b"y"]);
        let mut wakes = Wakes::default();
        tracking.invalidate(&keys(&["user:1", "x1", "z"]), 0, &mut wakes);
        tracking.invalidate(&keys(&["user:1"]), 0, &mut wakes);
        let value = |name: &str| Value::copy(name.as_bytes());
        assert_eq!(told(&reader), [Some(vec![value("user:1")])]);
        let one = |name| Some(vec![value(name)]);
        assert_eq!(told(&all), [one("user:1"), one("x1"), one("user:1")]);
        tracking.invalidate_all(0, &mut wakes);
        assert_eq!(told(&reader), [None]);
        assert_eq!(tracking.keys(), 0);
        tracking.stop(1);
        tracking.stop(2);
        assert!(!tracking.is_used());
    }

    #[test]
    fn own_changes_are_left_out_on_request() {
        let tracking = Tracking::default();
        let one = tracker(7, None);
        tracking.start(one.clone());
        tracking.remember(7, &[b"a"]);
        tracking.invalidate(&keys(&["a"]), 7, &mut Wakes::default());
        assert!(told(&one).is_empty());
        tracking.invalidate(&keys(&["a"]), 0, &mut Wakes::default());
        assert!(told(&one).is_empty(), "the key was not read again");
    }

    #[test]
    fn a_full_table_drops_a_key_and_says_so() {
        let tracking = Tracking::default();
        tracking.set_keys_max(2);
        let one = tracker(1, None);
        tracking.start(one.clone());
        tracking.remember(1, &[b"a", b"b", b"c"]);
        assert_eq!(tracking.keys(), 2);
        assert_eq!(told(&one).len(), 1);
    }
}
