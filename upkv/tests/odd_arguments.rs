//! Every command with arguments nobody would give it: it answers or refuses, and the counts stay right.

use upkv::{Db, DbOptions, Eviction, Session, Store};

const ODD: &[&[u8]] = &[
    b"",
    b"a",
    b"b",
    b"h",
    b"z",
    b"0",
    b"1",
    b"-1",
    b"2",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"2147483648",
    b"-2147483649",
    b"4294967296",
    b"70368744177663",
    b"70368744177664",
    b"1.5",
    b"inf",
    b"-inf",
    b"nan",
    b"1e400",
    b"*",
    b"*->f",
    b"[a-",
    b"**********************b",
    b"\xff\x00\xfe",
    b"\r\n",
    b"FIELDS",
    b"NX",
    b"XX",
    b"GT",
    b"EX",
    b"PXAT",
    b"KEEPTTL",
    b"PERSIST",
    b"FNX",
    b"LIMIT",
    b"BY",
    b"GET",
    b"#",
    b"ALPHA",
    b"MATCH",
    b"COUNT",
    b"WITHTYPE",
    b"SAMPLES",
    b"REPLACE",
    b"DB",
    b"WEIGHTS",
    b"AGGREGATE",
];

fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 11).expect("53 bits")
}

fn fill(session: &mut Session) {
    for line in [
        &["SET", "a", "1"][..],
        &["SET", "b", "text"],
        &["HSET", "h", "f", "1", "g", "2"],
        &["HPEXPIREAT", "h", "70000000000000", "FIELDS", "1", "f"],
        &["ZADD", "z", "1", "a", "2", "b"],
    ] {
        // An earlier command may have left a transaction open, or the limit may be reached.
        let _outcome = session.command(line);
    }
}

#[test]
fn no_command_panics_on_any_arguments() {
    let options = DbOptions::new()
        .shards(2)
        .max_memory_bytes(1 << 20)
        .eviction(Eviction::AllkeysLfu);
    let store = Store::memory().unwrap();
    let db = Db::mount_with(&store, "kv", options).unwrap();
    let mut session = db.session();
    let mut state = 0x5851_f42d_4c95_7f2d;
    for round in 0..60 {
        for info in upkv::commands() {
            fill(&mut session);
            let mut line: Vec<&[u8]> = info.name.split('|').map(str::as_bytes).collect();
            let wanted = info.arity.unsigned_abs() as usize;
            let extra = if info.arity < 0 {
                random(&mut state) % 6
            } else {
                0
            };
            while line.len() < wanted + extra {
                line.push(ODD[random(&mut state) % ODD.len()]);
            }
            // Whether it is refused depends on the arguments; here it matters that it comes back.
            let _outcome = session.command(&line);
        }
        let _outcome = session.command(["DISCARD"]);
        assert!(db.audit().is_ok(), "round {round}: {:?}", db.audit());
    }
}
