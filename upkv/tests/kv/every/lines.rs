//! Commands with gaps. A gap is `%` and a letter: a key of a type, or an argument.

use upkv::storage::testing::Run;

use super::super::{below, payload};

/// Commands whose effect is a function of their arguments and of what is there.
const LINES: &[&str] = &[
    // Strings.
    "SET %t %e",
    "SET %t %e PXAT %d",
    "SET %t %e KEEPTTL",
    "SET %t %n",
    "SETRANGE %t %c %e",
    "APPEND %t %e",
    "INCRBY %t %n",
    "INCRBYFLOAT %t 0.5",
    "GETDEL %t",
    "GETEX %t PXAT %d",
    "GETEX %t PERSIST",
    "MSET %t %e %t %e",
    "MSETNX %t %e %t %e",
    "SETBIT %b %n 1",
    "BITFIELD %b SET u8 %n 200 INCRBY i5 %c 1",
    "BITOP XOR %b %b %t",
    "BITOP NOT %b %b",
    "PFADD %p %m %m %e",
    "PFADD %p %e",
    "PFMERGE %p %p %p",
    // Hashes.
    "HSET %h %m %e",
    "HSET %h %m %e %m %e",
    "HSETNX %h %m %e",
    "HINCRBY %h num %n",
    "HINCRBYFLOAT %h num 1.5",
    "HDEL %h %m %m",
    "HPEXPIREAT %h %d FIELDS 2 %m %m",
    "HPEXPIREAT %h 1 FIELDS 1 %m",
    "HPERSIST %h FIELDS 1 %m",
    "HSETEX %h PXAT %d FIELDS 1 %m %e",
    "HSETEX %h FNX KEEPTTL FIELDS 1 %m %e",
    "HGETEX %h PXAT %d FIELDS 1 %m",
    "HGETDEL %h FIELDS 2 %m %m",
    // Lists.
    "RPUSH %l %e %m",
    "RPUSH %l %m %m %e",
    "LPUSH %l %e",
    "LPUSHX %l %m",
    "LPOP %l %c",
    "RPOP %l",
    "LSET %l %n %e",
    "LINSERT %l BEFORE %m %e",
    "LINSERT %l AFTER %m %m",
    "LREM %l %n %m",
    "LTRIM %l %n -2",
    "LTRIM %l 0 %n",
    "LMOVE %l %l LEFT RIGHT",
    "RPOPLPUSH %l %l",
    "LMPOP 2 %l %l RIGHT COUNT 2",
    "BLMOVE %l %l RIGHT LEFT 1",
    "SORT %l ALPHA STORE %l",
    "SORT %s ALPHA STORE %l",
    // Sets.
    "SADD %s %m %m %m",
    "SADD %s %n %n",
    "SADD %s %e",
    "SREM %s %m %m",
    "SPOP %s 1000",
    "SMOVE %s %s %m",
    "SINTERSTORE %s %s %s",
    "SUNIONSTORE %s %s %s",
    "SDIFFSTORE %s %s %s",
    // Sorted sets and places.
    "ZADD %z %n %m %n %m",
    "ZADD %z 0.1 %e",
    "ZADD %z GT CH %n %m",
    "ZADD %z XX INCR %n %m",
    "ZINCRBY %z %n %m",
    "ZREM %z %m %m",
    "ZPOPMIN %z",
    "ZPOPMAX %z %c",
    "ZMPOP 2 %z %z MAX COUNT 2",
    "BZPOPMIN %z 1",
    "ZREMRANGEBYRANK %z 0 1",
    "ZREMRANGEBYSCORE %z -1 1",
    "ZREMRANGEBYLEX %z [n1 [n2",
    "ZRANGESTORE %z %z 0 3 REV",
    "ZUNIONSTORE %z 2 %z %s",
    "ZINTERSTORE %z 2 %z %z WEIGHTS 1 2",
    "ZDIFFSTORE %z 2 %z %z",
    "GEOADD %z 12.%c 41.%c %m",
    "GEOSEARCHSTORE %z %z FROMLONLAT 12 41 BYRADIUS 100 km",
    // Streams.
    "XADD %x 5-* f %e",
    "XADD %x 5-* f %e g %m",
    "XADD %x MAXLEN 5 5-* f %m",
    "XADD %x MINID ~ 5-%a 5-* f %m",
    "XADD %x 5-* %e %e %e %e",
    "XTRIM %x MAXLEN 4 ACKED",
    "XTRIM %x MINID 5-%a DELREF",
    "XDEL %x 5-%a 5-%a",
    "XDELEX %x DELREF IDS 2 5-%a 5-%a",
    "XDELEX %x ACKED IDS 1 5-%a",
    "XACKDEL %x g KEEPREF IDS 2 5-%a 5-%a",
    "XSETID %x 5-%c%a",
    "XGROUP CREATE %x g 0 MKSTREAM",
    "XGROUP CREATE %x i $",
    "XGROUP SETID %x g 5-%a",
    "XGROUP CREATECONSUMER %x g c%c",
    "XGROUP DELCONSUMER %x g c%c",
    "XGROUP DESTROY %x i",
    "XREADGROUP GROUP g c%c COUNT 2 STREAMS %x >",
    "XREADGROUP GROUP g c%c STREAMS %x 0",
    "XREADGROUP GROUP g c%c NOACK STREAMS %x >",
    "XREADGROUP GROUP i c%c BLOCK 1 STREAMS %x >",
    "XACK %x g 5-%a 5-%a",
    "XCLAIM %x g c%c 0 5-%a 5-%a FORCE",
    "XCLAIM %x g c%c 0 5-%a JUSTID RETRYCOUNT 7 IDLE 5",
    "XAUTOCLAIM %x g c%c 0 0 COUNT 3",
    // Documents.
    "JSON.SET %j $ {\"a\":[1,2,%c],\"t\":\"%m\",\"n\":1,\"o\":{\"x\":null}}",
    "JSON.SET %j $.o.%m \"%e\"",
    "JSON.SET %j $..a [%c,{\"a\":%c}]",
    "JSON.MSET %j $ [%c] %j $ {\"n\":2,\"a\":[]}",
    "JSON.MERGE %j $ {\"o\":{\"x\":{\"y\":%c}},\"t\":null}",
    "JSON.DEL %j $.o.%m",
    "JSON.DEL %j $.a[%c]",
    "JSON.CLEAR %j $.*",
    "JSON.NUMINCRBY %j $..n 1.5",
    "JSON.NUMMULTBY %j $.n %c",
    "JSON.STRAPPEND %j $.t \"%e\"",
    "JSON.TOGGLE %j $.o.*",
    "JSON.SET %j $.o.flag true",
    "JSON.ARRAPPEND %j $..a %c \"%m\"",
    "JSON.ARRINSERT %j $.a 0 {\"deep\":[%c]}",
    "JSON.ARRPOP %j $.a %c",
    "JSON.ARRTRIM %j $.a 0 3",
    // Keys of every type.
    "DEL %k",
    "UNLINK %k %k",
    "RENAME %k %k",
    "RENAMENX %k %k",
    "COPY %k %k REPLACE",
    "COPY %k %k DB %o REPLACE",
    "MOVE %k %o",
    "PEXPIREAT %k %d",
    "PEXPIREAT %k %d GT",
    "PEXPIREAT %k 1",
    "PERSIST %k",
    "RESTORE %k 0 %k REPLACE",
];

/// Commands that are rare, since they leave little.
const SELDOM: &[&str] = &["FLUSHDB", "FLUSHALL", "SWAPDB 0 %o", "SWAPDB 1 2"];

/// Commands that leave something to chance.
const CHANCE: &[&str] = &["SPOP %s", "SPOP %s %c"];

/// Deadlines lie here: far enough that nothing becomes due in a test.
const FAR: usize = 40_000_000_000_000;

/// All commands, with their gaps.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    [LINES, SELDOM, CHANCE].into_iter().flatten().copied()
}

/// What comes before the first gap.
pub(super) fn title(line: &str) -> String {
    line.split('%').next().unwrap_or(line).trim_end().into()
}

/// A random command.
pub(super) fn random(run: &Run<'_>, predictable: bool) -> Vec<Vec<u8>> {
    let line = match below(run, 60) {
        0 => SELDOM[below(run, SELDOM.len())],
        1 | 2 if !predictable => CHANCE[below(run, CHANCE.len())],
        _ => LINES[below(run, LINES.len())],
    };
    line.split(' ').map(|word| fill(run, word)).collect()
}

fn fill(run: &Run<'_>, word: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = word.split('%');
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (gap, rest) = part.split_at(1);
        match gap {
            "e" => out.extend(payload(run)),
            "m" => out.extend(format!("n{}", below(run, 9)).bytes()),
            "n" => out.extend((below(run, 12).cast_signed() - 4).to_string().bytes()),
            "c" => out.extend((1 + below(run, 4)).to_string().bytes()),
            "a" => out.extend(below(run, 16).to_string().bytes()),
            "d" => out.extend((FAR + below(run, 9)).to_string().bytes()),
            "o" => out.extend(below(run, super::DATABASES.into()).to_string().bytes()),
            kind => out.extend(key(run, kind)),
        }
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

/// Two keys a type; sometimes one of another type than the command is for.
fn key(run: &Run<'_>, kind: &str) -> Vec<u8> {
    const KINDS: [&str; 9] = ["t", "b", "p", "h", "l", "s", "z", "x", "j"];
    let kind = if kind == "k" || below(run, 24) == 0 {
        KINDS[below(run, KINDS.len())]
    } else {
        kind
    };
    format!("{kind}{}", below(run, 2)).into_bytes()
}
