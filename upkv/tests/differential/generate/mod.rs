//! Random commands out of grammars, one file a chapter; a new chapter is a file and a line in `CHAPTERS`.
//!
//! A grammar is a line of words. Capitals stand for themselves; other words name a pool of arguments to pick from, of
//! the chapter or common (`pools.rs`). `[a b]` may be left out, `a|b` and `(a b|c d)` are either, `{a b}` comes one to
//! three times; neighbouring `[...]` come in any order. What is generated depends on the random numbers alone, never on replies.
//! One command in eight is then damaged: an argument left out, doubled, swapped, or replaced by an odd one.

mod bits;
mod database;
mod geo;
mod grammar;
mod hash;
mod hll;
mod keys;
mod list;
mod pools;
pub(crate) mod script;
mod set;
mod stream;
mod string;
mod transaction;
mod zset;

use crate::common::Random;
use crate::compare::Compare;
use crate::server::Version;
use grammar::expand;

/// Chapters by name; a case is about one of them, or a mixture.
const CHAPTERS: &[&Chapter] = &[
    &string::CHAPTER,
    &bits::CHAPTER,
    &hll::CHAPTER,
    &hash::CHAPTER,
    &zset::CHAPTER,
    &geo::CHAPTER,
    &list::CHAPTER,
    &set::CHAPTER,
    &stream::CHAPTER,
];

/// Chapters that work on keys of every type; every case has some of them.
const EVERYWHERE: &[&Chapter] = &[&keys::CHAPTER, &transaction::CHAPTER, &database::CHAPTER];

/// Commands on one type.
pub(crate) struct Chapter {
    pub(crate) name: &'static str,
    /// Keys are this letter and a digit, so that most commands meet the type that they are for.
    pub(crate) letter: char,
    /// Pools of arguments of its own.
    pub(crate) pools: &'static [(&'static str, &'static [&'static str])],
    pub(crate) rules: &'static [Rule],
}

/// One command.
pub(crate) struct Rule {
    grammar: &'static str,
    compare: Compare,
    weight: usize,
    in_multi: bool,
    since: Version,
}

/// A command whose reply is the same on every server.
pub(crate) const fn rule(grammar: &'static str) -> Rule {
    Rule {
        grammar,
        compare: Compare::Exact,
        weight: 2,
        in_multi: false,
        since: Version(0, 0),
    }
}

impl Rule {
    pub(crate) const fn compare(mut self, compare: Compare) -> Self {
        self.compare = compare;
        self
    }

    /// Generated as often as so many others.
    pub(crate) const fn often(mut self, times: usize) -> Self {
        self.weight *= times;
        self
    }

    /// Half as often as others.
    pub(crate) const fn rarely(mut self) -> Self {
        self.weight = 1;
        self
    }

    /// Generated for servers from this version on.
    pub(crate) const fn since(mut self, major: u32, minor: u32) -> Self {
        self.since = Version(major, minor);
        self
    }

    /// Generated in a transaction of its own, since it may wait outside.
    pub(crate) const fn in_multi(mut self) -> Self {
        self.in_multi = true;
        self
    }
}

/// One command with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) compare: Compare,
}

impl Line {
    pub(crate) fn of(text: &str) -> Self {
        let args = text.split(' ').map(|word| word.as_bytes().into()).collect();
        let compare = Compare::Exact;
        Self { args, compare }
    }

    pub(crate) fn show(&self) -> String {
        let show = |arg: &Vec<u8>| match arg.len() {
            0 => "\"\"".to_string(),
            1..=200 if arg.iter().all(u8::is_ascii_graphic) => arg.escape_ascii().to_string(),
            1..=200 => format!("\"{}\"", arg.escape_ascii()),
            length => format!("<{length} bytes>"),
        };
        self.args.iter().map(show).collect::<Vec<_>>().join(" ")
    }
}

/// What is asked together and left out together when a failure is made smaller.
pub(crate) type Step = Vec<Line>;

/// The steps of one case.
pub(crate) fn steps(seed: u64, commands: usize, version: Version) -> (String, Vec<Step>) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..8 {
        random.next();
    }
    let about = usize::try_from(seed).expect("a small seed") % (CHAPTERS.len() + 1);
    let about: Vec<&Chapter> = match CHAPTERS.get(about) {
        Some(chapter) => vec![*chapter],
        None => CHAPTERS.to_vec(),
    };
    let only = std::env::var("DIFFERENTIAL_CHAPTER").ok();
    let named = |chapter: &&&Chapter| only.as_deref() == Some(chapter.name);
    let about = CHAPTERS
        .iter()
        .find(named)
        .map_or(about, |chapter| vec![*chapter]);
    let mut titles: Vec<&str> = about.iter().map(|chapter| chapter.name).collect();
    let mut steps: Vec<Step> = (0..commands)
        .map(|_| step(&mut random, &about, version))
        .collect();
    if cfg!(feature = "lua") && (seed % 5 == 4 || only.as_deref() == Some("script")) {
        titles.push("script");
        script::wrap(&mut random, &mut steps);
    }
    (titles.join(", "), steps)
}

fn step(r: &mut Random, about: &[&Chapter], version: Version) -> Step {
    let chapter = if r.below(5) == 0 {
        r.pick(EVERYWHERE)
    } else {
        r.pick(about)
    };
    let mut rules = chapter.rules.iter().filter(|rule| rule.since <= version);
    let mut at = r.below(rules.clone().map(|rule| rule.weight).sum());
    let chosen = rules.find(|rule| {
        let found = at < rule.weight;
        at = at.saturating_sub(rule.weight);
        found
    });
    let rule = chosen.expect("the weights add up");
    let source = pools::Source {
        chapter,
        letters: about.iter().map(|chapter| chapter.letter).collect(),
    };
    let mut args = expand(rule.grammar, r, &source);
    if r.below(8) == 0 {
        damage(r, &mut args);
    }
    tame(&mut args, version);
    let compare = rule.compare;
    let line = Line { args, compare };
    if rule.in_multi {
        return vec![Line::of("MULTI"), line, Line::of("EXEC")];
    }
    vec![line]
}

/// Spans that might pass during the case become none at all; options that are newer than most servers are left out.
fn tame(args: &mut Vec<Vec<u8>>, version: Version) {
    const SHORTEST: i64 = 1000;
    let name = args[0].to_ascii_uppercase();
    let of_command = [
        &b"EXPIRE"[..],
        b"PEXPIRE",
        b"SETEX",
        b"PSETEX",
        b"HEXPIRE",
        b"HPEXPIRE",
    ];
    if name.ends_with(b"RANK") && args.len() == 4 && version < Version(7, 2) {
        args.pop();
    }
    if matches!(&name[..], b"SETBIT" | b"BITFIELD" | b"SETRANGE") {
        // Strings of hundreds of megabytes, where that is not refused.
        let most = if name == b"SETRANGE" {
            (1 << 29) - 1
        } else {
            u64::from(u32::MAX)
        };
        for arg in args.iter_mut() {
            let number = std::str::from_utf8(arg).ok();
            let number = number.and_then(|number| number.parse::<u64>().ok());
            if number.is_some_and(|number| (1 << 20..=most).contains(&number)) {
                *arg = b"40000".to_vec();
            }
        }
    }
    if name == b"BITFIELD" {
        // The distance to the least integer overflows in servers.
        args.retain(|arg| arg != b"-9223372036854775808");
    }
    if name.ends_with(b"RANDFIELD") || name.ends_with(b"RANDMEMBER") {
        // A server makes as many picks as it is asked for, however many that are.
        let many = |count: &str| count.parse::<i64>().is_ok_and(|count| count < -10_000);
        let counts = args.iter_mut().skip(2);
        for count in counts.filter(|arg| std::str::from_utf8(arg).is_ok_and(many)) {
            *count = b"-9".to_vec();
        }
    }
    if name == b"ZADD" && args.get(1).is_some_and(|key| key == b"lex") {
        *args = Line::of("ZADD lex 0 m1 0 m2").args;
    }
    if name == b"XADD" && args.get(1).is_some_and(|key| key != b"Missing") {
        // An id of the clock.
        for arg in args.iter_mut().filter(|arg| *arg == b"*") {
            *arg = b"70-*".to_vec();
        }
    }
    if name == b"WATCH" {
        // What happens to a group is a change here, and none in servers.
        for key in args.iter_mut().filter(|key| key.starts_with(b"x")) {
            key[0] = b's';
        }
    }
    for at in 2..args.len() {
        if args[at - 1].eq_ignore_ascii_case(b"ENTRIESREAD") && version < Version(8, 2) {
            // Older servers let a group have read more than there is.
            args[at] = b"0".to_vec();
        }
        let is_span = (at == 2 && of_command.contains(&&name[..]))
            || args[at - 1].eq_ignore_ascii_case(b"EX")
            || args[at - 1].eq_ignore_ascii_case(b"PX");
        let span = std::str::from_utf8(&args[at]).ok();
        let span = span.and_then(|span| span.parse::<i64>().ok());
        if is_span && span.is_some_and(|span| span > 0 && span < SHORTEST) {
            args[at] = b"0".to_vec();
        }
    }
}

/// Makes a command one that nobody would send.
fn damage(r: &mut Random, args: &mut Vec<Vec<u8>>) {
    let last = args.len() - 1;
    let at = r.below(last.max(1)).min(last) + usize::from(last > 0);
    match r.below(6) {
        0 if last > 0 => drop(args.remove(at)),
        1 => args.push(pools::odd(r)),
        2 if last > 0 => args.insert(at, args[at].clone()),
        3 => args[at].make_ascii_lowercase(),
        4 if last > 1 => args.swap(at, last),
        _ if last > 0 => args[at] = pools::odd(r),
        _ => args[0].make_ascii_lowercase(),
    }
}

#[test]
fn every_grammar_expands() {
    let mut random = Random(7);
    for chapter in CHAPTERS.iter().chain(EVERYWHERE) {
        let source = pools::Source {
            chapter,
            letters: vec![chapter.letter],
        };
        for rule in chapter.rules {
            for _ in 0..200 {
                let args = expand(rule.grammar, &mut random, &source);
                let name = args[0].escape_ascii().to_string();
                assert!(rule.grammar.contains(&name.to_uppercase()), "{name}");
            }
        }
    }
}
