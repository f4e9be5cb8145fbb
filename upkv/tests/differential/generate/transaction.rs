//! Transactions around whatever the other chapters generate.

use super::{Chapter, rule};

pub(super) const CHAPTER: Chapter = Chapter {
    name: "transaction",
    letter: '*',
    pools: &[],
    rules: &[
        rule("MULTI").often(2),
        rule("EXEC").often(3),
        rule("DISCARD").rarely(),
        rule("WATCH {key}"),
        rule("UNWATCH"),
        rule("EXEC|MULTI|DISCARD|WATCH|UNWATCH [key]").rarely(),
    ],
};
