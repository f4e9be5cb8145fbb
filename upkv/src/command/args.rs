//! Reading arguments: numbers, keywords and options, with the errors Redis gives.

use crate::error::{Error, Result};
use crate::number;
use crate::options::Deadline;

/// An argument list; the first one is the command's name.
pub(crate) type Args<'a> = [&'a [u8]];

pub(crate) fn int(text: &[u8]) -> Result<i64> {
    number::parse_i64(text).ok_or(Error::NotInteger)
}

pub(crate) fn float(text: &[u8]) -> Result<f64> {
    number::parse_f64(text).ok_or(Error::NotFloat)
}

pub(crate) fn is(text: &[u8], keyword: &str) -> bool {
    text.eq_ignore_ascii_case(keyword.as_bytes())
}

/// The number of a database, of which there are so many.
pub(crate) fn database(text: &[u8], count: u8) -> Result<u8> {
    let index = int(text)?;
    if i32::try_from(index).is_err() {
        return Err(Error::refused(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    let index = u8::try_from(index).ok().filter(|db| *db < count);
    index.ok_or_else(no_such_database)
}

#[cold]
pub(crate) fn no_such_database() -> Error {
    Error::refused("ERR DB index is out of range")
}

/// How long a blocking command waits, given in seconds with decimals, in ms; `None` is for ever.
pub(crate) fn timeout(text: &[u8]) -> Result<Option<u64>> {
    let refused = || Error::refused("ERR timeout is not a float or out of range");
    let seconds = number::parse_f64(text).ok_or_else(refused)?;
    if seconds < 0.0 {
        return Err(Error::refused("ERR timeout is negative"));
    }
    let millis = (seconds * 1000.0).ceil();
    // Redis keeps the deadline in a signed number of ms.
    if !millis.is_finite() || millis >= 9.2e18 {
        return Err(Error::refused("ERR timeout is out of range"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative and below 2^63"
    )]
    let millis = millis as u64;
    Ok((millis > 0).then_some(millis))
}

/// A walk over the options at the end of an argument list.
pub(crate) struct Options<'a> {
    rest: &'a [&'a [u8]],
}

impl<'a> Options<'a> {
    pub(crate) fn new(rest: &'a [&'a [u8]]) -> Self {
        Self { rest }
    }

    /// The next option, in upper case.
    pub(crate) fn next(&mut self) -> Option<String> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(String::from_utf8_lossy(first).to_ascii_uppercase())
    }

    /// The argument of the option just read.
    pub(crate) fn value(&mut self) -> Result<&'a [u8]> {
        let (first, rest) = self.rest.split_first().ok_or_else(Error::syntax)?;
        self.rest = rest;
        Ok(first)
    }

    /// The arguments of the option just read, all of which must be there before one is looked at.
    pub(crate) fn values(&mut self, count: usize) -> Result<&'a Args<'a>> {
        let (values, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(Error::syntax)?;
        self.rest = rest;
        Ok(values)
    }
}

/// The deadline form of a command: `EX`, `PX`, `EXAT`, `PXAT`, or a word without argument.
///
/// Redis reads all options before it looks at the number, and takes the same form twice.
#[derive(Default)]
pub(crate) struct DeadlineForm<'a> {
    found: Option<(String, &'a [u8])>,
}

impl<'a> DeadlineForm<'a> {
    /// Takes an option; `words` are the forms without argument that the command has.
    pub(crate) fn take(
        &mut self,
        option: String,
        options: &mut Options<'a>,
        words: &[&str],
    ) -> Result<()> {
        let is_word = words.contains(&&option[..]);
        if !is_word && !matches!(&option[..], "EX" | "PX" | "EXAT" | "PXAT") {
            return Err(Error::syntax());
        }
        if self
            .found
            .as_ref()
            .is_some_and(|(before, _)| *before != option)
        {
            return Err(Error::syntax());
        }
        let value = if is_word { &[][..] } else { options.value()? };
        self.found = Some((option, value));
        Ok(())
    }

    /// The deadline, if a form was given.
    pub(crate) fn deadline(&self, command: &str) -> Result<Option<Deadline>> {
        let Some((form, value)) = &self.found else {
            return Ok(None);
        };
        let (seconds, relative) = match &form[..] {
            "KEEPTTL" => return Ok(Some(Deadline::Keep)),
            "PERSIST" => return Ok(Some(Deadline::Clear)),
            "EX" => (true, true),
            "PX" => (false, true),
            "EXAT" => (true, false),
            _ => (false, false),
        };
        positive_span(int(value)?, seconds, relative, command).map(Some)
    }
}

/// A span or time of at least 1, in ms.
pub(crate) fn positive_span(
    span: i64,
    seconds: bool,
    relative: bool,
    command: &str,
) -> Result<Deadline> {
    let refused = || Error::refused_with(format!("ERR invalid expire time in '{command}' command"));
    let scaled = if seconds {
        span.checked_mul(1000)
    } else {
        Some(span)
    };
    let millis = scaled.filter(|millis| *millis > 0).ok_or_else(refused)?;
    let millis = u64::try_from(millis).map_err(|_| refused())?;
    Ok(if relative {
        Deadline::In(millis)
    } else {
        Deadline::At(millis)
    })
}

/// A count of keys that must all be there: `numkeys key...`; the keys and what follows.
pub(crate) fn counted_keys<'a>(
    rest: &'a [&'a [u8]],
    command: &str,
) -> Result<(&'a Args<'a>, &'a Args<'a>)> {
    let (count, rest) = rest.split_first().ok_or_else(Error::syntax)?;
    let count = int(count)?;
    let at_least = || {
        Error::refused_with(format!(
            "ERR at least 1 input key is needed for '{command}' command"
        ))
    };
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(at_least)?;
    rest.split_at_checked(count).ok_or_else(Error::syntax)
}

/// The last `LIMIT` among options that know nothing else; 0, for no limit, without one.
pub(crate) fn limit_option(rest: &Args<'_>) -> Result<usize> {
    let mut limit = 0;
    let mut options = Options::new(rest);
    while let Some(option) = options.next() {
        if option != "LIMIT" {
            return Err(Error::syntax());
        }
        let refused = || Error::refused("ERR LIMIT can't be negative");
        let given = number::parse_i64(options.value()?).ok_or_else(refused)?;
        limit = usize::try_from(given).map_err(|_| refused())?;
    }
    Ok(limit)
}

/// `MATCH`, `COUNT` and what else the scan family shares.
pub(crate) struct ScanOptions<'a> {
    pub(crate) pattern: Option<&'a [u8]>,
    pub(crate) count: usize,
    pub(crate) kind: Option<&'a [u8]>,
    pub(crate) values: bool,
    /// Whether SCAN tells the type of each key.
    pub(crate) with_kind: bool,
}

/// Which extra options a scan takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanOf {
    Keys,
    Hash,
    Set,
    Zset,
}

pub(crate) fn scan_options<'a>(rest: &'a [&'a [u8]], of: ScanOf) -> Result<ScanOptions<'a>> {
    /// Most elements one step looks at, whatever COUNT asks for.
    const COUNT_MAX: i64 = 1 << 20;
    let mut found = ScanOptions {
        pattern: None,
        count: 10,
        kind: None,
        values: true,
        with_kind: false,
    };
    let mut options = Options::new(rest);
    while let Some(option) = options.next() {
        match &option[..] {
            "MATCH" => found.pattern = Some(options.value()?),
            "COUNT" => {
                let count = int(options.value()?)?;
                if count < 1 {
                    return Err(Error::syntax());
                }
                found.count = usize::try_from(count.min(COUNT_MAX)).unwrap_or(10);
            }
            "TYPE" if of == ScanOf::Keys => found.kind = Some(options.value()?),
            "WITHTYPE" if of == ScanOf::Keys => found.with_kind = true,
            "NOVALUES" if of == ScanOf::Hash => found.values = false,
            "NOVALUES" => {
                return Err(Error::refused(
                    "ERR NOVALUES option can only be used in HSCAN",
                ));
            }
            _ => return Err(Error::syntax()),
        }
    }
    Ok(found)
}

pub(crate) fn cursor(text: &[u8]) -> Result<u64> {
    number::parse_cursor(text).ok_or_else(|| Error::refused("ERR invalid cursor"))
}

/// A count for random picks, which must leave room for negation.
pub(crate) fn random_count(text: &[u8]) -> Result<i64> {
    let count = int(text)?;
    if count == i64::MIN {
        return Err(Error::refused(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    Ok(count)
}

/// How often a random pick with repetition, whose count is negative, picks. More than 2^24 would fill the memory.
pub(crate) fn repetitions(count: i64) -> Result<u64> {
    const MOST: u64 = 1 << 24;
    let count = count.unsigned_abs();
    if count > MOST {
        return Err(Error::refused("ERR value is out of range"));
    }
    Ok(count)
}

/// A count that must not be negative.
pub(crate) fn positive(text: &[u8]) -> Result<usize> {
    let refused = || Error::refused("ERR value is out of range, must be positive");
    let count = number::parse_i64(text).ok_or_else(refused)?;
    usize::try_from(count).map_err(|_| refused())
}

/// An argument as refusals show it: up to a length, or to a zero byte, at which servers end.
pub(crate) fn echo(arg: &[u8], most: usize) -> String {
    let arg = &arg[..arg.len().min(most)];
    let text = arg.split(|byte| *byte == 0).next().unwrap_or(arg);
    String::from_utf8_lossy(text).into_owned()
}
