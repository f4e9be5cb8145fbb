//! Hashes.

use super::{Chapter, rule};
use crate::compare::Compare;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "hash",
    letter: 'h',
    pools: &[
        ("field", &["f1", "f2", "f3", "f4", "x", "f1", "f2", "", "1"]),
        ("fields", &["FIELDS", "FIELDS", "FIELDS", "FIELDS", "fields", "FVS"]),
        ("many", &["1", "2", "3", "0", "-1", "x", "9223372036854775807"]),
    ],
    rules: &[
        rule("HSET key {field value}").often(3),
        rule("HSET key field bytes"),
        rule("HMSET key {field value}"),
        rule("HSETNX key field value"),
        rule("HGET key field").often(2),
        rule("HMGET key {field}"),
        // Large hashes have an order of their own on each side.
        rule("HGETALL key").compare(Compare::Pairs),
        rule("HKEYS|HVALS key").compare(Compare::Unordered),
        rule("HLEN key"),
        rule("HEXISTS|HSTRLEN key field"),
        rule("HDEL key {field}").often(2),
        rule("HINCRBY key field int").often(2),
        rule("HINCRBYFLOAT key field float"),
        rule("HSCAN key 0 [MATCH pattern] [COUNT 1000]").compare(Compare::Pairs),
        rule("HSCAN key index [MATCH pattern] [COUNT positive]")
            .compare(Compare::Shape)
            .rarely(),
        rule("HRANDFIELD key [count [WITHVALUES]]").compare(Compare::Shape),
        rule("HSCAN key 0 NOVALUES [MATCH pattern] [COUNT 1000]").compare(Compare::Unordered).since(7, 4),
        rule("HEXPIRE key span [NX|XX|GT|LT] FIELDS (1 field|2 field field|3 field field field)").since(7, 4).often(2),
        rule("HPEXPIRE key millis [NX|XX|GT|LT] FIELDS (1 field|2 field field)").since(7, 4).often(2),
        rule("HEXPIREAT key secondat [NX|XX|GT|LT] [NX] FIELDS (1 field|2 field field)").since(7, 4),
        rule("HPEXPIREAT key milliat [NX|XX|GT|LT] FIELDS (1 field|2 field field)").since(7, 4),
        rule("HEXPIRE|HPEXPIRE|HEXPIREAT|HPEXPIREAT key badspan [NX|XX|GT|LT] FIELDS 1 field").since(7, 4),
        rule("HEXPIRE|HPEXPIRE|HEXPIREAT|HPEXPIREAT key 4000000 [fields many] {field} [NX|XX]").since(7, 4).rarely(),
        rule("HTTL|HEXPIRETIME key FIELDS (1 field|2 field field)").compare(Compare::Near(3)).since(7, 4),
        rule("HPTTL|HPEXPIRETIME key FIELDS (1 field|2 field field)").compare(Compare::Near(3000)).since(7, 4),
        rule("HPERSIST key FIELDS (1 field|2 field field)").since(7, 4),
        rule("HTTL|HPTTL|HPERSIST|HEXPIRETIME|HPEXPIRETIME|HGETDEL key fields many {field}")
            .compare(Compare::Near(3000))
            .since(8, 0),
        rule("HGETDEL key FIELDS (1 field|2 field field)").since(8, 0),
        rule(
            "HGETEX key [PERSIST|EX span|PX millis|EXAT secondat|PXAT milliat|EX badspan|PX badspan] \
             FIELDS (1 field|2 field field)",
        )
        .since(8, 0)
        .often(2),
        rule("HGETEX key [PERSIST] [EX span] [fields many {field}] [PXAT milliat]").since(8, 0).rarely(),
        rule(
            "HSETEX key [FNX|FXX] [KEEPTTL|EX span|PX millis|EXAT secondat|PXAT milliat|EX badspan|PX badspan] \
             FIELDS (1 field value|2 field value field value)",
        )
        .since(8, 0)
        .often(3),
        rule("HSETEX key [FNX] [KEEPTTL] [fields many {field value}] [EX span] [FXX]").since(8, 0).rarely(),
    ],
};
