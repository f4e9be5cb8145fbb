//! Lists.

use super::{Chapter, rule};

pub(super) const CHAPTER: Chapter = Chapter {
    name: "list",
    letter: 'l',
    pools: &[
        (
            "element",
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
                "a longer element",
            ],
        ),
        ("side", &["LEFT", "RIGHT", "left", "Right", "UP"]),
        ("numkeys", &["2", "2", "2", "1", "0", "3", "-1", "x"]),
        ("rank", &["1", "2", "-1", "-2", "0", "x"]),
        ("timeout", &["0", "1", "0.5", "-1", "x"]),
    ],
    rules: &[
        rule("LPUSH|RPUSH key {element}").often(4),
        rule("LPUSHX|RPUSHX key {element}"),
        rule("LPOP|RPOP key [count]"),
        rule("LLEN key"),
        rule("LINDEX key index"),
        rule("LRANGE key index index").often(2),
        rule("LTRIM key index index").rarely(),
        rule("LSET key index element"),
        rule("LREM key index element"),
        rule("LINSERT key (BEFORE|AFTER|ON) element element"),
        rule("LPOS key element [RANK rank] [COUNT limit] [MAXLEN limit]").often(2),
        rule("LMOVE key key side side"),
        rule("RPOPLPUSH key key"),
        rule("LMPOP numkeys key key side [COUNT positive]"),
        rule("BLPOP|BRPOP key key timeout").in_multi(),
        rule("BLMOVE key key side side timeout").in_multi(),
        rule("BRPOPLPUSH key key timeout").in_multi(),
        rule("BLMPOP timeout numkeys key key side [COUNT positive]").in_multi(),
        rule("SORT key [ALPHA] [DESC|ASC] [LIMIT limit limit] [STORE key]").often(2),
        rule("SORT_RO key ALPHA [LIMIT limit limit]"),
    ],
};
