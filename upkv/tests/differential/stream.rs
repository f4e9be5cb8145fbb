//! Commands on streams, and what of their replies can be compared: neither times nor the shape of trees, and
//! no consumers that have nothing pending, because servers before 7.2 create a consumer when it first gets something.

use super::common::{Random, Resp};
use super::{Shape, key, many, maybe, shape, words};

const IDS: &[&str] = &[
    "1-1",
    "2",
    "3-0",
    "3-1",
    "4-2",
    "5",
    "6-0",
    "7",
    "9-9",
    "12",
    "20",
    "0",
    "0-0",
    "x",
    "1-",
    "-",
    "+",
    "5-*",
    "(3",
    "18446744073709551615-18446744073709551615",
];
const BOUNDS: &[&str] = &[
    "-", "+", "(3", "(3-1", "2", "4-2", "7", "0", "x", "(", "(-", "9-9", "(0",
];
const GROUPS: &[&str] = &["g1", "g1", "g1", "g2", "none"];
const CONSUMERS: &[&str] = &["alice", "alice", "bob", "carol"];

fn pick(r: &mut Random, from: &[&str]) -> String {
    r.pick(from).to_string()
}

/// An id that is likely to be above the last one.
fn next(r: &mut Random) -> String {
    if r.below(4) == 0 {
        return pick(r, IDS);
    }
    let ms = r.below(60);
    match r.below(4) {
        0 => format!("{ms}-{}", r.below(3)),
        1 => format!("{ms}-*"),
        _ => format!("{ms}"),
    }
}

fn ids(r: &mut Random) -> Vec<String> {
    many(r, 3, |r| {
        let ms = r.below(30);
        vec![if r.below(8) == 0 {
            pick(r, IDS)
        } else {
            format!("{ms}")
        }]
    })
}

const TRIMS: &[&str] = &[
    "MAXLEN 3",
    "MAXLEN = 2",
    "MAXLEN ~ 2",
    "MAXLEN 0",
    "MAXLEN -1",
    "MAXLEN x",
    "MINID 4",
    "MINID ~ 4",
    "MINID x",
    "LIMIT 5",
    "LIMIT -1",
    "LIMIT x",
    "MAXLEN ~ 1 LIMIT 0",
    "MINID 30",
];

#[expect(clippy::too_many_lines, reason = "one arm a command")]
pub(crate) fn line(r: &mut Random) -> Shape {
    let k = key(r);
    let (group, consumer) = (pick(r, GROUPS), pick(r, CONSUMERS));
    let line = match r.below(32) {
        0..=6 => {
            let mut line = words("XADD", vec![k]);
            if r.below(5) == 0 {
                maybe(r, &mut line, TRIMS);
                maybe(r, &mut line, &["NOMKSTREAM"]);
            }
            line.push(next(r));
            let fields = many(r, 2, |r| {
                vec![pick(r, &["f", "f", "g"]), pick(r, &["v", "w", ""])]
            });
            line.extend(fields);
            maybe(r, &mut line, &["odd"]);
            line
        }
        7 => words("XLEN", vec![k]),
        8 | 9 => {
            let name = pick(r, &["XRANGE", "XREVRANGE"]);
            let mut line = words(&name, vec![k, pick(r, BOUNDS), pick(r, BOUNDS)]);
            maybe(
                r,
                &mut line,
                &["COUNT 2", "COUNT 0", "COUNT -1", "COUNT x", "COUNT", "x"],
            );
            line
        }
        10 => words("XDEL", [vec![k], ids(r)].concat()),
        11 => {
            let mut line = words("XTRIM", vec![k]);
            maybe(r, &mut line, TRIMS);
            if line.len() < 4 {
                line.extend(["MAXLEN".into(), r.below(6).to_string()]);
            }
            line
        }
        12 | 13 => {
            let mut line = words("XREAD", vec![]);
            maybe(
                r,
                &mut line,
                &[
                    "COUNT 2",
                    "COUNT 0",
                    "COUNT x",
                    "NOACK",
                    "GROUP a b",
                    "BLOCK x",
                    "BLOCK -1",
                ],
            );
            let keys = many(r, 1, |r| vec![key(r)]);
            line.push("STREAMS".into());
            let starts: Vec<String> = keys
                .iter()
                .map(|_| pick(r, &["0", "3", "5-1", "$", "7", ">", "x"]))
                .collect();
            line.extend(keys);
            line.extend(starts);
            maybe(r, &mut line, &["0"]);
            line
        }
        14 | 15 => {
            let start = pick(r, &["0", "$", "$", "3", "x", "-"]);
            let mut line = words("XGROUP", vec!["CREATE".into(), k, group, start]);
            maybe(
                r,
                &mut line,
                &[
                    "MKSTREAM",
                    "ENTRIESREAD 2",
                    "ENTRIESREAD -1",
                    "ENTRIESREAD -2",
                    "x",
                ],
            );
            line
        }
        16 => {
            let start = pick(r, &["0", "$", "3", "x", "-", "+"]);
            let mut line = words("XGROUP", vec!["SETID".into(), k, group, start]);
            maybe(r, &mut line, &["ENTRIESREAD 2", "MKSTREAM"]);
            line
        }
        17 => match r.below(4) {
            0 => words("XGROUP", vec!["DESTROY".into(), k, group]),
            1 => words("XGROUP", vec!["DELCONSUMER".into(), k, group, consumer]),
            _ => words("XGROUP", vec!["HELP".into()]),
        },
        18..=21 => {
            let mut line = words("XREADGROUP", vec!["GROUP".into(), group, consumer]);
            maybe(r, &mut line, &["COUNT 2", "NOACK", "COUNT 1", "BLOCK x"]);
            let keys = many(r, 1, |r| vec![key(r)]);
            line.push("STREAMS".into());
            let starts: Vec<String> = keys
                .iter()
                .map(|_| pick(r, &[">", ">", ">", "0", "3", "$", "x"]))
                .collect();
            line.extend(keys);
            line.extend(starts);
            line
        }
        22 => words("XACK", [vec![k, group], ids(r)].concat()),
        23 | 24 => {
            let mut line = words("XPENDING", vec![k, group]);
            if r.below(2) == 0 {
                maybe(r, &mut line, &["IDLE 0", "IDLE 99999999", "IDLE x"]);
                line.extend([
                    pick(r, BOUNDS),
                    pick(r, BOUNDS),
                    pick(r, &["1", "10", "0", "-1", "x"]),
                ]);
                maybe(r, &mut line, &["alice", "nobody"]);
            }
            line
        }
        25 | 26 => {
            let idle = pick(r, &["0", "0", "0", "99999999", "-1", "x"]);
            let mut line = words("XCLAIM", [vec![k, group, consumer, idle], ids(r)].concat());
            maybe(
                r,
                &mut line,
                &[
                    "FORCE",
                    "JUSTID",
                    "IDLE 5",
                    "TIME 7",
                    "RETRYCOUNT 9",
                    "LASTID 8",
                    "RETRYCOUNT x",
                    "IDLE x",
                    "nope",
                ],
            );
            line
        }
        27 => {
            let idle = pick(r, &["0", "0", "99999999", "x"]);
            let mut line = words(
                "XAUTOCLAIM",
                vec![k, group, consumer, idle, pick(r, BOUNDS)],
            );
            maybe(
                r,
                &mut line,
                &["COUNT 1", "COUNT 2", "COUNT 0", "COUNT x", "JUSTID", "x"],
            );
            line
        }
        28 => {
            let mut line = words("XINFO", vec!["STREAM".into(), k]);
            maybe(
                r,
                &mut line,
                &["FULL", "FULL COUNT 1", "FULL COUNT 0", "FULL COUNT -1", "x"],
            );
            line
        }
        29 => words("XINFO", vec!["GROUPS".into(), k]),
        30 => words("XINFO", vec!["CONSUMERS".into(), k, group]),
        _ => {
            let mut line = words("XSETID", vec![k, pick(r, &["70-1", "x", "80", "99"])]);
            maybe(
                r,
                &mut line,
                &[
                    "ENTRIESADDED 50",
                    "ENTRIESADDED 1",
                    "MAXDELETEDID 2",
                    "ENTRIESADDED -1",
                    "x",
                ],
            );
            line
        }
    };
    shape(line)
}

/// What of a reply can be compared.
pub(crate) fn comparable(line: &[String], reply: Resp) -> Resp {
    match line[0].as_str() {
        "XPENDING" if line.len() > 3 => rows(reply),
        "XINFO" => settled(reply),
        _ => reply,
    }
}

/// Rows of XPENDING without the idle time.
fn rows(reply: Resp) -> Resp {
    let Resp::Array(Some(items)) = reply else {
        return reply;
    };
    let row = |item: Resp| match item {
        Resp::Array(Some(mut parts)) if parts.len() == 4 => {
            parts[2] = Resp::Int(0);
            Resp::Array(Some(parts))
        }
        other => other,
    };
    Resp::Array(Some(items.into_iter().map(row).collect()))
}

fn is_word(item: &Resp, word: &str) -> bool {
    matches!(item, Resp::Bulk(Some(bytes)) if bytes == word.as_bytes())
}

/// Whether it describes a consumer that has nothing pending.
fn is_idle_consumer(item: &Resp) -> bool {
    let Resp::Array(Some(parts)) = item else {
        return false;
    };
    let has = |word| parts.iter().any(|part| is_word(part, word));
    (has("idle") || has("seen-time"))
        && parts.windows(2).any(|pair| {
            (is_word(&pair[0], "pending") || is_word(&pair[0], "pel-count"))
                && pair[1] == Resp::Int(0)
        })
}

fn settled(reply: Resp) -> Resp {
    match reply {
        // A time.
        Resp::Int(value) if value > 1_000_000_000_000 => Resp::Int(0),
        Resp::Array(Some(items)) => {
            let mut found = Vec::new();
            let mut items = items.into_iter().filter(|item| !is_idle_consumer(item));
            while let Some(item) = items.next() {
                let is = |word| is_word(&item, word);
                if is("active-time") || is("inactive") {
                    items.next();
                    continue;
                }
                let counts = ["idle", "radix-tree-keys", "radix-tree-nodes", "consumers"];
                let hidden = counts.iter().any(|word| is(word));
                found.push(settled(item));
                if hidden {
                    let value = items.next();
                    found.extend(value.map(|value| match value {
                        Resp::Int(_) => Resp::Int(0),
                        other => settled(other),
                    }));
                }
            }
            Resp::Array(Some(found))
        }
        other => other,
    }
}
