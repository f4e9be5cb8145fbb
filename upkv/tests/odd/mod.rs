//! What tests with odd arguments share: keys of every type, what of them can be seen, and replies that are well-formed.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use upkv::{Db, Error, ManualClock, Reply, Session, Store};

/// No command on the few small values here takes longer, built without optimization and on a busy machine.
pub(crate) const SLOWEST: Duration = Duration::from_secs(20);
/// Strings may have 512 MiB, and a change of one may need the old and the new.
pub(crate) const PEAK_KIB: u64 = 4 << 20;
/// Strings above are removed before the next command.
pub(crate) const LARGE: usize = 1 << 16;

/// Keys of every type; commands that are not there yet leave theirs missing.
pub(crate) const FILL: &[&str] = &[
    "SET a 1",
    "SET b text",
    "HSET h f 1 g 2",
    "HPEXPIREAT h 70000000000000 FIELDS 1 f",
    "ZADD z 1 a 2 b",
    "GEOADD places 12.5 41.9 a 10.7 59.9 b",
    "PFADD sketch a b c",
    "JSON.SET doc $ {\"a\":[1,2,{\"b\":null}]}",
    "RPUSH list a b c 1",
    "SADD set a b 1",
    "XADD stream 1-1 f v",
    "XGROUP CREATE stream group 0",
];

pub(crate) fn args(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().into()).collect()
}

/// Runs a command as far as it goes without waiting; `None` if it would wait.
pub(crate) fn run(session: &mut Session, args: &[Vec<u8>]) -> Option<Result<Reply, Error>> {
    let context = &mut Context::from_waker(Waker::noop());
    match pin!(session.command_async(args)).poll(context) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// All that a client can see of the keys.
pub(crate) fn digest(db: &Db) -> Vec<(Vec<u8>, String)> {
    let read = |line: &str, key: &[u8]| {
        let word = |word: &str| match word {
            "key" => key.to_vec(),
            word => word.into(),
        };
        let line: Vec<Vec<u8>> = line.split(' ').map(word).collect();
        format!("{:?}", db.command(&line))
    };
    let entry = |key: Result<upkv::Value, Error>| {
        let key = key.expect("memory does not fail").into_vec();
        let kind = db.kind(&key).expect("memory does not fail");
        let contents = match kind.expect("listed").name() {
            "string" => read("GET key", &key),
            "hash" => read("HGETALL key", &key) + &read("HPEXPIRETIME key FIELDS 2 f g", &key),
            "zset" => read("ZRANGE key 0 -1 WITHSCORES", &key),
            "list" => read("LRANGE key 0 -1", &key),
            "set" => read("SMEMBERS key", &key),
            "stream" => read("XINFO STREAM key FULL", &key),
            _ => read("JSON.GET key", &key),
        };
        let deadline = read("PEXPIRETIME key", &key);
        (key, contents + &deadline)
    };
    let mut all: Vec<_> = db.keys("*").map(entry).collect();
    all.sort();
    all
}

/// What is left after one reply, if it is well-formed.
pub(crate) fn after_reply(bytes: &[u8], resp3: bool) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, mut rest) = (&bytes[1..end], &bytes[end + 2..]);
    let count = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'+' | b'-' => Some(rest),
        b':' => count().map(|_| rest),
        b'$' | b'*' if !resp3 && count()? == -1 => Some(rest),
        b'$' => rest
            .get(usize::try_from(count()?).ok()?..)?
            .strip_prefix(b"\r\n"),
        b'=' if resp3 => rest
            .get(usize::try_from(count()?).ok()?..)?
            .strip_prefix(b"\r\n"),
        b'_' | b',' | b'#' | b'(' if resp3 => Some(rest),
        b'|' if resp3 => {
            for _ in 0..u64::try_from(count()?).ok()? * 2 {
                rest = after_reply(rest, resp3)?;
            }
            after_reply(rest, resp3)
        }
        first @ (b'*' | b'~' | b'>' | b'%') if resp3 || first == b'*' => {
            let count = u64::try_from(count()?).ok()? * if first == b'%' { 2 } else { 1 };
            for _ in 0..count {
                rest = after_reply(rest, resp3)?;
            }
            Some(rest)
        }
        _ => None,
    }
}

pub(crate) fn assert_well_formed(reply: &Reply, shown: &str) {
    // What subscribes answers several messages, or none.
    let several = matches!(reply, Reply::Sequence(_));
    for resp3 in [false, true] {
        let mut wire = Vec::new();
        if resp3 {
            reply.write_resp3(&mut wire);
        } else {
            reply.write_resp2(&mut wire);
        }
        let mut rest = &wire[..];
        while several && !rest.is_empty() {
            rest = after_reply(rest, resp3).unwrap_or_else(|| panic!("{shown}: {reply:?}"));
        }
        let whole = several || after_reply(rest, resp3).is_some_and(<[u8]>::is_empty);
        assert!(whole, "RESP3 {resp3}: {shown}: {reply:?}");
    }
}

/// Time that this thread computed, where the system tells; else the time that passed.
pub(crate) struct Watch(Duration, Instant);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(computed().unwrap_or_default(), Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        computed().map_or_else(|| self.1.elapsed(), |now| now.saturating_sub(self.0))
    }
}

fn computed() -> Option<Duration> {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = status.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// The most memory that this process had so far, where the system tells.
pub(crate) fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

pub(crate) fn show(line: &[Vec<u8>]) -> String {
    let words: Vec<String> = line
        .iter()
        .map(|arg| format!("{:?}", arg.escape_ascii().to_string()))
        .collect();
    words.join(" ")
}

pub(crate) fn open() -> Db {
    let builder = Store::memory_builder().clock(Arc::new(ManualClock::default()));
    let store = builder.background(false).open();
    Db::mount(&store.expect("a store"), "kv").expect("mounts")
}
