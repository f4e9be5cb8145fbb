//! Commands out of the table: a byte picks the command, the next how many arguments it gets, and each argument is a word of the
//! list, a small number, or bytes of the input. Whatever comes, every reply is well-formed and the counts agree.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use upkv::{Db, ManualClock, Reply, Store};

/// Keys, options and numbers at the edges; offsets that make strings of half a GiB are left to the tests.
const WORDS: &str = "a b h z list set stream doc sketch places missing group ann f g 0 1 2 3 -1 -2 10 100 5000 1.5 inf -inf nan \
    9223372036854775807 -9223372036854775808 9223372036854775808 18446744073709551615 * ? [a-z] $ $..* $.a .a - + ( (1 [a ~ = > # \
    0-0 1-1 5-* 18446744073709551615-18446744073709551615 NX XX GT LT CH INCR EX PX EXAT PXAT KEEPTTL PERSIST GET SET IFEQ IFNE \
    FIELDS FNX FXX LIMIT COUNT MATCH TYPE BY ALPHA DESC ASC STORE DB REPLACE ABSTTL WEIGHTS AGGREGATE SUM MIN MAX BYSCORE BYLEX REV \
    WITHSCORES WITHSCORE WITHVALUES NOVALUES RANK MAXLEN MINID NOMKSTREAM KEEPREF DELREF ACKED IDS STREAMS BLOCK GROUP NOACK CREATE \
    MKSTREAM ENTRIESREAD IDLE TIME RETRYCOUNT FORCE JUSTID LASTID FULL FROMMEMBER FROMLONLAT BYRADIUS BYBOX km ANY WITHDIST WITHCOORD \
    WITHHASH STOREDIST LEFT RIGHT BEFORE AFTER AND OR XOR NOT DIFF ONE u8 i64 OVERFLOW SAT FAIL INCRBY BIT BYTE LEN IDX MINMATCHLEN";

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first)
    }

    fn argument(&mut self, words: &[&str]) -> Vec<u8> {
        match self.byte() {
            at if at < words.len() => words[at].as_bytes().to_vec(),
            at if at < 240 => (at.cast_signed() - 220).to_string().into_bytes(),
            at => {
                let (bytes, rest) = self.0.split_at((at - 240).min(self.0.len()));
                self.0 = rest;
                bytes.to_vec()
            }
        }
    }
}

fn well_formed(reply: &Reply) {
    let mut wire = Vec::new();
    reply.write_resp2(&mut wire);
    reply.write_resp3(&mut wire);
    assert!(wire.is_empty() || wire.ends_with(b"\r\n"));
}

fuzz_target!(|bytes: &[u8]| {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let commands: Vec<_> = upkv::commands().collect();
    let store = Store::memory_builder().clock(Arc::new(ManualClock::default()));
    let store = store.background(false).open().expect("a store");
    let db = Db::mount(&store, "fuzz").expect("mounts");
    for line in [
        "HSET h f 1 g 2",
        "ZADD z 1 a 2 b",
        "RPUSH list a b",
        "SADD set a 1",
        "XADD stream 1-1 f v",
    ] {
        db.command(line.split(' ')).expect("a right command");
    }
    db.command(["JSON.SET", "doc", "$", r#"{"a":[1,2]}"#])
        .expect("a right command");
    db.command(["XGROUP", "CREATE", "stream", "group", "0"])
        .expect("a right command");
    let mut session = db.session();
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        let info = &commands[(input.byte() * 256 + input.byte()) % commands.len()];
        let mut line: Vec<Vec<u8>> = info.name.split('|').map(|word| word.into()).collect();
        for _ in 0..input.byte() % 9 {
            line.push(input.argument(&words));
        }
        let outcome = {
            let future = pin!(session.command_async(line));
            future.poll(&mut Context::from_waker(Waker::noop()))
        };
        match outcome {
            Poll::Ready(Ok(reply)) => well_formed(&reply),
            Poll::Ready(Err(error)) => well_formed(&Reply::from(&error)),
            // It waits: its session has nothing more to do.
            Poll::Pending => session = db.session(),
        }
        db.command(["CLIENT", "UNPAUSE"]).ok();
    }
    db.audit().expect("the counts agree");
});
