//! Values of parameters: which texts are taken, and the form in which they are told.
//!
//! Invariant: a text that was told is taken again and means the same.

use std::borrow::Cow;

use crate::number;
use crate::server::events;

/// What a parameter holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `yes` or `no`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An integer from the first to the second number.
    Int(i64, i64),
    /// Bytes, with a unit or without, from the first to the second number.
    Memory(u64, u64),
    /// Bytes, or a part of the memory limit.
    MemoryOrPercent,
    Text,
    /// Pairs of seconds and changes.
    Saves,
    /// Limits of what may wait for clients, by class.
    OutputLimits,
    /// Letters of keyspace events.
    Events,
    /// Percentages from 0 to 100.
    Percentiles,
    /// Three integers from -2000 to 2000.
    Scores,
}

/// A value that a parameter may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) text: String,
    /// What the text stands for, if it is a number, a size or a switch.
    pub(crate) number: i64,
}

/// Why a text is not a value.
pub(crate) type Refusal = Cow<'static, str>;

/// Hard limit, soft limit and the seconds for which the soft limit may be exceeded.
pub(crate) type OutputLimit = [u64; 3];

/// Classes of clients with an output limit of their own.
pub(crate) const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];
/// Positions of clients and of subscribers among the classes.
pub(crate) const NORMAL: usize = 0;
pub(crate) const PUBSUB: usize = 2;
/// Bytes of replies that may wait to be taken before a connection is closed, at first.
const REPLIES_BYTES_MAX: u64 = 256 << 20;
/// Limits of all classes at first; that of subscribers is Redis' own.
pub(crate) const OUTPUT_LIMITS: [OutputLimit; 3] = [
    [REPLIES_BYTES_MAX, 0, 0],
    [256 << 20, 64 << 20, 60],
    [32 << 20, 8 << 20, 60],
];

impl Kind {
    /// The value that a text stands for.
    pub(crate) fn parse(self, given: &[u8]) -> Result<Setting, Refusal> {
        let text = || String::from_utf8_lossy(given).into_owned();
        Ok(match self {
            Self::Switch => {
                let on = match &given.to_ascii_lowercase()[..] {
                    b"yes" => true,
                    b"no" => false,
                    _ => return Err("argument must be 'yes' or 'no'".into()),
                };
                Setting {
                    text: if on { "yes" } else { "no" }.into(),
                    number: on.into(),
                }
            }
            Self::Word(words) => {
                let known = |word: &&&str| given.eq_ignore_ascii_case(word.as_bytes());
                let word = words.iter().find(known).ok_or_else(|| {
                    let words = words.join(", ");
                    format!("argument(s) must be one of the following: {words}")
                })?;
                plain((*word).into())
            }
            Self::Int(min, max) => {
                let number = number::parse_i64(given)
                    .ok_or("argument couldn't be parsed into an integer")?;
                if !(min..=max).contains(&number) {
                    return Err(outside(min, max));
                }
                Setting {
                    text: number.to_string(),
                    number,
                }
            }
            Self::Memory(min, max) => {
                let bytes = memory(given).ok_or("argument must be a memory value")?;
                if !(min..=max).contains(&bytes) {
                    return Err(outside(min, max));
                }
                size(bytes)
            }
            Self::MemoryOrPercent => {
                let percent = given.strip_suffix(b"%").map(|digits| {
                    let percent = number::parse_i64(digits).filter(|percent| *percent >= 0);
                    percent.map(|percent| plain(format!("{percent}%")))
                });
                let found = percent.unwrap_or_else(|| memory(given).map(size));
                found.ok_or("argument must be a memory or percent value")?
            }
            Self::Text => {
                let text = str::from_utf8(given).map_err(|_| "argument must be text in UTF-8")?;
                plain(text.into())
            }
            Self::Saves => plain(saves(&text()).ok_or("Invalid save parameters")?),
            Self::OutputLimits => {
                output_limits(&text())?;
                plain(text())
            }
            Self::Events if events::is_setting(given) => plain(text()),
            Self::Events => {
                return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
            }
            Self::Percentiles => plain(percentiles(&text())?),
            Self::Scores => plain(scores(&text())?),
        })
    }
}

fn plain(text: String) -> Setting {
    Setting { text, number: 0 }
}

fn size(bytes: u64) -> Setting {
    Setting {
        text: bytes.to_string(),
        number: i64::try_from(bytes).unwrap_or(i64::MAX),
    }
}

fn outside(min: impl std::fmt::Display, max: impl std::fmt::Display) -> Refusal {
    format!("argument must be between {min} and {max} inclusive").into()
}

/// Bytes given with a unit; without digits there are none.
pub(crate) fn memory(given: &[u8]) -> Option<u64> {
    let digits = given.iter().take_while(|byte| byte.is_ascii_digit());
    let (digits, unit) = given.split_at(digits.count());
    let scale: u64 = match &unit.to_ascii_lowercase()[..] {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let number = number.checked_mul(10)?;
        number.checked_add(u64::from(digit - b'0'))
    })?;
    number.checked_mul(scale)
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').filter(|word| !word.is_empty()).collect()
}

fn saves(text: &str) -> Option<String> {
    let words = words(text);
    let numbers: Option<Vec<i64>> = words
        .iter()
        .map(|word| number::parse_i64(word.as_bytes()))
        .collect();
    let numbers = numbers?;
    let (pairs, rest) = numbers.as_chunks::<2>();
    let fits = |[seconds, changes]: &[i64; 2]| *seconds >= 1 && *changes >= 0;
    (rest.is_empty() && pairs.iter().all(fits)).then(|| words.join(" "))
}

/// The limits that a text names, with the positions of their classes.
pub(crate) fn output_limits(text: &str) -> Result<Vec<(usize, OutputLimit)>, Refusal> {
    let words = words(text);
    let (limits, rest) = words.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut found = Vec::new();
    for [class, hard, soft, seconds] in limits {
        let class = match &class.to_ascii_lowercase()[..] {
            "replica" => "slave",
            class => CLASSES
                .into_iter()
                .find(|known| *known == class)
                .ok_or("Invalid client class specified in buffer limit configuration.")?,
        };
        let class = CLASSES.into_iter().position(|known| known == class);
        let seconds = number::parse_i64(seconds.as_bytes());
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let (hard, soft) = (memory(hard.as_bytes()), memory(soft.as_bytes()));
        let limit = class.zip(hard).zip(soft).zip(seconds);
        let (((class, hard), soft), seconds) = limit
            .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
        found.push((class, [hard, soft, seconds]));
    }
    Ok(found)
}

/// All limits, as they are told.
pub(crate) fn show_output_limits(limits: &[OutputLimit; 3]) -> String {
    let limits = CLASSES.iter().zip(limits);
    let shown: Vec<String> = limits
        .map(|(class, [hard, soft, seconds])| format!("{class} {hard} {soft} {seconds}"))
        .collect();
    shown.join(" ")
}

fn percentiles(text: &str) -> Result<String, Refusal> {
    let mut shown = Vec::new();
    for word in words(text) {
        let number = number::parse_f64(word.as_bytes())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&number) {
            return Err(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                    .into(),
            );
        }
        shown.push(number.to_string());
    }
    Ok(shown.join(" "))
}

fn scores(text: &str) -> Result<String, Refusal> {
    let words = words(text);
    if words.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let fits = |word: &&str| {
        let number = number::parse_i64(word.as_bytes());
        number.is_some_and(|number| (-2_000..=2_000).contains(&number))
    };
    if !words.iter().all(fits) {
        return Err(
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into(),
        );
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_units() {
        for (given, bytes) in [
            ("0", Some(0)),
            ("100mb", Some(100 << 20)),
            ("2GB", Some(2 << 30)),
            ("3k", Some(3_000)),
            ("3Kb", Some(3 << 10)),
            ("5m", Some(5_000_000)),
            ("1g", Some(1_000_000_000)),
            ("7b", Some(7)),
            ("", Some(0)),
            ("1.5gb", None),
            ("-1", None),
            ("1mib", None),
            ("99999999999gb", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1 ", None),
        ] {
            assert_eq!(memory(given.as_bytes()), bytes, "{given}");
        }
    }

    #[test]
    fn what_is_told_is_taken_again() {
        let kinds = [
            (Kind::Switch, "YES", "yes"),
            (Kind::Word(&["a", "b"]), "B", "b"),
            (Kind::Int(-2, 9), "-2", "-2"),
            (Kind::Memory(1, 1 << 20), "1mb", "1048576"),
            (Kind::MemoryOrPercent, "10%", "10%"),
            (Kind::MemoryOrPercent, "1kb", "1024"),
            (Kind::Saves, " 900  1 300 10", "900 1 300 10"),
            (Kind::Percentiles, "50 99.95", "50 99.95"),
            (Kind::Scores, "1 -2 3", "1 -2 3"),
        ];
        for (kind, given, told) in kinds {
            let setting = kind.parse(given.as_bytes()).expect(given);
            assert_eq!(setting.text, told);
            assert_eq!(kind.parse(told.as_bytes()), Ok(setting));
        }
        for (kind, given) in [
            (Kind::Switch, "1"),
            (Kind::Word(&["a", "b"]), "c"),
            (Kind::Int(-2, 9), "10"),
            (Kind::Memory(1, 1 << 20), "0"),
            (Kind::MemoryOrPercent, "-1%"),
            (Kind::Saves, "900"),
            (Kind::Saves, "0 1"),
            (Kind::OutputLimits, "normal 1 2"),
            (Kind::OutputLimits, "nobody 1 2 3"),
            (Kind::Percentiles, "101"),
            (Kind::Percentiles, "nan"),
            (Kind::Scores, "1 2 2001"),
        ] {
            assert!(kind.parse(given.as_bytes()).is_err(), "{given}");
        }
    }
}
