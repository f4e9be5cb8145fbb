//! Strings.

use super::{Chapter, rule};
use crate::compare::Compare;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "string",
    letter: 's',
    pools: &[
        ("offset", &["0", "1", "5", "60", "100", "5000", "-1", "536870912", "9223372036854775807", "x"]),
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
        rule("INCREX key [BYINT int] [LBOUND int] [UBOUND int] [SATURATE] [EX span|PX millis|EXAT secondat|PXAT milliat|PERSIST|EX badspan] [ENX]").since(8, 8).often(2),
        rule("INCREX key BYFLOAT float [LBOUND int] [UBOUND int] [SATURATE] [EX span|PERSIST] [ENX]").compare(Compare::Numbers(1e-9)).since(8, 8),
        rule("LCS key key [LEN] [IDX] [MINMATCHLEN index] [WITHMATCHLEN]").often(2),
    ],
};
