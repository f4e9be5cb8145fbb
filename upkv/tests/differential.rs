//! Random command sequences on this engine and on a real `redis-server`: the replies must be equal.
//!
//! Scores are multiples of one half, because servers before 7.2 print other doubles with noise, and decimals
//! are changed by whole numbers, because servers round them to 64 bits where this engine is exact.
//! A failure prints the seed and the sequence. Skips, saying so, where there is no `redis-server`.
//! Half of the runs drop every value from memory between commands, which must not change a reply.

mod common;

use common::{Random, Redis, Resp};
use upkv::{Db, Session, Store};

const KEYS: &[&str] = &["a", "b", "c", "d"];
const FIELDS: &[&str] = &["f1", "f2", "f3", "x"];
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-7",
    "10",
    "abc",
    "hello world",
    "3.5",
    "9223372036854775807",
    "01",
    " 1",
    "\u{e9}",
];
const INTS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-3",
    "5",
    "100",
    "-100",
    "x",
    "9223372036854775807",
    "1.5",
];
const SCORES: &[&str] = &[
    "0", "1", "-1", "2.5", "3", "10", "inf", "-inf", "nan", "x", "(1",
];
const BOUNDS: &[&str] = &["-inf", "+inf", "(1", "(2.5", "0", "3", "(-1", "x", "10"];
const LEX: &[&str] = &["-", "+", "[f1", "(f1", "[f3", "(x", "f1", "[", "("];
/// Absolute times far away, in seconds and ms, and one long ago.
const TIMES: &[&str] = &["4000000000", "4100000000", "1", "x", "0", "-5"];
const MILLIS: &[&str] = &[
    "4000000000123",
    "4100000000456",
    "1",
    "x",
    "9223372036854775807",
];
const LONG: &str = "a value of more than sixty-four bytes, so that it can be demoted: 0123456789";

struct Shape {
    line: Vec<String>,
    /// Whether the order of the reply is left open.
    unordered: bool,
}

fn key(r: &mut Random) -> String {
    r.pick(KEYS).to_string()
}

fn value(r: &mut Random) -> String {
    if r.below(6) == 0 {
        LONG.to_string()
    } else {
        r.pick(VALUES).to_string()
    }
}

fn maybe(r: &mut Random, line: &mut Vec<String>, options: &[&str]) {
    for option in options {
        if r.below(6) == 0 {
            line.extend(option.split(' ').map(String::from));
        }
    }
}

fn many(
    r: &mut Random,
    max: usize,
    mut one: impl FnMut(&mut Random) -> Vec<String>,
) -> Vec<String> {
    (0..=r.below(max)).flat_map(|_| one(r)).collect()
}

fn line(r: &mut Random) -> Shape {
    match r.below(5) {
        4 => inspect_line(r),
        0 => string_line(r),
        1 => hash_line(r),
        2 => zset_line(r),
        _ => key_line(r),
    }
}

fn shape(words: Vec<String>) -> Shape {
    Shape {
        line: words,
        unordered: false,
    }
}

fn words(name: &str, rest: Vec<String>) -> Vec<String> {
    std::iter::once(name.to_string()).chain(rest).collect()
}

fn string_line(r: &mut Random) -> Shape {
    let k = key(r);
    let int = r.pick(INTS).to_string();
    let line = match r.below(22) {
        0..=2 => {
            let mut line = words("SET", vec![k, value(r)]);
            maybe(
                r,
                &mut line,
                &[
                    "NX",
                    "XX",
                    "GET",
                    "KEEPTTL",
                    "EXAT 4000000000",
                    "EX 0",
                    "EX x",
                ],
            );
            line
        }
        3 | 4 => words("get", vec![k]),
        5 => words("GETSET", vec![k, value(r)]),
        6 => words("GETDEL", vec![k]),
        7 => {
            let mut line = words("GETEX", vec![k]);
            maybe(
                r,
                &mut line,
                &["PERSIST", "PXAT 4000000000123", "EXAT 1", "EX -1", "EX"],
            );
            line
        }
        8 => words("SETNX", vec![k, value(r)]),
        9 => words(
            "SETEX",
            vec![k, r.pick(&["1000", "0", "-1", "x"]).into(), value(r)],
        ),
        10 => words("MGET", many(r, 3, |r| vec![key(r)])),
        11 => words("MSET", many(r, 3, |r| vec![key(r), value(r)])),
        12 => words("MSETNX", many(r, 2, |r| vec![key(r), value(r)])),
        13 => words("APPEND", vec![k, value(r)]),
        14 => words("STRLEN", vec![k]),
        15 => words("GETRANGE", vec![k, int, r.pick(INTS).into()]),
        16 => words(
            "SETRANGE",
            vec![k, r.pick(&["0", "1", "5", "-1", "x"]).into(), value(r)],
        ),
        17 => words(r.pick(&["INCR", "DECR"]), vec![k]),
        18 => words(r.pick(&["INCRBY", "DECRBY"]), vec![k, int]),
        19 => words(
            "INCRBYFLOAT",
            vec![k, r.pick(&["20", "-2", "x", "3e2", "inf"]).into()],
        ),
        20 => words("MSET", vec![k]),
        _ => words("OBJECT", vec!["ENCODING".into(), k]),
    };
    shape(line)
}

fn field(r: &mut Random) -> String {
    r.pick(FIELDS).to_string()
}

fn hash_line(r: &mut Random) -> Shape {
    let k = key(r);
    let head = vec![k.clone()];
    let line = match r.below(16) {
        0..=2 => words(
            "HSET",
            [head, many(r, 3, |r| vec![field(r), value(r)])].concat(),
        ),
        3 => words(
            "HMSET",
            [head, many(r, 2, |r| vec![field(r), value(r)])].concat(),
        ),
        4 => words("HSETNX", vec![k, field(r), value(r)]),
        5 => words("HGET", vec![k, field(r)]),
        6 => words("HMGET", [head, many(r, 3, |r| vec![field(r)])].concat()),
        7 => words("HGETALL", head),
        8 => words(r.pick(&["HKEYS", "HVALS"]), head),
        9 => words("HLEN", head),
        10 => words("HEXISTS", vec![k, field(r)]),
        11 => words("HSTRLEN", vec![k, field(r)]),
        12 => words("HDEL", [head, many(r, 2, |r| vec![field(r)])].concat()),
        13 => words("HINCRBY", vec![k, field(r), r.pick(INTS).into()]),
        14 => words(
            "HINCRBYFLOAT",
            vec![k, field(r), r.pick(&["20", "-2", "x", "3e2"]).into()],
        ),
        _ => {
            let mut line = words("HSCAN", vec![k, "0".into()]);
            maybe(
                r,
                &mut line,
                &["MATCH f*", "COUNT 1000", "COUNT 0", "MATCH"],
            );
            line
        }
    };
    // Large hashes have an order of their own on each side.
    let unordered = matches!(line[0].as_str(), "HGETALL" | "HKEYS" | "HVALS" | "HSCAN");
    Shape { line, unordered }
}

#[expect(clippy::too_many_lines, reason = "one arm a command")]
fn zset_line(r: &mut Random) -> Shape {
    let k = key(r);
    let member = field(r);
    let line = match r.below(27) {
        0..=3 => {
            let mut line = words("ZADD", vec![k]);
            maybe(r, &mut line, &["NX", "XX", "GT", "LT", "CH", "INCR"]);
            line.extend(many(r, 3, |r| vec![r.pick(SCORES).into(), field(r)]));
            line
        }
        4 => words("ZINCRBY", vec![k, r.pick(SCORES).into(), member]),
        5 => words("ZSCORE", vec![k, member]),
        6 => words("ZMSCORE", vec![k, member, field(r)]),
        7 => words("ZCARD", vec![k]),
        8 => words(
            "ZCOUNT",
            vec![k, r.pick(BOUNDS).into(), r.pick(BOUNDS).into()],
        ),
        9 => words("ZREM", [vec![k], many(r, 2, |r| vec![field(r)])].concat()),
        10 => words(r.pick(&["ZRANK", "ZREVRANK"]), vec![k, member]),
        11 | 12 => {
            let bounds = if r.below(2) == 0 { INTS } else { BOUNDS };
            let (low, high) = (r.pick(bounds), r.pick(bounds));
            let mut line = words("ZRANGE", vec![k, low.into(), high.into()]);
            let options = [
                "BYSCORE",
                "REV",
                "WITHSCORES",
                "LIMIT 1 2",
                "LIMIT 0 -1",
                "LIMIT 1",
            ];
            maybe(r, &mut line, &options);
            line
        }
        13 => {
            let mut line = words(r.pick(&["ZRANGEBYSCORE", "ZREVRANGEBYSCORE"]), vec![k]);
            line.extend([r.pick(BOUNDS).into(), r.pick(BOUNDS).into()]);
            maybe(r, &mut line, &["WITHSCORES", "LIMIT 1 2", "LIMIT -1 2"]);
            line
        }
        14 => {
            let mut line = words(
                "ZREVRANGE",
                vec![k, r.pick(INTS).into(), r.pick(INTS).into()],
            );
            maybe(r, &mut line, &["WITHSCORES"]);
            line
        }
        15 => words(
            "ZREMRANGEBYSCORE",
            vec![k, r.pick(BOUNDS).into(), r.pick(BOUNDS).into()],
        ),
        16 => words(
            "ZREMRANGEBYRANK",
            vec![k, r.pick(INTS).into(), r.pick(INTS).into()],
        ),
        17 => {
            let mut line = words(r.pick(&["ZPOPMIN", "ZPOPMAX"]), vec![k]);
            maybe(r, &mut line, &["2", "0", "-1", "x"]);
            line
        }
        18 => {
            let mut line = words(
                "ZRANGESTORE",
                vec![k, key(r), r.pick(BOUNDS).into(), r.pick(BOUNDS).into()],
            );
            maybe(r, &mut line, &["BYSCORE", "REV", "LIMIT 0 1"]);
            line
        }
        19 | 20 => {
            let name = r.pick(&["ZUNION", "ZINTER", "ZDIFF"]);
            let mut line = words(
                name,
                vec![r.pick(&["2", "1", "0", "x", "3"]).into(), k, key(r)],
            );
            maybe(
                r,
                &mut line,
                &[
                    "WEIGHTS 2 3",
                    "AGGREGATE MAX",
                    "AGGREGATE MIN",
                    "WITHSCORES",
                ],
            );
            line
        }
        21 => {
            let name = r.pick(&["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]);
            let mut line = words(name, vec![key(r), "2".into(), k, key(r)]);
            maybe(
                r,
                &mut line,
                &["WEIGHTS 2 0.5", "AGGREGATE MAX", "AGGREGATE x"],
            );
            line
        }
        22 => words("ZSCAN", vec![k, "0".into()]),
        _ => return lex_line(r),
    };
    shape(line)
}

/// Lexical ranges mean something only where all scores are equal: on a key of their own.
fn lex_line(r: &mut Random) -> Shape {
    let bounds = || vec!["lex".to_string()];
    let (low, high) = (r.pick(LEX).to_string(), r.pick(LEX).to_string());
    let line = match r.below(6) {
        0 | 1 => words(
            "ZADD",
            vec!["lex".into(), "0".into(), field(r), "0".into(), field(r)],
        ),
        2 => words("ZLEXCOUNT", [bounds(), vec![low, high]].concat()),
        3 => words("ZREMRANGEBYLEX", [bounds(), vec![low, high]].concat()),
        4 => {
            let mut line = words(
                "ZRANGE",
                [bounds(), vec![low, high, "BYLEX".into()]].concat(),
            );
            maybe(r, &mut line, &["REV", "LIMIT 1 1", "WITHSCORES", "BYSCORE"]);
            line
        }
        _ => {
            let name = r.pick(&["ZRANGEBYLEX", "ZREVRANGEBYLEX"]);
            let mut line = words(name, [bounds(), vec![low, high]].concat());
            maybe(r, &mut line, &["LIMIT 1 1", "LIMIT 0 -1"]);
            line
        }
    };
    shape(line)
}

#[expect(clippy::too_many_lines, reason = "one arm a command")]
fn key_line(r: &mut Random) -> Shape {
    let k = key(r);
    let line = match r.below(20) {
        0 => words(r.pick(&["DEL", "UNLINK"]), many(r, 2, |r| vec![key(r)])),
        1 => words(r.pick(&["EXISTS", "TOUCH"]), many(r, 2, |r| vec![key(r)])),
        2 => words("TYPE", vec![k]),
        3 => words("RENAME", vec![k, key(r)]),
        4 => words("RENAMENX", vec![k, key(r)]),
        5 => {
            let mut line = words("COPY", vec![k, key(r)]);
            maybe(r, &mut line, &["REPLACE", "DB 0", "x"]);
            line
        }
        6 => {
            let mut line = words("EXPIREAT", vec![k, r.pick(TIMES).into()]);
            maybe(r, &mut line, &["NX", "XX", "GT", "LT", "x"]);
            line
        }
        7 => {
            let mut line = words("PEXPIREAT", vec![k, r.pick(MILLIS).into()]);
            maybe(r, &mut line, &["NX", "XX", "GT", "LT"]);
            line
        }
        8 => words(
            "EXPIRE",
            vec![
                k,
                r.pick(&["100000", "-1", "0", "x", "9223372036854775807"])
                    .into(),
            ],
        ),
        9 => words(
            "PEXPIRE",
            vec![k, r.pick(&["-1", "x", "9223372036854775807"]).into()],
        ),
        10 => words(r.pick(&["EXPIRETIME", "PEXPIRETIME"]), vec![k]),
        11 => words("PERSIST", vec![k]),
        12 => {
            let pattern = r.pick(&["*", "a", "[ab]", "?", "[^a]", "\\a"]);
            return Shape {
                line: words("KEYS", vec![pattern.into()]),
                unordered: true,
            };
        }
        13 => {
            let mut line = words("SCAN", vec!["0".into(), "COUNT".into(), "1000".into()]);
            maybe(
                r,
                &mut line,
                &["MATCH [ab]", "TYPE hash", "TYPE nonsense", "COUNT 0", "x"],
            );
            return Shape {
                line,
                unordered: true,
            };
        }
        14 => words("DBSIZE", vec![]),
        15 => words(
            r.pick(&["FLUSHALL", "FLUSHDB"]),
            if r.below(2) == 0 {
                vec!["x".into()]
            } else {
                vec![]
            },
        ),
        16 => words("nonsense", vec![k]),
        17 => words(
            r.pick(&["GET", "SET", "HSET", "ZADD", "EXPIRE", "PING", "ECHO"]),
            vec![],
        ),
        18 => words("MULTI", vec![]),
        _ => words(
            r.pick(&["EXEC", "EXEC", "DISCARD", "WATCH", "UNWATCH"]),
            if r.below(2) == 0 { vec![k] } else { vec![] },
        ),
    };
    shape(line)
}

/// SORT, OBJECT, MEMORY, MOVE, WAIT: commands on keys of any type.
fn inspect_line(r: &mut Random) -> Shape {
    let k = key(r);
    let line = match r.below(12) {
        0..=5 => {
            let mut line = words(r.pick(&["SORT", "SORT_RO"]), vec![k]);
            maybe(
                r,
                &mut line,
                &[
                    "ALPHA",
                    "ALPHA",
                    "ALPHA",
                    "DESC",
                    "ASC",
                    "BY nosort",
                    "BY *",
                    "BY a*",
                    "BY *->f1",
                    "BY a->*",
                    "GET #",
                    "GET *",
                    "GET *->f2",
                    "GET a",
                    "LIMIT 1 2",
                    "LIMIT -1 1",
                    "LIMIT 0 -1",
                    "LIMIT 9223372036854775807 -9223372036854775808",
                    "LIMIT x 1",
                    "LIMIT 1",
                    "x",
                ],
            );
            let has = |word: &str| line.iter().any(|found| found == word);
            if has("ALPHA") && has("BY") {
                // The order of equal weights is that of the server's hash table.
                let pattern = r.pick(&["*", "a*", "*->f1"]).to_string();
                line.truncate(2);
                line.extend(["ALPHA".into(), "BY".into(), pattern]);
                return Shape {
                    line,
                    unordered: true,
                };
            }
            line
        }
        // References depend on what a server shares inside EXEC, idle time on the second.
        6 | 7 => words("OBJECT", vec![r.pick(&["FREQ", "nonsense"]).into(), k]),
        8 => {
            let mut line = words("MEMORY", vec!["USAGE".into(), "missing".into()]);
            maybe(r, &mut line, &["SAMPLES 0", "SAMPLES -1", "SAMPLES", "x"]);
            line
        }
        9 => words(
            "MOVE",
            vec![k, r.pick(&["1", "0", "15", "16", "-1", "x"]).into()],
        ),
        10 => words("TOUCH", many(r, 2, |r| vec![key(r)])),
        _ => words(
            "WAIT",
            vec![
                r.pick(&["0", "-1", "x"]).into(),
                r.pick(&["0", "-1", "x", "5"]).into(),
            ],
        ),
    };
    shape(line)
}

/// EXPIRE counts from now, so the deadlines of the two sides may differ by what passed in between.
fn depends_on_time(line: &[String]) -> bool {
    matches!(line[0].as_str(), "EXPIRE" | "SETEX")
        && line
            .get(2)
            .is_some_and(|span| span.parse::<i32>().is_ok_and(|n| n > 0))
}

fn run(redis: &mut Redis, seed: u64, steps: usize, demote: bool) {
    let dir = std::env::temp_dir().join(format!("upkv-diff-{}-{seed}", std::process::id()));
    let db = if demote {
        let store = Store::builder(&dir)
            .background(false)
            .open()
            .expect("a store");
        Db::mount(&store, "kv").expect("mounts")
    } else {
        Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts")
    };
    let mut session: Session = db.session();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    redis.command(&["DISCARD"]);
    redis.command(&["FLUSHALL"]);
    redis.command(&["UNWATCH"]);
    let mut history = Vec::new();
    let mut times_differ = false;
    // Servers give a small sorted set its large form to sort it, and it keeps that.
    let mut forms_differ = false;
    for _ in 0..steps {
        let Shape { line, unordered } = line(&mut random);
        times_differ |= depends_on_time(&line);
        if times_differ && line[0].ends_with("EXPIRETIME") {
            continue;
        }
        forms_differ |= line[0].starts_with("SORT");
        if forms_differ && line.get(1).is_some_and(|word| word == "ENCODING") {
            continue;
        }
        history.push(line.join(" "));
        let mut theirs = redis.command(&line);
        let mut ours = Resp::of(session.command(&line));
        if unordered || (forms_differ && line[0] == "ZSCAN") {
            (theirs, ours) = (theirs.sorted(), ours.sorted());
        }
        // Whether an EXEC holds unordered replies is not worth tracking.
        if line[0] == "EXEC" {
            (theirs, ours) = (theirs.sorted(), ours.sorted());
        }
        // Beyond 64 bits of precision the servers round; from there on the two sides hold different values.
        if line[0].contains("INCRBYFLOAT") && ours != theirs && ours.show().len() > 19 {
            break;
        }
        assert_eq!(
            ours.show(),
            theirs.show(),
            "seed {seed}, demote {demote}, after:\n{}",
            history.join("\n")
        );
        if demote {
            db.demote_all().expect("demotes");
        }
    }
    db.audit().expect("counts agree");
    drop(session);
    db.close().expect("closes");
    std::fs::remove_dir_all(&dir).ok();
}

#[test]
fn replies_equal_those_of_redis() {
    let Some(mut redis) = Redis::start("differential") else {
        return;
    };
    let rounds: u64 = std::env::var("DIFFERENTIAL_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    for seed in 1..=rounds {
        run(&mut redis, seed, 400, seed % 2 == 0);
    }
}
