//! Who listens to which channels and patterns.
//!
//! Invariant: a publisher holds the registry for reading and puts references into inboxes; it never waits for a
//! subscriber. Names without subscribers are not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::inbox::{Inbox, Message, Push, Wakes};
use crate::glob;
use crate::storage::sync::{AtomicUsize, Ordering, RwLock};
use crate::value::owned::Value;

/// Subscribers of one name, by their numbers.
type Subscribers = BTreeMap<u64, Arc<Inbox>>;
type Names = BTreeMap<Box<[u8]>, Subscribers>;

/// What a subscription names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Channel,
    Pattern,
    /// A channel in the namespace of sharded messages.
    Shard,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    registry: RwLock<Registry>,
    /// Number of names, so that nobody locks anything while there are none.
    names: AtomicUsize,
}

#[derive(Debug, Default)]
struct Registry {
    channels: Names,
    patterns: Names,
    shards: Names,
}

impl Registry {
    fn of(&mut self, of: Of) -> &mut Names {
        match of {
            Of::Channel => &mut self.channels,
            Of::Pattern => &mut self.patterns,
            Of::Shard => &mut self.shards,
        }
    }

    fn names(&self, of: Of) -> &Names {
        match of {
            Of::Channel => &self.channels,
            Of::Pattern => &self.patterns,
            Of::Shard => &self.shards,
        }
    }

    fn len(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shards.len()
    }
}

impl Channels {
    pub(crate) fn subscribe(&self, of: Of, name: &[u8], inbox: &Arc<Inbox>) {
        let mut registry = self.registry.write();
        let subscribers = registry.of(of).entry(name.into()).or_default();
        subscribers.insert(inbox.id, Arc::clone(inbox));
        self.names.store(registry.len(), Ordering::Release);
    }

    pub(crate) fn unsubscribe(&self, of: Of, name: &[u8], inbox: &Inbox) {
        let mut registry = self.registry.write();
        let names = registry.of(of);
        if let Some(subscribers) = names.get_mut(name) {
            subscribers.remove(&inbox.id);
            if subscribers.is_empty() {
                names.remove(name);
            }
        }
        self.names.store(registry.len(), Ordering::Release);
    }

    /// The names that a client is subscribed to, and whether they are patterns.
    ///
    /// # Complexity
    ///
    /// O(names of all clients).
    pub(crate) fn names_of(&self, client: u64) -> Vec<(Box<[u8]>, bool)> {
        let registry = self.registry.read();
        let mut found = Vec::new();
        for of in [Of::Channel, Of::Pattern, Of::Shard] {
            let names = registry.names(of).iter();
            let names = names.filter(|(_, subscribers)| subscribers.contains_key(&client));
            found.extend(names.map(|(name, _)| (name.clone(), matches!(of, Of::Pattern))));
        }
        found
    }

    /// Delivers a message to the subscribers of its channel, then to those of patterns; the number of deliveries.
    pub(crate) fn publish(&self, message: &Message, wakes: &mut Wakes) -> usize {
        // Acquire pairs with the Release above: who subscribed before this call is seen.
        if self.names.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let registry = self.registry.read();
        let names = if message.sharded {
            &registry.shards
        } else {
            &registry.channels
        };
        let mut count = 0;
        for (_, inbox) in names.get(&*message.channel).into_iter().flatten() {
            count += usize::from(inbox.push(Push::Message(message.clone()), wakes));
        }
        if message.sharded {
            return count;
        }
        for (pattern, subscribers) in &registry.patterns {
            if !glob::matches(pattern, &message.channel) {
                continue;
            }
            let pattern = Value::copy(pattern);
            for inbox in subscribers.values() {
                let message = Message {
                    pattern: Some(pattern.clone()),
                    ..message.clone()
                };
                count += usize::from(inbox.push(Push::Message(message), wakes));
            }
        }
        count
    }

    /// How many would get a message.
    pub(crate) fn receivers(&self, channel: &[u8], sharded: bool) -> usize {
        if self.names.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let registry = self.registry.read();
        let open = |subscribers: &Subscribers| {
            let open = subscribers.values().filter(|inbox| !inbox.is_closed());
            open.count()
        };
        if sharded {
            return registry.shards.get(channel).map_or(0, open);
        }
        let exact = registry.channels.get(channel).map_or(0, open);
        let matching = registry.patterns.iter();
        let matching = matching.filter(|(pattern, _)| glob::matches(pattern, channel));
        exact
            + matching
                .map(|(_, subscribers)| open(subscribers))
                .sum::<usize>()
    }

    /// Names with subscribers that match a pattern.
    pub(crate) fn list(&self, of: Of, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let registry = self.registry.read();
        let names = registry.names(of).keys();
        let wanted = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        names.filter(|name| wanted(name)).cloned().collect()
    }

    /// Number of subscribers of a name.
    pub(crate) fn count(&self, of: Of, name: &[u8]) -> usize {
        let registry = self.registry.read();
        registry.names(of).get(name).map_or(0, Subscribers::len)
    }

    /// Cuts all subscribers off.
    pub(super) fn close(&self, wakes: &mut Wakes) {
        let registry = self.registry.read();
        for of in [Of::Channel, Of::Pattern, Of::Shard] {
            let subscribers = registry.names(of).values().flat_map(BTreeMap::values);
            subscribers.for_each(|inbox| inbox.close(wakes));
        }
    }

    /// Number of names with subscribers.
    pub(crate) fn names_in_use(&self, of: Of) -> usize {
        self.registry.read().names(of).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sync::AtomicUsize;

    fn message(channel: &str, payload: &str) -> Message {
        Message {
            channel: Value::copy(channel.as_bytes()),
            pattern: None,
            payload: Value::copy(payload.as_bytes()),
            sharded: false,
        }
    }

    fn inbox(id: u64) -> Arc<Inbox> {
        Inbox::new(id, Arc::new(AtomicUsize::new(0)))
    }

    #[test]
    fn a_subscriber_by_name_and_pattern_gets_both_the_name_first() {
        let channels = Channels::default();
        let one = inbox(1);
        assert_eq!(
            channels.publish(&message("news.a", "x"), &mut Wakes::default()),
            0
        );
        channels.subscribe(Of::Channel, b"news.a", &one);
        channels.subscribe(Of::Pattern, b"news.*", &one);
        channels.subscribe(Of::Shard, b"news.a", &one);
        assert_eq!(channels.receivers(b"news.a", false), 2);
        assert_eq!(
            channels.publish(&message("news.a", "x"), &mut Wakes::default()),
            2
        );
        let kinds: Vec<bool> = std::iter::from_fn(|| one.take())
            .map(|push| {
                matches!(
                    push,
                    Push::Message(Message {
                        pattern: Some(_),
                        ..
                    })
                )
            })
            .collect();
        assert_eq!(kinds, [false, true]);
        channels.unsubscribe(Of::Channel, b"news.a", &one);
        assert_eq!(
            channels.publish(&message("news.a", "x"), &mut Wakes::default()),
            1
        );
        assert!(channels.list(Of::Channel, None).is_empty());
        assert_eq!(
            channels.list(Of::Shard, Some(b"n*")),
            [Box::from(&b"news.a"[..])]
        );
        assert_eq!(channels.names_in_use(Of::Pattern), 1);
    }
}
