//! Streams. Ids are given, since those made of the clock would differ; so only a few entries are added with `*`.

use super::{Chapter, rule};
use crate::compare::Compare;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "stream",
    letter: 'x',
    pools: &[
        (
            "next",
            &[
                "1-1", "2", "3-0", "4-2", "5", "6-1", "7", "8-*", "9-9", "10", "12", "14-1", "15-*",
                "17", "18-2", "20-*", "22", "23", "25-*", "26-3", "28", "30-*", "33", "35-*", "40-*",
                "45-1", "50-*", "55-*", "59-*", "60-*", "70-*", "0", "0-0", "0-*", "x", "1-", "-", "+",
                "5-x", "*-1", "18446744073709551615-18446744073709551615",
            ],
        ),
        (
            "id",
            &[
                "1-1", "2", "2", "3-0", "4-2", "5", "6-1", "7", "8-0", "9-9", "10", "12", "14-1", "15-0",
                "20-0", "20-1", "25-0", "30-0", "35-0", "40-0", "60-0", "60-1", "60-2", "0", "x", "1-", "-",
            ],
        ),
        (
            "bound",
            &[
                "-", "-", "+", "+", "(3", "(4-2", "2", "7", "12", "20-1", "40", "0", "x", "(", "(-", "(+", "9-9",
                "(0", "(0-0", "$", "(18446744073709551615-18446744073709551615", "18446744073709551616",
            ],
        ),
        ("start", &["0", "0", "$", "$", "3", "12", "20-1", "x", "-", "+", "0-1"]),
        ("after", &["0", "0", "3", "5-1", "12", "20-1", "$", "+", ">", "x", "9-99999999999999999999"]),
        ("unseen", &[">", ">", ">", ">", "0", "3", "$", "x", "12"]),
        ("group", &["g1", "g1", "g1", "g2", "none", ""]),
        ("consumer", &["alice", "alice", "bob", "carol", ""]),
        ("field", &["f", "f", "g", "", "1"]),
        ("value", &["v", "w", "", "1", "a longer value"]),
        ("length", &["3", "2", "5", "10", "0", "-1", "x", "9223372036854775807"]),
        ("least", &["4", "12", "20-1", "0", "30", "x", "-", "18446744073709551616"]),
        ("limit", &["0", "5", "1", "-1", "x"]),
        // Nothing is between these and what really passes.
        ("idle", &["0", "0", "0", "600000", "99999999", "-1", "x", "9223372036854775807"]),
        ("setidle", &["1", "0", "400000", "99999999", "-5", "x"]),
        ("time", &["7", "0", "-5", "1000000", "x"]),
        ("retries", &["9", "0", "-1", "x", "1"]),
        ("read", &["2", "0", "-1", "-2", "100", "x"]),
        ("block", &["1", "0", "-1", "x", "1.5"]),
        ("listed", &["1", "2", "2", "3", "0", "-1", "x", "9223372036854775807"]),
        ("references", &["KEEPREF", "DELREF", "DELREF", "ACKED", "ACKED", "keepref"]),
        ("last", &["70-1", "60-9", "80", "99-1", "5", "0", "x", "*"]),
    ],
    rules: &[
        rule("XADD key [NOMKSTREAM] [MAXLEN length|MAXLEN = length|MAXLEN ~ length|MINID least|MINID = least] next {field value}")
            .often(8),
        rule("XADD key [NOMKSTREAM] [MAXLEN|MINID ~|= least [LIMIT limit]] [MAXLEN length] next {field value}"),
        rule("XADD Missing NOMKSTREAM * field value").rarely(),
        rule("XLEN key"),
        rule("XRANGE|XREVRANGE key bound bound [COUNT count]").often(2),
        rule("XDEL key {id}").often(2),
        rule("XTRIM key MAXLEN|MINID [=|~] least [LIMIT limit]"),
        rule("XTRIM key MAXLEN [=|~] length [LIMIT limit]"),
        rule("XTRIM key [LIMIT limit] [MAXLEN length] [MINID least] [field]").rarely(),
        rule("XREAD [COUNT count] STREAMS key after"),
        rule("XREAD [COUNT count] STREAMS key key after after"),
        rule("XREAD [COUNT count] [BLOCK block] [NOACK|GROUP group consumer] STREAMS key key after after [after]").in_multi(),
        rule("XSETID key last [ENTRIESADDED read] [MAXDELETEDID least]").rarely(),
        rule("XGROUP CREATE key group start [MKSTREAM] [ENTRIESREAD read]").often(3),
        rule("XGROUP SETID key group start [ENTRIESREAD read]"),
        rule("XGROUP DESTROY key group").rarely(),
        rule("XGROUP CREATECONSUMER|DELCONSUMER key group consumer"),
        rule("XGROUP|XINFO NONSENSE|CREATE|SETID|GROUPS|STREAM [key] [group]").compare(Compare::Stream).rarely(),
        rule("XREADGROUP GROUP group consumer [COUNT count] [NOACK] STREAMS key unseen").often(4),
        rule("XREADGROUP GROUP group consumer [COUNT count] [NOACK] STREAMS key key unseen unseen").often(2),
        rule("XREADGROUP [GROUP group consumer] [COUNT count] [BLOCK block] [NOACK] STREAMS key key unseen unseen").in_multi(),
        rule("XACK key group {id}").often(2),
        rule("XPENDING key group"),
        rule("XPENDING key group [IDLE idle] bound bound count [consumer]").compare(Compare::Stream).often(2),
        rule(
            "XCLAIM key group consumer idle {id} [IDLE setidle] [TIME time] [RETRYCOUNT retries] [FORCE] [JUSTID] [LASTID id] [X]",
        )
        .often(3),
        rule("XAUTOCLAIM key group consumer idle bound [COUNT count] [JUSTID]").often(2),
        rule("XINFO STREAM key [FULL|FULL COUNT count]").compare(Compare::Stream).often(2),
        rule("XINFO GROUPS key").compare(Compare::Stream),
        rule("XINFO CONSUMERS key group").compare(Compare::Stream),
        rule("XADD key [NOMKSTREAM] [references] MAXLEN|MINID [=] least [references] next {field value}").since(8, 2).often(2),
        rule("XTRIM key MAXLEN|MINID [=] least [LIMIT limit] references").since(8, 2).often(2),
        rule("XTRIM key [references] MAXLEN length [references]").since(8, 2).rarely(),
        rule("XDELEX key [references] IDS (1 id|2 id id|3 id id id) [references]").since(8, 2).often(3),
        rule("XACKDEL key group [references] IDS (1 id|2 id id|3 id id id) [references]").since(8, 2).often(3),
        rule("XDELEX key [IDS] listed {id}").since(8, 2).rarely(),
        rule("XACKDEL key group [references] [IDS] listed {id}").since(8, 2).rarely(),
        rule("XADD|XREAD|XREADGROUP|XINFO|XGROUP|XPENDING|XCLAIM [key] [group]").rarely(),
    ],
};
