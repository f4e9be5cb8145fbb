//! Values in the format of `DUMP`: sound ones, cut ones, changed ones with the right checksum and with a wrong one.

use super::{Chapter, rule};
use crate::common::{Random, sealed};
use crate::compare::Compare;

/// What stands before the footer.
const BODIES: &[&[u8]] = &[
    b"\x00\x03abc",
    b"\x00\x00",
    b"\x00\xc0\x7f",
    b"\x00\xc1\x39\x30",
    b"\x00\xc2\x00\x00\x00\x80",
    // Compressed: a hundred times the same byte.
    b"\x00\xc3\x09\x40\x64\x01aa\xe0\x57\x00\x01aa",
    b"\x01\x02\x01a\x0212",
    b"\x02\x02\x01a\x01b",
    b"\x03\x02\x01m\x032.5\x01n\xfe",
    b"\x04\x01\x01f\x01v",
    b"\x05\x01\x01m\x00\x00\x00\x00\x00\x00\x04\x40",
    b"\x09\x0c\x01\x01f\x01\x00v\xff",
    // Integers of two bytes.
    b"\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\xfb\xff\x2c\x01",
    // Listpacks: a quicklist with one, a hash, a sorted set.
    b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x0c\x01\x81b\x02\xff",
    b"\x10\x0d\x0d\x00\x00\x00\x02\x00\x81f\x02\x81v\x02\xff",
    b"\x11\x0c\x0c\x00\x00\x00\x02\x00\x81m\x02\x07\x01\xff",
    b"\x0a\x12\x12\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01a\x03\xfd\x00\xff",
    b"\xff",
    b"",
];

pub(super) const CHAPTER: Chapter = Chapter {
    name: "payload",
    letter: 'r',
    pools: &[
        // The last time there is would, counted from now, be in the past of a server.
        (
            "ttl",
            &["0", "0", "0", "0", "1000000", "4000000000123", "-1", "x"],
        ),
        ("idle", &["0", "1", "1000", "-1", "x", "256"]),
    ],
    rules: &[
        rule("RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME idle|FREQ idle]").often(6),
        rule("RESTORE key 0 payload [REPLACE] [IDLETIME idle] [FREQ idle] [X]"),
        rule("DEL key").often(2),
        rule("TYPE key"),
        rule("PTTL key").compare(Compare::Near(3000)),
        rule("GET key"),
        rule("LRANGE key 0 -1"),
        rule("SMEMBERS key").compare(Compare::Unordered),
        rule("HGETALL key").compare(Compare::Pairs),
        rule("ZRANGE key 0 -1 WITHSCORES").compare(Compare::Numbers(0.0)),
    ],
};

pub(super) fn payload(r: &mut Random) -> Vec<u8> {
    let mut body = r.pick(BODIES).to_vec();
    let damage = r.below(8);
    if damage == 0 && !body.is_empty() {
        body.truncate(r.below(body.len()));
    }
    let version = if r.below(10) == 0 {
        *r.pick(&[&0, &1, &6, &9, &200, &u16::MAX])
    } else {
        10
    };
    let mut payload = sealed(&body, version);
    match damage {
        1 => payload.truncate(r.below(payload.len())),
        2 => {
            let at = r.below(payload.len());
            payload[at] ^= 1 << r.below(8);
        }
        _ => {}
    }
    payload
}
