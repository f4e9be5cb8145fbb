//! The functions of `string` that search, replace or repeat.

use std::sync::Arc;

use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::pattern::{Capture, Matcher};
use super::{Fault, Given, Outcome, define, stopped, type_name};
use crate::script::meter::Meter;

pub(super) fn library(lua: &Lua, meter: &Arc<Meter>) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    let shared = meter;
    let own = || Arc::clone(shared);
    let meter = own();
    define(lua, &t, "find", move |lua, given| {
        search(lua, given, &meter, true)
    })?;
    let meter = own();
    define(lua, &t, "match", move |lua, given| {
        search(lua, given, &meter, false)
    })?;
    let meter = own();
    define(lua, &t, "step", move |lua, given| step(lua, given, &meter))?;
    let meter = own();
    define(lua, &t, "gsub", move |lua, given| {
        replace(lua, given, &meter)
    })?;
    let meter = own();
    define(lua, &t, "rep", move |lua, given| {
        let text = given.text(lua, 0)?;
        let count = usize::try_from(given.integer(lua, 1)?).unwrap_or(0);
        let text = text.as_bytes();
        let len = text.len().saturating_mul(count);
        if !meter.fits(len) {
            return Err(stopped());
        }
        let repeated = text.repeat(if text.is_empty() { 0 } else { count });
        Ok(lua.create_string(repeated)?)
    })?;
    Ok(t)
}

/// The position that a number means: negative ones count from the end.
fn start(given: &Given<'_>, lua: &Lua, len: usize) -> Outcome<usize> {
    let at = given.integer_or(lua, 2, 1)?;
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let at = if at < 0 {
        at.saturating_add(len).saturating_add(1)
    } else {
        at
    };
    let at = at.saturating_sub(1).clamp(0, len);
    Ok(usize::try_from(at).unwrap_or(0))
}

fn anchored(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    }
}

fn search(lua: &Lua, given: &Given<'_>, meter: &Meter, positions: bool) -> Outcome<MultiValue> {
    let (text, pattern) = (given.text(lua, 0)?, given.text(lua, 1)?);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let first = start(given, lua, text.len())?;
    let plain = positions
        && (matches!(given.args.get(3), Some(value) if !matches!(value, Value::Nil | Value::Boolean(false)))
            || !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte)));
    let nothing = || Ok(MultiValue::from_vec(vec![Value::Nil]));
    if plain {
        let Some(at) = find_plain(&text[first..], &pattern, meter)? else {
            return nothing();
        };
        let at = first + at;
        return Ok((at + 1, at + pattern.len()).into_lua_multi(lua)?);
    }
    let (anchor, pattern) = anchored(&pattern);
    let mut matcher = Matcher::new(&text, pattern, meter);
    for at in first..=text.len() {
        if let Some(end) = matcher.at(at)? {
            let mut found = captures(lua, &matcher, at, end, !positions)?;
            if positions {
                found.push_front(position(end));
                found.push_front(position(at + 1));
            }
            return Ok(found);
        }
        if anchor {
            break;
        }
    }
    nothing()
}

fn position(at: usize) -> Value {
    Value::Integer(i64::try_from(at).unwrap_or(i64::MAX))
}

/// Where `wanted` is in `text`, in time linear in both.
fn find_plain(text: &[u8], wanted: &[u8], meter: &Meter) -> Outcome<Option<usize>> {
    if !meter.spend((text.len() + wanted.len()) as u64 / 16) {
        return Err(stopped());
    }
    if wanted.is_empty() {
        return Ok(Some(0));
    }
    // How much of `wanted` is matched again after a mismatch.
    let mut back = vec![0; wanted.len()];
    let mut len = 0;
    for at in 1..wanted.len() {
        while len > 0 && wanted[at] != wanted[len] {
            len = back[len - 1];
        }
        len += usize::from(wanted[at] == wanted[len]);
        back[at] = len;
    }
    let mut matched = 0;
    for (at, byte) in text.iter().enumerate() {
        while matched > 0 && *byte != wanted[matched] {
            matched = back[matched - 1];
        }
        matched += usize::from(*byte == wanted[matched]);
        if matched == wanted.len() {
            return Ok(Some(at + 1 - matched));
        }
    }
    Ok(None)
}

fn capture(lua: &Lua, matcher: &Matcher<'_>, capture: Capture) -> Outcome<Value> {
    match capture {
        Capture::At(at) => Ok(position(at + 1)),
        Capture::Span(start, end) => {
            Ok(Value::String(lua.create_string(&matcher.text[start..end])?))
        }
        Capture::Open(_) => Err("unfinished capture".into()),
    }
}

/// What a match captured; all of it if it captured nothing and `whole` is set.
fn captures(
    lua: &Lua,
    matcher: &Matcher<'_>,
    start: usize,
    end: usize,
    whole: bool,
) -> Outcome<MultiValue> {
    let mut found = MultiValue::new();
    if matcher.captures.is_empty() && whole {
        found.push_back(capture(lua, matcher, Capture::Span(start, end))?);
    }
    for one in &matcher.captures {
        found.push_back(capture(lua, matcher, *one)?);
    }
    Ok(found)
}

/// The next match at or after a position, with the position after it; nothing if there is none. The caller keeps the
/// texts: a state has room for few values of the host.
fn step(lua: &Lua, given: &Given<'_>, meter: &Meter) -> Outcome<MultiValue> {
    let (text, pattern) = (given.text(lua, 0)?, given.text(lua, 1)?);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let from = usize::try_from(given.integer(lua, 2)?).unwrap_or(usize::MAX);
    let mut matcher = Matcher::new(&text, &pattern, meter);
    for at in from..=text.len() {
        if let Some(end) = matcher.at(at)? {
            let mut found = captures(lua, &matcher, at, end, true)?;
            let after = if end == at { end + 1 } else { end };
            found.push_front(Value::Integer(i64::try_from(after).unwrap_or(i64::MAX)));
            return Ok(found);
        }
    }
    Ok(MultiValue::new())
}

fn replace(lua: &Lua, given: &Given<'_>, meter: &Meter) -> Outcome<(mlua::String, usize)> {
    let (text, pattern) = (given.text(lua, 0)?, given.text(lua, 1)?);
    let with = given.args.get(2).cloned().unwrap_or(Value::Nil);
    let with = match with {
        Value::String(_) | Value::Table(_) | Value::Function(_) => with,
        Value::Integer(_) | Value::Number(_) => Value::String(given.text(lua, 2)?),
        _ => return Err(given.refused(2, "string/function/table expected")),
    };
    let text = text.as_bytes();
    let limit = match given.integer_or(lua, 3, i64::MAX)? {
        most if most < 0 => 0,
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    let pattern = pattern.as_bytes();
    let (anchor, pattern) = anchored(&pattern);
    let mut matcher = Matcher::new(&text, pattern, meter);
    let (mut out, mut at, mut count) = (Vec::new(), 0, 0);
    while count < limit {
        let end = matcher.at(at)?;
        if let Some(end) = end {
            count += 1;
            substitute(lua, &matcher, (at, end), &with, &mut out)?;
            if !meter.fits(out.len()) {
                return Err(stopped());
            }
        }
        match end {
            Some(end) if end > at => at = end,
            _ if at < text.len() => {
                out.push(text[at]);
                at += 1;
            }
            _ => break,
        }
        if anchor {
            break;
        }
    }
    out.extend_from_slice(&text[at.min(text.len())..]);
    Ok((lua.create_string(out)?, count))
}

fn substitute(
    lua: &Lua,
    matcher: &Matcher<'_>,
    (start, end): (usize, usize),
    with: &Value,
    out: &mut Vec<u8>,
) -> Outcome<()> {
    let value = match with {
        Value::String(template) => {
            return fill(lua, matcher, (start, end), &template.as_bytes(), out);
        }
        Value::Table(table) => {
            let first = captures(lua, matcher, start, end, true)?;
            let first = first.into_iter().next().unwrap_or(Value::Nil);
            table.get(first)?
        }
        Value::Function(function) => {
            let found: MultiValue = function.call(captures(lua, matcher, start, end, true)?)?;
            found.into_iter().next().unwrap_or(Value::Nil)
        }
        _ => Value::Nil,
    };
    match &value {
        Value::Nil | Value::Boolean(false) => out.extend_from_slice(&matcher.text[start..end]),
        Value::String(text) => out.extend_from_slice(&text.as_bytes()),
        Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value)?;
            out.extend_from_slice(
                &text
                    .map(|text| text.as_bytes().to_vec())
                    .unwrap_or_default(),
            );
        }
        other => {
            let kind = type_name(other);
            return Err(format!("invalid replacement value (a {kind})").into());
        }
    }
    Ok(())
}

/// Appends a template, in which `%1` and so on stand for captures.
fn fill(
    lua: &Lua,
    matcher: &Matcher<'_>,
    (start, end): (usize, usize),
    template: &[u8],
    out: &mut Vec<u8>,
) -> Outcome<()> {
    let mut bytes = template.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        // As in Lua 5.1, a percent sign makes the next byte stand for itself, if it is only the null byte at the end.
        let digit = bytes.next().copied().unwrap_or(0);
        if !digit.is_ascii_digit() {
            out.push(digit);
            continue;
        }
        let index = usize::from(digit - b'0');
        let whole = Capture::Span(start, end);
        let one = match index {
            0 => whole,
            1 if matcher.captures.is_empty() => whole,
            _ => *matcher
                .captures
                .get(index - 1)
                .ok_or_else(|| Fault::from("invalid capture index"))?,
        };
        match capture(lua, matcher, one)? {
            Value::String(text) => out.extend_from_slice(&text.as_bytes()),
            Value::Integer(at) => out.extend_from_slice(at.to_string().as_bytes()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::harness::ask;
    use super::library;

    #[test]
    fn patterns_find_and_replace() {
        for (call, expected) in [
            ("find('hello', 'l+')", "3, 4"),
            ("find('a.b', '.', 2, true)", "2, 2"),
            ("find('hello', '(l)(o)')", "4, 5, \"l\", \"o\""),
            ("find('', '')", "1, 0"),
            ("find('abc', '', 10)", "4, 3"),
            ("match('key=1', '(%w+)=(%d)')", "\"key\", \"1\""),
            ("match('f(a(b))', '%b()')", "\"(a(b))\""),
            ("match('abab', '(ab)%1')", "\"ab\""),
            ("match('x]', '[]]')", "\"]\""),
            ("gsub('abc', '%w', '%0%0')", "\"aabbcc\", 3"),
            ("gsub('abc', '', '-')", "\"-a-b-c-\", 4"),
            ("gsub('abc', 'b', {b = 5})", "\"a5c\", 1"),
            ("gsub('abc', 'b', '%')", "\"a\\x00c\", 1"),
            ("step('a b', '%a', 1)", "3, \"b\""),
            ("step('a b', '%d', 0)", ""),
            ("step('', '', 0)", "1, \"\""),
            ("rep('ab', 3)", "\"ababab\""),
            ("rep('', 2^62)", "\"\""),
            ("rep('x', -5)", "\"\""),
        ] {
            assert_eq!(ask(library, call), expected, "{call}");
        }
    }

    #[test]
    fn no_pattern_takes_long_or_builds_much() {
        for call in [
            "find('a', '[a')",
            "find('a', '%')",
            "find('a', '(')",
            "match('a', ')')",
            "find('a', '%b')",
            "find('a', '%f')",
            "find('a', '(a)%2')",
            "find('x', ('('):rep(40))",
            "find(('a'):rep(3e4), ('a?'):rep(3e4))",
            "find(('a'):rep(1e4), ('a*'):rep(50) .. 'b')",
            "find(('a'):rep(1e5), '[' .. ('b'):rep(1e5) .. 'a]*c')",
            "find(('a'):rep(1e5), '%f[' .. ('b'):rep(1e5) .. ']')",
            "match(('('):rep(1e5), '%b()')",
            "gsub(('a'):rep(1e5), 'a', ('b'):rep(100))",
            "gsub('a', 'a', true)",
            "gsub('a', 'a', '%9')",
            "step(('a'):rep(1e4), ('a*'):rep(50) .. 'b', 0)",
            "rep('x', 2^21)",
        ] {
            assert!(ask(library, call).starts_with('!'), "{call}");
        }
    }
}
