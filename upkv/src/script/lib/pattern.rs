//! The patterns of Lua, matched with bounded nesting and counted steps.
//!
//! The matcher of Lua 5.1 recurses for every item of a pattern and counts nothing, so text could overflow the stack or take
//! for ever.

use super::{Fault, Outcome, stopped};
use crate::script::meter::Meter;

/// Most captures of one pattern, as in Lua.
const CAPTURES_MAX: usize = 32;
/// Deepest nesting of one match.
const DEPTH_MAX: usize = 200;
/// Bytes that are looked at before they are counted.
const WALK_MAX: usize = 1 << 12;

#[derive(Clone, Copy, Debug)]
pub(super) enum Capture {
    Open(usize),
    /// Only a position.
    At(usize),
    Span(usize, usize),
}

/// One pattern on one text.
pub(super) struct Matcher<'m> {
    pub(super) text: &'m [u8],
    pattern: &'m [u8],
    pub(super) captures: Vec<Capture>,
    meter: &'m Meter,
    depth: usize,
}

impl<'m> Matcher<'m> {
    pub(super) fn new(text: &'m [u8], pattern: &'m [u8], meter: &'m Meter) -> Self {
        Self {
            text,
            pattern,
            captures: Vec::new(),
            meter,
            depth: 0,
        }
    }

    /// Where a match that starts at `at` ends.
    pub(super) fn at(&mut self, at: usize) -> Outcome<Option<usize>> {
        self.captures.clear();
        self.depth = 0;
        self.go(at, 0)
    }

    fn go(&mut self, at: usize, pattern: usize) -> Outcome<Option<usize>> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("pattern too complex".into());
        }
        let found = self.items(at, pattern);
        self.depth -= 1;
        found
    }

    fn items(&mut self, mut at: usize, mut p: usize) -> Outcome<Option<usize>> {
        loop {
            if !self.meter.spend(1) {
                return Err(stopped());
            }
            let Some(item) = self.pattern.get(p).copied() else {
                return Ok(Some(at));
            };
            let next = self.pattern.get(p + 1).copied();
            match (item, next) {
                (b'(', Some(b')')) => return self.open(at, p + 2, Capture::At(at)),
                (b'(', _) => return self.open(at, p + 1, Capture::Open(at)),
                (b')', _) => return self.close(at, p + 1),
                (b'%', Some(b'b')) => match self.balanced(at, p + 2)? {
                    Some(after) => (at, p) = (after, p + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => {
                    let set = p + 2;
                    if self.pattern.get(set) != Some(&b'[') {
                        return Err("missing '[' after '%f' in pattern".into());
                    }
                    let end = self.end_of_item(set)?;
                    self.pay(end - set)?;
                    let before = if at == 0 { 0 } else { self.text[at - 1] };
                    let here = self.text.get(at).copied().unwrap_or(0);
                    if self.in_set(before, set, end - 1) || !self.in_set(here, set, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                }
                (b'%', Some(digit)) if digit.is_ascii_digit() => match self.again(at, digit)? {
                    Some(after) => (at, p) = (after, p + 2),
                    None => return Ok(None),
                },
                (b'$', None) => return Ok((at == self.text.len()).then_some(at)),
                _ => {
                    let end = self.end_of_item(p)?;
                    self.pay(end - p)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if self.fits(at, p, end)
                                && let Some(found) = self.go(at + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'*') => return self.greedy(at, p, end),
                        Some(b'+') if self.fits(at, p, end) => return self.greedy(at + 1, p, end),
                        Some(b'+') => return Ok(None),
                        Some(b'-') => return self.lazy(at, p, end),
                        _ if self.fits(at, p, end) => (at, p) = (at + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// Counts bytes that were looked at.
    fn pay(&self, bytes: usize) -> Outcome<()> {
        if self.meter.spend(bytes as u64 / 8) {
            Ok(())
        } else {
            Err(stopped())
        }
    }

    fn open(&mut self, at: usize, p: usize, capture: Capture) -> Outcome<Option<usize>> {
        if self.captures.len() >= CAPTURES_MAX {
            return Err("too many captures".into());
        }
        self.captures.push(capture);
        let level = self.captures.len();
        let found = self.go(at, p)?;
        if found.is_none() {
            self.captures.truncate(level - 1);
        }
        Ok(found)
    }

    fn close(&mut self, at: usize, p: usize) -> Outcome<Option<usize>> {
        let open = |capture: &Capture| matches!(capture, Capture::Open(_));
        let level = self.captures.iter().rposition(open);
        let level = level.ok_or_else(|| Fault::from("invalid pattern capture"))?;
        let before = self.captures[level];
        if let Capture::Open(start) = before {
            self.captures[level] = Capture::Span(start, at);
        }
        let found = self.go(at, p)?;
        if found.is_none() {
            self.captures[level] = before;
        }
        Ok(found)
    }

    fn balanced(&self, at: usize, p: usize) -> Outcome<Option<usize>> {
        let pair = self.pattern.get(p).zip(self.pattern.get(p + 1));
        let (open, close) = pair.ok_or_else(|| Fault::from("unbalanced pattern"))?;
        if self.text.get(at) != Some(open) {
            return Ok(None);
        }
        if !self.meter.spend((self.text.len() - at) as u64 / 64) {
            return Err(stopped());
        }
        let mut depth = 1_usize;
        for (step, byte) in self.text[at + 1..].iter().enumerate() {
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + step + 2));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// What an earlier capture holds, once more.
    fn again(&self, at: usize, digit: u8) -> Outcome<Option<usize>> {
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        let capture = index.and_then(|index| self.captures.get(index));
        let Some(Capture::Span(start, end)) = capture.copied() else {
            return Err("invalid capture index".into());
        };
        let captured = &self.text[start..end];
        if !self.meter.spend(captured.len() as u64 / 64) {
            return Err(stopped());
        }
        let same = self.text[at..].starts_with(captured);
        Ok(same.then(|| at + captured.len()))
    }

    fn greedy(&mut self, at: usize, p: usize, end: usize) -> Outcome<Option<usize>> {
        let (mut last, mut walked) = (at, 0);
        while self.fits(last, p, end) {
            last += 1;
            walked += end - p;
            if walked > WALK_MAX {
                self.pay(walked)?;
                walked = 0;
            }
        }
        self.pay(walked)?;
        loop {
            if let Some(found) = self.go(last, end + 1)? {
                return Ok(Some(found));
            }
            if last == at {
                return Ok(None);
            }
            last -= 1;
        }
    }

    fn lazy(&mut self, mut at: usize, p: usize, end: usize) -> Outcome<Option<usize>> {
        loop {
            if let Some(found) = self.go(at, end + 1)? {
                return Ok(Some(found));
            }
            self.pay(end - p)?;
            if !self.fits(at, p, end) {
                return Ok(None);
            }
            at += 1;
        }
    }

    /// Where the item at `p` ends.
    fn end_of_item(&self, p: usize) -> Outcome<usize> {
        match self.pattern[p] {
            b'%' if p + 1 >= self.pattern.len() => Err("malformed pattern (ends with '%')".into()),
            b'%' => Ok(p + 2),
            b'[' => {
                let missing = || Fault::from("malformed pattern (missing ']')");
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // The first bracket of a set is a member.
                loop {
                    let byte = self.pattern.get(at).ok_or_else(missing)?;
                    at += if *byte == b'%' { 2 } else { 1 };
                    if self.pattern.get(at).ok_or_else(missing)? == &b']' {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the byte at `at` is one that the item from `p` to `end` stands for.
    fn fits(&self, at: usize, p: usize, end: usize) -> bool {
        let Some(byte) = self.text.get(at).copied() else {
            return false;
        };
        match self.pattern[p] {
            b'.' => true,
            b'%' => is_of(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// Whether a byte is in the set between the brackets at `open` and `close`.
    fn in_set(&self, byte: u8, open: usize, close: usize) -> bool {
        let mut at = open + 1;
        let negated = self.pattern[at] == b'^';
        at += usize::from(negated);
        while at < close {
            let member = self.pattern[at];
            if member == b'%' {
                if is_of(byte, self.pattern[at + 1]) {
                    return !negated;
                }
                at += 2;
            } else if self.pattern[at + 1] == b'-' && at + 2 < close {
                if (member..=self.pattern[at + 2]).contains(&byte) {
                    return !negated;
                }
                at += 3;
            } else {
                if member == byte {
                    return !negated;
                }
                at += 1;
            }
        }
        negated
    }
}

/// Whether a byte is of a class such as `%a`; an upper-case letter is the complement.
fn is_of(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 11,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}
