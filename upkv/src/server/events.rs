//! Which keyspace events are published, and under which names.
//!
//! The setting is the text of Redis' `notify-keyspace-events`. Off, an event costs one load.

use super::channels::Channels;
use super::inbox::{Message, Wakes};
use crate::keyspace::work::event::Class;
use crate::storage::sync::{AtomicU32, Ordering};
use crate::value::owned::Value;

/// `K`: publish to `__keyspace@<db>__:<key>`.
const KEYSPACE: u32 = 1 << 16;
/// `E`: publish to `__keyevent@<db>__:<event>`.
const KEYEVENT: u32 = 1 << 17;

/// The letters, in the order in which Redis writes them.
const LETTERS: &[(char, u32)] = &[
    ('g', Class::GENERIC.0 as u32),
    ('$', Class::STRING.0 as u32),
    ('l', Class::LIST.0 as u32),
    ('s', Class::SET.0 as u32),
    ('h', Class::HASH.0 as u32),
    ('z', Class::ZSET.0 as u32),
    ('x', Class::EXPIRED.0 as u32),
    ('e', Class::EVICTED.0 as u32),
    ('t', Class::STREAM.0 as u32),
    ('d', Class::MODULE.0 as u32),
    ('n', Class::NEW.0 as u32),
    ('K', KEYSPACE),
    ('E', KEYEVENT),
    ('m', Class::MISS.0 as u32),
];

/// What `A` stands for: everything but misses and new keys.
fn all() -> u32 {
    let outside = u32::from(Class::MISS.0 | Class::NEW.0) | KEYSPACE | KEYEVENT;
    let letters = LETTERS.iter().map(|(_, bit)| bit);
    letters.fold(0, |all, bit| all | bit) & !outside
}

fn flags(letters: &[u8]) -> Option<u32> {
    letters.iter().try_fold(0, |flags, letter| {
        let known = LETTERS
            .iter()
            .find(|(known, _)| *known == char::from(*letter));
        let bit = match known {
            Some((_, bit)) => *bit,
            None if *letter == b'A' => all(),
            None => return None,
        };
        Some(flags | bit)
    })
}

/// Whether all letters of a setting are known.
pub(crate) fn is_setting(letters: &[u8]) -> bool {
    flags(letters).is_some()
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Events {
    flags: AtomicU32,
}

impl Events {
    /// Whether events of a class are published at all.
    pub(crate) fn wants(&self, class: Class) -> bool {
        // Relaxed: the setting stands alone.
        let flags = self.flags.load(Ordering::Relaxed);
        flags & u32::from(class.0) != 0 && flags & (KEYSPACE | KEYEVENT) != 0
    }

    /// Whether no event is published at all.
    pub(crate) fn is_quiet(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & (KEYSPACE | KEYEVENT) == 0
    }

    /// Sets which events are published; `false`, and nothing changes, if the text has an unknown letter.
    pub(crate) fn set(&self, letters: &[u8]) -> bool {
        let flags = flags(letters);
        if let Some(flags) = flags {
            self.flags.store(flags, Ordering::Relaxed);
        }
        flags.is_some()
    }

    /// The setting, in the form Redis answers.
    pub(crate) fn text(&self) -> String {
        let mut left = self.flags.load(Ordering::Relaxed);
        let mut text = String::new();
        if left & all() == all() {
            text.push('A');
            left &= !all();
        }
        let set = LETTERS.iter().filter(|(_, bit)| left & bit != 0);
        text.extend(set.map(|(letter, _)| letter));
        text
    }

    pub(super) fn publish(
        &self,
        channels: &Channels,
        class: Class,
        name: &str,
        db: u8,
        key: &[u8],
        wakes: &mut Wakes,
    ) {
        if !self.wants(class) {
            return;
        }
        let flags = self.flags.load(Ordering::Relaxed);
        let mut send = |channel: Vec<u8>, payload: &[u8]| {
            let message = Message {
                channel: Value::from(bytes::Bytes::from(channel)),
                pattern: None,
                payload: Value::copy(payload),
                sharded: false,
            };
            channels.publish(&message, wakes);
        };
        if flags & KEYSPACE != 0 {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            send(channel, name.as_bytes());
        }
        if flags & KEYEVENT != 0 {
            send(format!("__keyevent@{db}__:{name}").into_bytes(), key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_as_in_redis() {
        let events = Events::default();
        for (given, told) in [
            ("KEA", "AKE"),
            ("", ""),
            ("KElg", "glKE"),
            ("Eg$lshztxed", "AE"),
            ("KEAmn", "AnKEm"),
            ("Kx", "xK"),
        ] {
            assert!(events.set(given.as_bytes()), "{given}");
            assert_eq!(events.text(), told, "{given}");
        }
        assert!(!events.set(b"KEq"));
        assert_eq!(events.text(), "xK", "a bad setting changes nothing");
        assert!(events.wants(Class::EXPIRED));
        assert!(!events.wants(Class::LIST));
        assert!(events.set(b"A"));
        assert!(!events.wants(Class::LIST), "neither K nor E was given");
    }
}
