//! Bytes of a client, whole and in pieces: the same replies, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use upkv::{Connection, Db, Store};

fn replies(bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    let db = Db::mount(&Store::memory().ok()?, "kv").ok()?;
    let mut connection = Connection::new(db.session());
    let output = connection.output();
    let mut all = Vec::new();
    for piece in bytes.chunks(piece) {
        let open = connection.feed(piece);
        all.extend(output.take());
        if !open {
            break;
        }
    }
    Some(all)
}

fuzz_target!(|bytes: &[u8]| {
    // What pauses or waits would hang, and numbers of clients differ.
    let lower = bytes.to_ascii_lowercase();
    let waits = [&b"client"[..], b"hello", b"b", b"time", b"rand", b"pop"];
    let found = |word: &&[u8]| lower.windows(word.len()).any(|part| part == *word);
    if !waits.iter().any(|word| found(word)) {
        assert_eq!(replies(bytes, 1), replies(bytes, bytes.len().max(1)));
    }
});
