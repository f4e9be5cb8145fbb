//! Bitmaps.

use super::{Chapter, rule};

pub(super) const CHAPTER: Chapter = Chapter {
    name: "bits",
    letter: 'b',
    pools: &[
        // The difference to the least integer overflows in servers.
        ("int", &["0", "1", "-1", "2", "-3", "100", "-100", "4611686018427387904", "-4611686018427387904", "x"]),
        ("offset", &["0", "1", "7", "8", "63", "64", "100", "511", "5000", "-1", "4294967295", "4294967296", "x"]),
        ("small", &["0", "1", "7", "8", "63", "64", "100", "511", "5000", "40000"]),
        ("bit", &["0", "1", "1", "0", "2", "-1", "x"]),
        ("type", &["u8", "i8", "u1", "i1", "u63", "i64", "u64", "i65", "u0", "i5", "u16", "x", ""]),
        ("at", &["0", "1", "#0", "#1", "#3", "100", "60", "-1", "#-1", "4294967295", "4294967232", "#x", "#67108863"]),
        ("near", &["0", "1", "#0", "#1", "#3", "100", "60"]),
    ],
    rules: &[
        rule("SETBIT key small bit").often(4),
        rule("SETBIT key -1|4294967296|X bit"),
        rule("GETBIT key offset").often(2),
        rule("BITCOUNT key [index index [BYTE|BIT]]").often(3),
        rule("BITPOS key bit [index [index [BYTE|BIT]]]").often(3),
        rule("BITOP AND|OR|XOR key {key}").often(2),
        rule("BITOP NOT key {key}"),
        rule("BITOP DIFF|DIFF1|ANDOR|ONE key {key}").since(8, 2).often(2),
        rule("BITFIELD key {GET type at|OVERFLOW WRAP|OVERFLOW SAT|OVERFLOW FAIL|SET type near int|INCRBY type near int}").often(4),
        rule("BITFIELD_RO key {GET type at}"),
        rule("BITFIELD_RO key GET type at SET type 0 1").rarely(),
        rule("SET key value|bytes"),
        rule("SETRANGE key small value"),
        rule("APPEND key value"),
        rule("GET key"),
        rule("STRLEN key"),
    ],
};
