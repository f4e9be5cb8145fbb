//! Keys of every type: names, deadlines, sorting, inspection.

use super::{Chapter, rule};
use crate::compare::Compare;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "keys",
    letter: '*',
    pools: &[
        (
            "kind",
            &["hash", "string", "zset", "list", "ZSET", "nonsense"],
        ),
        ("db", &["0", "1", "15", "16", "-1", "x"]),
        ("by", &["nosort", "s*", "z*", "h*->f1", "*", "h0->*", "x"]),
        ("get", &["#", "s*", "h*->f2", "h0", "*->", "x"]),
    ],
    rules: &[
        rule("DEL|UNLINK {key}").often(2),
        rule("EXISTS|TOUCH {key}"),
        rule("TYPE key"),
        rule("RENAME key key"),
        rule("RENAMENX key key"),
        rule("COPY key key [REPLACE] [DB db]"),
        rule("EXPIRE key span [NX|XX|GT|LT]"),
        rule("PEXPIRE key millis [NX|XX|GT|LT]"),
        rule("EXPIRE|PEXPIRE key badspan [NX|XX|GT|LT] [NX|XX]"),
        rule("EXPIREAT key secondat [NX|XX|GT|LT] [XX|GT|LT]"),
        rule("PEXPIREAT key milliat [NX|XX|GT|LT]"),
        rule("TTL|EXPIRETIME key").compare(Compare::Near(3)),
        rule("PTTL|PEXPIRETIME key").compare(Compare::Near(3000)),
        rule("PERSIST key"),
        rule("KEYS pattern").compare(Compare::Unordered),
        rule("SCAN 0 COUNT 1000 [MATCH pattern] [TYPE kind]").compare(Compare::Unordered),
        rule("SCAN index COUNT count")
            .compare(Compare::Unordered)
            .rarely(),
        rule("RANDOMKEY").compare(Compare::Shape).rarely(),
        rule("DBSIZE").rarely(),
        rule("FLUSHALL|FLUSHDB").rarely(),
        rule("FLUSHALL|FLUSHDB ASYNC|SYNC|X").rarely(),
        rule("MOVE key db").rarely(),
        rule("SORT|SORT_RO key [ALPHA] [ASC|DESC] [LIMIT limit limit] [GET get] [GET get]"),
        // The order of equal weights is that of the server's hash table.
        rule("SORT|SORT_RO key [ALPHA] BY by [ASC|DESC] [GET get]").compare(Compare::Unordered),
        rule("OBJECT FREQ|NONSENSE key").rarely(),
        rule("MEMORY USAGE Missing [SAMPLES count]")
            .compare(Compare::Shape)
            .rarely(),
        // Equal digests are equal values, to the last bit of a score.
        rule("DEBUG DIGEST-VALUE {key}"),
        rule("DEBUG OBJECT key").compare(Compare::Shape).rarely(),
        rule("WAIT 0|-1|X 0|-1|X|5").rarely().in_multi(),
        rule("NONSENSE key").rarely(),
        rule("GET|SET|HSET|ZADD|EXPIRE|PING|ECHO|OBJECT|COPY").rarely(),
        rule("PING value").rarely(),
        rule("ECHO bytes").rarely(),
    ],
};
