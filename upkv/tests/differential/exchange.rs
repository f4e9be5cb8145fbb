//! Values handed over between the two sides as payloads of `DUMP`, both ways.

use crate::server::{Ours, Side, Theirs, Value, Version};
use crate::walk::{self, Entry};

/// Where a value is restored.
const COPY: &[u8] = b"a copy from the other side";
/// The newest payloads that are taken in.
const NEWEST: u16 = 12;

/// The first of these values, which both sides hold, that does not arrive as it was sent: its name, and what arrived.
pub(crate) fn first_lost(
    ours: &mut Ours,
    theirs: &mut Theirs,
    entries: &[Entry],
) -> Option<(String, Value)> {
    let version = theirs.version;
    entries.iter().find_map(|entry| {
        let sent = hand_over(theirs, ours, entry, version);
        let sent = sent.map(|arrived| (format!("their payload of {}", entry.key.show()), arrived));
        sent.or_else(|| {
            let arrived = hand_over(ours, theirs, entry, version)?;
            Some((format!("our payload of {}", entry.key.show()), arrived))
        })
    })
}

/// What arrived, if it is not the value.
fn hand_over(
    from: &mut dyn Side,
    to: &mut dyn Side,
    entry: &Entry,
    version: Version,
) -> Option<Value> {
    let Value::Bytes(_, key) = &entry.key else {
        panic!("a key is a string");
    };
    let Value::Bytes(_, payload) = from.ask(&[b"DUMP".to_vec(), key.clone()]) else {
        // Its deadline came, or so did those of all its fields.
        return None;
    };
    let told = payload
        .len()
        .checked_sub(10)
        .map(|at| [payload[at], payload[at + 1]]);
    let told = told.map(u16::from_le_bytes);
    let line = [b"RESTORE".to_vec(), COPY.to_vec(), b"0".to_vec(), payload];
    let reply = to.ask(&line);
    if reply.is_error() {
        return (told <= Some(NEWEST)).then_some(reply);
    }
    let arrived = walk::entry(to, Value::Bytes(b'$', COPY.to_vec()), version);
    to.ask(&[b"DEL".to_vec(), COPY.to_vec()]);
    (!walk::same_value(entry, &arrived)).then(|| arrived.value())
}
