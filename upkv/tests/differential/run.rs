//! One case on both sides, and the fewest of its commands that still differ.

use crate::compare::same;
use crate::generate::script::inner;
use crate::generate::{self, Line, Step};
use crate::known::{Known, known};
use crate::server::{Ours, Side, Theirs, Value, Version};
use crate::{exchange, walk};

/// How often a failing case may be run again to make it smaller.
const ATTEMPTS: usize = 600;
/// Databases of a server.
const DATABASES: usize = 16;

/// How a case is run.
#[derive(Clone, Copy, Debug)]
struct Mode {
    resp3: bool,
    demotes: bool,
}

/// Where two sides part.
struct Difference {
    command: String,
    ours: Value,
    theirs: Value,
    /// Steps that were run.
    steps: usize,
}

/// Runs one case; the report of a failure, if a reply differs.
pub(crate) fn case(theirs: &mut Theirs, seed: u64, length: usize) -> Option<String> {
    let mode = Mode {
        resp3: seed / 7 % 2 == 1,
        demotes: seed % 4 == 3,
    };
    let (chapters, steps) = generate::steps(seed, length, theirs.version);
    let mut found = differs(theirs, &steps, mode)?;
    let mut fewest = steps[..found.steps].to_vec();
    let mut chunk = (fewest.len() / 2).max(1);
    let mut attempts = 0;
    loop {
        let mut at = 0;
        let mut dropped = false;
        while at < fewest.len() && attempts < ATTEMPTS {
            let mut fewer = fewest.clone();
            fewer.drain(at..(at + chunk).min(fewer.len()));
            attempts += 1;
            if let Some(difference) = differs(theirs, &fewer, mode) {
                fewer.truncate(difference.steps);
                (fewest, found, dropped) = (fewer, difference, true);
            } else {
                at += chunk;
            }
        }
        if attempts == ATTEMPTS || (chunk == 1 && !dropped) {
            break;
        }
        chunk = (chunk / 2).max(1);
    }
    let lines = fewest.iter().flatten();
    let lines: Vec<String> = lines.map(Line::show).collect();
    Some(format!(
        "seed {seed} ({chapters}), {:?}, {mode:?}: after\n  {}\nthe replies to {} differ:\n  ours   {}\n  theirs {}",
        theirs.version,
        lines.join("\n  "),
        found.command,
        found.ours.show(),
        found.theirs.show()
    ))
}

fn differs(theirs: &mut Theirs, steps: &[Step], mode: Mode) -> Option<Difference> {
    let mut ours = Ours::open(mode.demotes);
    for line in ["RESET", "FLUSHALL"] {
        theirs.ask_words(line);
    }
    if mode.resp3 {
        ours.ask_words("HELLO 3");
        theirs.ask_words("HELLO 3");
    }
    let version = theirs.version;
    let mut queued: Vec<&Line> = Vec::new();
    let mut estimated = false;
    for (at, step) in steps.iter().enumerate() {
        for line in step {
            let (a, b) = (ours.ask(&line.args), theirs.ask(&line.args));
            let verdict = if is(line, b"EXEC") {
                judge_all(&queued, estimated, &a, &b, version)
            } else {
                judge_after(line, estimated, &a, &b, version)
            };
            estimated |= inner(&line.args)
                .first()
                .is_some_and(|name| name.eq_ignore_ascii_case(b"PFCOUNT"));
            match verdict {
                Verdict::Same => {}
                Verdict::Apart => return None,
                Verdict::Different => {
                    return Some(Difference {
                        command: line.show(),
                        ours: a,
                        theirs: b,
                        steps: at + 1,
                    });
                }
            }
            if matches!(&b, Value::Line(b'+', text) if text == "QUEUED") {
                queued.push(line);
            } else if is(line, b"MULTI") && !b.is_error() {
                queued.clear();
            }
        }
        if mode.demotes && at % 16 == 15 {
            ours.db.demote_all().expect("demotes");
        }
    }
    ours.ask_words("DISCARD");
    theirs.ask_words("DISCARD");
    let found = (0..DATABASES).find_map(|index| database(&mut ours, theirs, index));
    ours.db.audit().expect("counts agree");
    found.map(|difference| Difference {
        steps: steps.len(),
        ..difference
    })
}

/// Where the two sides hold different data in a database, or cannot hand them over.
fn database(ours: &mut Ours, theirs: &mut Theirs, index: usize) -> Option<Difference> {
    let select = format!("SELECT {index}");
    ours.ask_words(&select);
    theirs.ask_words(&select);
    let version = theirs.version;
    let (a, b) = (
        walk::keyspace(ours, version),
        walk::keyspace(theirs, version),
    );
    let difference = |command, ours, theirs| {
        Some(Difference {
            command,
            ours,
            theirs,
            steps: 0,
        })
    };
    for at in 0..a.len().max(b.len()) {
        let (a, b) = (a.get(at), b.get(at));
        if !matches!((a, b), (Some(a), Some(b)) if walk::equal(a, b, version)) {
            let key = a.or(b).map_or_else(String::new, |entry| entry.key.show());
            let nothing = || Value::Line(b'_', String::new());
            return difference(
                format!("a walk over database {index}: {key}"),
                a.map_or_else(nothing, walk::Entry::value),
                b.map_or_else(nothing, walk::Entry::value),
            );
        }
    }
    let (payload, arrived) = exchange::first_lost(ours, theirs, &a)?;
    let name = format!("RESTORE of {payload} in database {index}");
    let sent = a.iter().find(|entry| payload.ends_with(&entry.key.show()));
    difference(name, arrived, sent.expect("the value was sent").value())
}

/// What two replies say about the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    /// As expected they hold different data from now on.
    Apart,
    Different,
}

fn judge(line: &Line, ours: &Value, theirs: &Value, version: Version) -> Verdict {
    if same(line.compare, ours, theirs, version) {
        return Verdict::Same;
    }
    let args = inner(&line.args);
    let plain = |reply: &Value| match reply {
        // What a script adds to an error.
        Value::Line(b'-', text) if args.len() < line.args.len() => {
            let end = text.rfind(" script: ").unwrap_or(text.len());
            Value::Line(b'-', text[..end].into())
        }
        other if args.len() < line.args.len() => {
            error_as_data(other).unwrap_or_else(|| other.clone())
        }
        other => other.clone(),
    };
    match known(args, &plain(ours), &plain(theirs), version) {
        Some(Known::Reply) => Verdict::Same,
        Some(Known::Data) => Verdict::Apart,
        None => Verdict::Different,
    }
}

/// The error that a script made data of, as text or packed with `cmsgpack`, if a reply is one.
fn error_as_data(reply: &Value) -> Option<Value> {
    let Value::Bytes(_, bytes) = reply else {
        return None;
    };
    let name = b"\xa3err";
    let packed = bytes.windows(name.len()).position(|part| part == name);
    let text = match &bytes[packed.map_or(0, |at| at + name.len())..] {
        [0xa0..=0xbf, text @ ..] | [0xd9, _, text @ ..] | [0xda, _, _, text @ ..]
            if packed.is_some() =>
        {
            text
        }
        text => text,
    };
    let line = || Value::Line(b'-', String::from_utf8_lossy(text).into());
    text.starts_with(b"ERR ").then(line)
}

/// As [`judge`]. A server keeps an estimate in the sketch, where digests see it.
fn judge_after(
    line: &Line,
    estimated: bool,
    ours: &Value,
    theirs: &Value,
    version: Version,
) -> Verdict {
    match judge(line, ours, theirs, version) {
        Verdict::Different if estimated && is(line, b"DEBUG") => Verdict::Same,
        verdict => verdict,
    }
}

/// The first thing that the replies of a transaction say.
fn judge_all(
    queued: &[&Line],
    estimated: bool,
    ours: &Value,
    theirs: &Value,
    version: Version,
) -> Verdict {
    match (ours, theirs) {
        (Value::Items(_, ours), Value::Items(_, theirs)) if ours.len() == theirs.len() => {
            assert_eq!(ours.len(), queued.len(), "EXEC answers what was queued");
            let replies = queued.iter().zip(ours.iter().zip(theirs));
            let mut verdicts = replies
                .map(|(line, (ours, theirs))| judge_after(line, estimated, ours, theirs, version));
            let first = verdicts.find(|verdict| *verdict != Verdict::Same);
            first.unwrap_or(Verdict::Same)
        }
        // A server keeps an estimate in the sketch, which it counts as a change of what is watched.
        (Value::Items(..), Value::Line(..)) if estimated => Verdict::Apart,
        _ if ours == theirs => Verdict::Same,
        _ => Verdict::Different,
    }
}

fn is(line: &Line, name: &[u8]) -> bool {
    line.args[0].eq_ignore_ascii_case(name)
}
