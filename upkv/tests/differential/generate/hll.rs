//! Sketches of cardinality; the strings that hold them are compared too.

use super::{Chapter, rule};

pub(super) const CHAPTER: Chapter = Chapter {
    name: "hll",
    letter: 'p',
    pools: &[(
        "element",
        &[
            "a", "b", "c", "", "\u{e9}", "1", "2", "3", "foo", "bar", "zap",
        ],
    )],
    rules: &[
        rule("PFADD key {element}").often(3),
        rule("PFADD key {bytes}").often(3),
        rule("PFADD key").rarely(),
        rule("PFCOUNT {key}").often(3),
        rule("PFMERGE key {key}").often(2),
        rule("PFMERGE key").rarely(),
        rule("GET key"),
        rule("STRLEN key"),
    ],
};
