//! Hashes.

use super::{Chapter, rule};
use crate::compare::Compare;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "hash",
    letter: 'h',
    pools: &[("field", &["f1", "f2", "f3", "f4", "x", "f1", "f2", "", "1"])],
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
    ],
};
