//! Strings.

use super::{Chapter, rule};

pub(super) const CHAPTER: Chapter = Chapter {
    name: "string",
    letter: 's',
    pools: &[
        ("offset", &["0", "1", "5", "60", "100", "5000", "-1", "536870912", "9223372036854775807", "x"]),
        // Of 1, the empty string, abc and 10.
        (
            "digest",
            &[
                "65cd25028f98f158", "2d06800538d394c2", "78af5f94892f3950", "78AF5F94892F3950", "d0698444ed39c832", "0",
                "78af5f94892f395x", "78af5f94892f39501",
            ],
        ),
        ("common", &["1", "abc", "10", "", "01"]),
        ("pairs", &["1", "2", "2", "0", "-1", "x", "9223372036854775807"]),
    ],
    rules: &[
        rule("SET key value [NX|XX] [GET] [KEEPTTL|EX span|PX millis|EXAT secondat|PXAT milliat|EX badspan|PX badspan]").often(3),
        rule("SET key bytes"),
        rule("GET key").often(2),
        rule("GETSET key value"),
        rule("GETDEL key"),
        rule("GETEX key [PERSIST|EX span|PX millis|EXAT secondat|PXAT milliat|EX badspan]"),
        rule("SETNX key value"),
        rule("SETEX key span|badspan value"),
        rule("PSETEX key millis|badspan value"),
        rule("MGET {key}"),
        rule("MSET {key value}"),
        rule("MSETNX {key value}").rarely(),
        rule("APPEND key value|bytes").often(2),
        rule("STRLEN key"),
        rule("GETRANGE|SUBSTR key index index").often(2),
        rule("SETRANGE key offset value|bytes").often(2),
        rule("INCR|DECR key").often(2),
        rule("INCRBY|DECRBY key int").often(2),
        rule("INCRBYFLOAT key float"),
        rule("SET key common").since(8, 4).often(2),
        rule("SET key common [IFDEQ digest|IFDNE digest] [KEEPTTL|EX span|PXAT milliat|EX badspan]").since(8, 4).often(2),
        // With a bad digest servers would answer twice.
        rule("SET key common [IFEQ common|IFNE common|IFDEQ 78af5f94892f3950|IFDNE 65cd25028f98f158] [GET] [KEEPTTL|EX span|PXAT milliat|EX badspan]")
            .since(8, 4)
            .often(3),
        rule("SET key value [IFEQ common] [IFDNE 0] [NX|XX]").since(8, 4).rarely(),
        rule("DELEX key [IFEQ common|IFNE common|IFDEQ digest|IFDNE digest] [X]").since(8, 4).often(2),
        rule("DIGEST key").since(8, 4),
        rule("MSETEX (1 key value|2 key value key value) [NX|XX] [KEEPTTL|EX span|PX millis|EXAT secondat|PXAT milliat|EX badspan]")
            .since(8, 4)
            .often(2),
        rule("MSETEX pairs {key value} [NX|XX] [EX span] [KEEPTTL]").since(8, 4).rarely(),
        rule("LCS key key [LEN] [IDX] [MINMATCHLEN index] [WITHMATCHLEN]").often(2),
    ],
};
