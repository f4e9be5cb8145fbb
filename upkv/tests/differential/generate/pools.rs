//! What the words of grammars stand for.

use super::{CHAPTERS, Chapter};
use crate::common::Random;

/// What arguments are picked for.
pub(super) struct Source<'a> {
    pub(super) chapter: &'a Chapter,
    /// Of the chapters that the case is about.
    pub(super) letters: Vec<char>,
}

/// Arguments that are right for hardly anything.
const ODD: &[&[u8]] = &[
    b"",
    b"0",
    b"-0",
    b"+1",
    b"-1",
    b"00",
    b" 1",
    b"1 ",
    b"1.5",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"2147483647",
    b"2147483648",
    b"-2147483649",
    b"4294967295",
    b"4294967296",
    b"536870911",
    b"536870912",
    b"536870913",
    b"nan",
    b"NaN",
    b"inf",
    b"-inf",
    b"+Infinity",
    b"1e400",
    b"1e-400",
    b"1e3",
    b"(",
    b"[",
    b"*",
    b"\xff\x00\xfe",
    b"\r\n",
    b"LIMIT",
    b"COUNT",
    b"nx",
];

const COMMON: &[(&str, &[&str])] = &[
    (
        "value",
        &[
            "",
            "0",
            "1",
            "-7",
            "10",
            "abc",
            "hello world",
            "3.5",
            "9223372036854775807",
            "-9223372036854775808",
            "01",
            " 1",
            "\u{e9}",
            "a value of 44 bytes, as long as embstr can be",
            "a value of more than sixty-four bytes, so that it can be demoted: 0123456789",
        ],
    ),
    (
        "index",
        &[
            "0",
            "1",
            "-1",
            "2",
            "-2",
            "-3",
            "5",
            "100",
            "-100",
            "2147483648",
            "4294967296",
            "9223372036854775807",
            "-9223372036854775808",
            "x",
        ],
    ),
    (
        "int",
        &[
            "0",
            "1",
            "-1",
            "2",
            "-3",
            "5",
            "100",
            "-100",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "1.5",
            "x",
        ],
    ),
    ("count", &["1", "2", "3", "10", "0", "-1", "-2", "x"]),
    ("positive", &["1", "2", "3", "10", "1", "2", "0", "-1", "x"]),
    (
        "float",
        &[
            "20", "-2", "1", "0.5", "3e2", "-0", "x", "inf", "nan", "1e400",
        ],
    ),
    (
        "pattern",
        &[
            "*", "?1", "[a-z]*", "[^a]*", "*2", "\\a", "??", "*[", "[b-", "", "*?*", "s*",
        ],
    ),
    ("field", &["f1", "f2", "f3", "x", "f1", "f2", "", "1"]),
    (
        "limit",
        &["0", "1", "2", "-1", "10", "9223372036854775807", "x"],
    ),
    (
        "milliat",
        &[
            "4000000000123",
            "4100000000456",
            "4200000000789",
            "1",
            "0",
            "-5",
            "x",
            "9223372036854775807",
        ],
    ),
    (
        "secondat",
        &[
            "4000000000",
            "4100000000",
            "4200000000",
            "1",
            "0",
            "-5",
            "x",
            "9223372036854775807",
        ],
    ),
    (
        "badspan",
        &[
            "0",
            "-1",
            "x",
            "9223372036854775807",
            "9223372036854775",
            "-9223372036854775808",
        ],
    ),
];

/// An argument for a word of a grammar.
pub(super) fn argument(word: &str, r: &mut Random, source: &Source<'_>) -> Vec<u8> {
    if !word.starts_with(|first: char| first.is_ascii_lowercase()) {
        return match r.below(40) {
            0 => word.to_ascii_lowercase().into(),
            _ => word.into(),
        };
    }
    let pools = source.chapter.pools.iter().chain(COMMON);
    if let Some((_, pool)) = pools.into_iter().find(|(name, _)| *name == word) {
        return r.pick(pool).into();
    }
    match word {
        "key" => key(r, source),
        // Distinct, so that nothing depends on what passes between two commands.
        "span" => (1_000 + r.below(4_000_000)).to_string().into(),
        "millis" => (1_000_000 + r.below(4_000_000_000)).to_string().into(),
        "bytes" => {
            let length = *r.pick(&[&0, &1, &8, &20, &64, &300, &5000]);
            (0..length).map(|_| r.next().to_le_bytes()[3]).collect()
        }
        "payload" => super::payload::payload(r),
        "odd" => odd(r),
        other => panic!("a grammar names {other}, which is no pool"),
    }
}

pub(super) fn odd(r: &mut Random) -> Vec<u8> {
    r.pick(ODD).into()
}

/// Mostly of the chapter's type, sometimes of another, seldom missing or odd.
fn key(r: &mut Random, source: &Source<'_>) -> Vec<u8> {
    let letter = match r.below(24) {
        0 => return r.pick(&[&b""[..], b"\xff\x00", b"missing"]).into(),
        // A sketch holds an estimate or not: only its own commands may look.
        1 | 2 => match CHAPTERS[r.below(CHAPTERS.len())].letter {
            'p' => 's',
            letter => letter,
        },
        _ if source.chapter.letter == '*' => source.letters[r.below(source.letters.len())],
        _ => source.chapter.letter,
    };
    format!("{letter}{}", r.below(3)).into()
}
