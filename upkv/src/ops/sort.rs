//! SORT: the elements of a collection by their own value or by that of other keys.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::number;
use crate::value::{Kind, Object, Seen};

/// What SORT is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sort<'a> {
    /// Pattern of keys to sort by.
    pub(crate) by: Option<&'a [u8]>,
    /// Leave the order of the collection: one of the patterns given to sort by had no `*`.
    pub(crate) unsorted: bool,
    /// Elements to skip, and how many to take; a negative skip is none, a negative take all.
    pub(crate) limit: Option<(i64, i64)>,
    /// Patterns of what to answer for each element; none means the elements.
    pub(crate) get: Vec<&'a [u8]>,
    pub(crate) descending: bool,
    /// Compare bytes instead of numbers.
    pub(crate) alpha: bool,
}

/// An element and what it is sorted by.
struct Ranked {
    element: Bytes,
    score: f64,
    /// With `alpha` and a pattern: the bytes to compare, if there are any.
    weight: Option<Bytes>,
}

impl<'a> Sort<'a> {
    /// Sorts by a pattern; the last one counts, but one without `*` counts for good.
    pub(crate) fn by(&mut self, pattern: &'a [u8]) {
        self.by = Some(pattern);
        self.unsorted |= !pattern.contains(&b'*');
    }
}

/// The sorted elements, or for each one what the patterns find.
pub(crate) fn sort(work: &mut Work<'_>, key: &[u8], how: &Sort<'_>) -> Result<Vec<Option<Bytes>>> {
    let mut elements = elements(work, key, how.unsorted && how.descending)?;
    if !how.unsorted {
        elements = order(work, elements, how)?;
    }
    let chosen = limited(elements.len(), how.limit);
    let chosen = &elements[chosen];
    if how.get.is_empty() {
        return Ok(chosen.iter().cloned().map(Some).collect());
    }
    let mut found = Vec::with_capacity(chosen.len() * how.get.len());
    for element in chosen {
        for pattern in &how.get {
            found.push(look_up(work, pattern, element)?);
        }
    }
    Ok(found)
}

/// The elements in the order of the collection.
fn elements(work: &mut Work<'_>, key: &[u8], reverse: bool) -> Result<Vec<Bytes>> {
    if !matches!(
        work.kind(key)?,
        None | Some(Kind::List | Kind::Set | Kind::Zset)
    ) {
        return Err(Error::WrongType);
    }
    let own = |element: std::borrow::Cow<'_, [u8]>| Bytes::from(element.into_owned());
    let is_zset = work.kind(key)? == Some(Kind::Zset);
    let mut elements: Vec<Bytes> = match work.value(key)?.and_then(Seen::object) {
        None => Vec::new(),
        Some(Object::Zset(zset)) => zset
            .iter(0..usize::MAX)
            .map(|item| Bytes::copy_from_slice(item.member))
            .collect(),
        Some(Object::List(list)) => list.iter(0..usize::MAX).map(own).collect(),
        Some(Object::Set(set)) => set.iter().map(own).collect(),
        Some(_) => return Err(Error::WrongType),
    };
    // Only a sorted set has an order that can be turned around.
    if reverse && is_zset {
        elements.reverse();
    }
    Ok(elements)
}

fn order(work: &mut Work<'_>, elements: Vec<Bytes>, how: &Sort<'_>) -> Result<Vec<Bytes>> {
    if let Some(pattern) = how.by {
        let keys: Vec<Vec<u8>> = elements
            .iter()
            .filter_map(|element| Some(substitute(pattern, element)?.0))
            .collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        work.prefetch_strings(&keys)?;
    }
    let mut ranked = Vec::with_capacity(elements.len());
    for element in elements {
        let weight = match how.by {
            Some(pattern) => look_up(work, pattern, &element)?,
            None => Some(element.clone()),
        };
        let score = match &weight {
            Some(text) if !how.alpha => score(text)?,
            _ => 0.0,
        };
        ranked.push(Ranked {
            element,
            score,
            weight: weight.filter(|_| how.alpha),
        });
    }
    let compare = |a: &Ranked, b: &Ranked| {
        let by_weight = if how.alpha {
            a.weight.cmp(&b.weight)
        } else {
            a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal)
        };
        by_weight.then_with(|| a.element.cmp(&b.element))
    };
    if how.descending {
        ranked.sort_by(|a, b| compare(b, a));
    } else {
        ranked.sort_by(compare);
    }
    Ok(ranked.into_iter().map(|ranked| ranked.element).collect())
}

/// The positions that LIMIT leaves.
fn limited(len: usize, limit: Option<(i64, i64)>) -> std::ops::Range<usize> {
    let Some((skip, take)) = limit else {
        return 0..len;
    };
    let skip = usize::try_from(skip.max(0)).unwrap_or(usize::MAX).min(len);
    let take = usize::try_from(take).unwrap_or(usize::MAX);
    skip..skip.saturating_add(take).min(len)
}

/// The key, and the field of it, that a pattern means for an element.
fn substitute<'p>(pattern: &'p [u8], element: &[u8]) -> Option<(Vec<u8>, Option<&'p [u8]>)> {
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = rest.windows(2).position(|pair| pair == b"->");
    // An arrow with nothing after it is part of the name.
    let arrow = arrow.filter(|at| at + 2 < rest.len());
    let (postfix, field) = match arrow {
        Some(at) => (&rest[..at], Some(&rest[at + 2..])),
        None => (rest, None),
    };
    Some(([prefix, element, postfix].concat(), field))
}

/// What a pattern finds for an element.
fn look_up(work: &mut Work<'_>, pattern: &[u8], element: &Bytes) -> Result<Option<Bytes>> {
    if pattern == b"#" {
        return Ok(Some(element.clone()));
    }
    let Some((key, field)) = substitute(pattern, element) else {
        return Ok(None);
    };
    match (work.kind(&key)?, field) {
        (Some(Kind::Hash), Some(field)) => {
            let hash = work.hash(&key)?;
            let value = hash.and_then(|hash| hash.get(field));
            Ok(value.map(Bytes::copy_from_slice))
        }
        (Some(Kind::String), None) => super::string::get(work, &key),
        _ => Ok(None),
    }
}

/// A weight as Redis reads it: what the C library's `strtod` takes whole, up to the first zero byte.
fn score(text: &[u8]) -> Result<f64> {
    let refused = || Error::refused("ERR One or more scores can't be converted into double");
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return Ok(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(end);
    let text = &text[start..];
    let value = hexadecimal(text).or_else(|| number::parse_f64(text));
    // Too close to zero for full precision is out of range to the C library.
    let in_range = |value: &f64| *value == 0.0 || !value.is_subnormal();
    value.filter(in_range).ok_or_else(refused)
}

/// Whole hexadecimal numbers.
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers beyond 53 bits are rounded as decimal ones are"
)]
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"))?;
    if digits.starts_with('+') {
        return None;
    }
    u128::from_str_radix(digits, 16)
        .ok()
        .map(|value| sign * value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_keys_and_fields() {
        let named = |pattern: &str| {
            let (key, field) = substitute(pattern.as_bytes(), b"E")?;
            let field = field.map(|field| String::from_utf8_lossy(field).into_owned());
            Some((String::from_utf8_lossy(&key).into_owned(), field))
        };
        let key = |key: &str| Some((key.to_string(), None));
        let both = |key: &str, field: &str| Some((key.to_string(), Some(field.to_string())));
        assert_eq!(named("w_*"), key("w_E"));
        assert_eq!(named("*"), key("E"));
        assert_eq!(named("a*b*c"), key("aEb*c"));
        assert_eq!(named("h_*->f"), both("h_E", "f"));
        assert_eq!(named("h_*x->f->g"), both("h_Ex", "f->g"));
        assert_eq!(named("h_*->"), key("h_E->"));
        assert_eq!(named("a->b*"), key("a->bE"));
        assert_eq!(named("none"), None);
        assert_eq!(named(""), None);
    }

    #[test]
    fn weights_are_read_as_the_c_library_does() {
        for (text, expected) in [
            ("", Some(0.0)),
            ("1.5", Some(1.5)),
            (" 7", Some(7.0)),
            ("\t+5", Some(5.0)),
            ("-0x10", Some(-16.0)),
            ("0X1f", Some(31.0)),
            ("5\0junk", Some(5.0)),
            ("inf", Some(f64::INFINITY)),
            ("7 ", None),
            (" ", None),
            ("nan", None),
            ("1e400", None),
            ("1e-310", None),
            ("0x", None),
            ("0x+1", None),
            ("abc", None),
        ] {
            assert_eq!(score(text.as_bytes()).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn limits_clamp() {
        assert_eq!(limited(5, None), 0..5);
        assert_eq!(limited(5, Some((-3, 2))), 0..2);
        assert_eq!(limited(5, Some((3, -1))), 3..5);
        assert_eq!(limited(5, Some((9, 1))), 5..5);
        assert_eq!(limited(5, Some((i64::MAX, i64::MAX))), 5..5);
        assert_eq!(limited(5, Some((i64::MIN, i64::MIN))), 0..5);
        assert_eq!(limited(5, Some((2, 0))), 2..2);
    }
}
