//! Who watches all commands as they run.
//!
//! Without a watcher a command costs one load here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::inbox::{Inbox, Push, Wakes};
use crate::storage::Timestamp;
use crate::storage::sync::{AtomicUsize, Mutex, Ordering};

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    watchers: Mutex<BTreeMap<u64, Arc<Inbox>>>,
    count: AtomicUsize,
}

impl Monitor {
    pub(crate) fn watch(&self, inbox: &Arc<Inbox>) {
        let mut watchers = self.watchers.lock();
        watchers.insert(inbox.id, Arc::clone(inbox));
        self.count.store(watchers.len(), Ordering::Release);
    }

    pub(crate) fn leave(&self, id: u64) {
        let mut watchers = self.watchers.lock();
        watchers.remove(&id);
        self.count.store(watchers.len(), Ordering::Release);
    }

    pub(crate) fn is_used(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Tells the watchers that a client runs a command.
    pub(crate) fn feed(&self, now: Timestamp, db: u8, address: &str, args: &[&[u8]]) {
        if !self.is_used() {
            return;
        }
        let line = line(now, db, address, args);
        let mut wakes = Wakes::default();
        let watchers = self.watchers.lock();
        for inbox in watchers.values() {
            inbox.push(Push::Line(line.clone()), &mut wakes);
        }
        drop(watchers);
        drop(wakes);
    }
}

fn line(now: Timestamp, db: u8, address: &str, args: &[&[u8]]) -> String {
    let millis = now.as_millis();
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let mut line = format!("{seconds}.{rest:03}000 [{db} {address}]");
    for arg in args {
        line.push(' ');
        quote(arg, &mut line);
    }
    line
}

/// Appends bytes in double quotes, with what is not printable escaped.
pub(crate) fn quote(bytes: &[u8], out: &mut String) {
    out.push('"');
    for byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend(['\\', char::from(*byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digit = |at: u8| char::from(DIGITS[usize::from(at & 15)]);
                out.push_str("\\x");
                out.extend([digit(byte >> 4), digit(*byte)]);
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_as_in_redis() {
        let now = Timestamp::from_millis(1_700_000_000_042);
        let args: [&[u8]; 3] = [b"set", b"a \"b\"", b"\x00\xff\n"];
        assert_eq!(
            line(now, 3, "127.0.0.1:5", &args),
            r#"1700000000.042000 [3 127.0.0.1:5] "set" "a \"b\"" "\x00\xff\n""#
        );
    }
}
