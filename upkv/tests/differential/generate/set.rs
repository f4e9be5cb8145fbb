//! Sets. What is taken or moved at random differs between servers, so nothing is taken at random.

use super::{Chapter, rule};
use crate::compare::Compare;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "set",
    letter: 'e',
    pools: &[
        (
            "member",
            &[
                "a",
                "b",
                "c",
                "",
                "1",
                "2",
                "01",
                "-7",
                "70000",
                "9223372036854775807",
                "a longer member",
            ],
        ),
        ("numkeys", &["2", "2", "2", "1", "0", "3", "-1", "x"]),
    ],
    rules: &[
        rule("SADD key {member}").often(4),
        rule("SREM key {member}"),
        rule("SCARD key"),
        rule("SISMEMBER key member"),
        rule("SMISMEMBER key {member}"),
        rule("SMEMBERS key").compare(Compare::Unordered),
        rule("SMOVE key key member").often(2),
        rule("SRANDMEMBER key [count]").compare(Compare::Shape),
        rule("SSCAN key 0 [MATCH pattern] [COUNT 1000]").compare(Compare::Unordered),
        rule("SINTER|SUNION|SDIFF {key}")
            .compare(Compare::Unordered)
            .often(2),
        rule("SINTERSTORE|SUNIONSTORE|SDIFFSTORE key {key}").often(2),
        rule("SINTERCARD numkeys key key [LIMIT limit]").often(2),
        rule("SORT key ALPHA [DESC|ASC] [LIMIT limit limit]"),
    ],
};
