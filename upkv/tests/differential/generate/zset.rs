//! Sorted sets. Lexical ranges mean something only where all scores are equal, so they have members of one score.

use super::{Chapter, rule};
use crate::compare::Compare;

const SCORES: Compare = Compare::Numbers(0.0);

pub(super) const CHAPTER: Chapter = Chapter {
    name: "zset",
    letter: 'z',
    pools: &[
        ("member", &["m1", "m2", "m3", "m4", "m5", "", "1", "x"]),
        ("score", &["0", "1", "-1", "2.5", "3", "10", "0.1", "1e20", "1e-7", "inf", "-inf", "nan", "x", "(1"]),
        ("bound", &["-inf", "+inf", "(1", "(2.5", "0", "3", "(-1", "10", "(inf", "x", "nan"]),
        ("lex", &["-", "+", "[m1", "(m1", "[m3", "(x", "[", "(", "m1"]),
        ("weight", &["1", "2", "0.5", "-1", "0", "inf", "x", "nan"]),
        ("numkeys", &["2", "2", "2", "1", "0", "3", "-1", "x", "9223372036854775807"]),
        ("lexkey", &["lex"]),
    ],
    rules: &[
        rule("ZADD key [NX|XX] [GT|LT] [CH] {score member}").compare(SCORES).often(4),
        rule("ZADD key [NX|XX] [GT|LT] [CH] INCR score member").compare(SCORES),
        rule("ZINCRBY key score member").compare(SCORES),
        rule("ZSCORE key member").compare(SCORES),
        rule("ZMSCORE key {member}").compare(SCORES),
        rule("ZCARD key"),
        rule("ZCOUNT key bound bound"),
        rule("ZREM key {member}"),
        rule("ZRANK|ZREVRANK key member"),
        rule("ZRANGE key index index [WITHSCORES] [REV] [LIMIT limit limit]").compare(SCORES).often(2),
        rule("ZRANGE key bound bound BYSCORE [WITHSCORES] [REV] [LIMIT limit limit]").compare(SCORES).often(2),
        rule("ZRANGEBYSCORE|ZREVRANGEBYSCORE key bound bound [WITHSCORES] [LIMIT limit limit]").compare(SCORES).often(2),
        rule("ZREVRANGE key index index [WITHSCORES]").compare(SCORES),
        rule("ZREMRANGEBYSCORE key bound bound"),
        rule("ZREMRANGEBYRANK key index index"),
        rule("ZPOPMIN|ZPOPMAX key [count]").compare(SCORES),
        rule("ZMPOP numkeys key key MIN|MAX [COUNT positive]").compare(SCORES),
        rule("ZRANGESTORE key key bound bound BYSCORE [REV] [LIMIT limit limit]"),
        rule("ZRANGESTORE key key index index [REV] [LIMIT limit limit]"),
        rule("ZUNION|ZINTER numkeys key key [WEIGHTS weight weight] [AGGREGATE SUM|MIN|MAX|X] [WITHSCORES]").compare(SCORES).often(2),
        rule("ZUNION|ZINTER numkeys key key [WEIGHTS weight weight] AGGREGATE COUNT [WITHSCORES]").compare(SCORES).since(8, 8),
        rule("ZDIFF numkeys key key [WITHSCORES]").compare(SCORES),
        rule("ZUNIONSTORE|ZINTERSTORE key numkeys key key [WEIGHTS weight weight] [AGGREGATE SUM|MIN|MAX]").often(2),
        rule("ZDIFFSTORE key numkeys key key"),
        rule("ZINTERCARD numkeys key key [LIMIT limit]"),
        rule("ZSCAN key 0 [MATCH pattern] [COUNT 1000]").compare(Compare::Scored),
        rule("ZRANDMEMBER key [count [WITHSCORES]]").compare(Compare::Shape),
        rule("ZADD lexkey 0 member 0 member"),
        rule("ZLEXCOUNT lexkey lex lex"),
        rule("ZREMRANGEBYLEX lexkey lex lex"),
        rule("ZRANGE lexkey lex lex BYLEX [REV] [LIMIT limit limit] [WITHSCORES] [BYSCORE]"),
        rule("ZRANGEBYLEX|ZREVRANGEBYLEX lexkey lex lex [LIMIT limit limit]"),
    ],
};
