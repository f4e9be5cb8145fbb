//! What chooses, mixes and empties databases.

use super::{Chapter, rule};

pub(super) const CHAPTER: Chapter = Chapter {
    name: "database",
    letter: '*',
    pools: &[
        ("db", &["0", "0", "0", "1", "1", "2", "15"]),
        (
            "odddb",
            &[
                "16",
                "-1",
                "x",
                "",
                "00",
                "9223372036854775808",
                "4294967296",
            ],
        ),
    ],
    rules: &[
        rule("SELECT 0").often(3),
        rule("SELECT db"),
        rule("SELECT odddb").rarely(),
        rule("MOVE key db").often(3),
        rule("MOVE key odddb").rarely(),
        rule("COPY key key DB db [REPLACE]").often(3),
        rule("COPY key key [REPLACE] [DB db] [DB odddb] [REPLACE]").rarely(),
        rule("SWAPDB db db"),
        rule("SWAPDB db|odddb odddb").rarely(),
        rule("DBSIZE").rarely(),
        rule("FLUSHDB [ASYNC|SYNC]").rarely(),
    ],
};
