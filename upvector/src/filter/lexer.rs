//! Text to tokens.
//!
//! Invariant: a token's position is the byte where it starts, and tokens plus white space cover the text.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::metadata::{Number, continues_path, starts_path};

/// A piece of a filter.
#[derive(Clone, Debug)]
pub(super) enum Token<'a> {
    /// A path or a keyword: which of the two follows from the place.
    Word(&'a str),
    Number(Number),
    String(Cow<'a, str>),
    /// `= != < <= > >= ( ) ,`
    Symbol(&'static str),
    End,
}

/// Hands out the tokens of a text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// Longer symbols before their beginnings.
const SYMBOLS: [&str; 9] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ","];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token and where it starts.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>)> {
        let text = self.text;
        self.at += count(&text[self.at..], |byte| byte.is_ascii_whitespace());
        let start = self.at;
        let rest = &text[start..];
        let Some(first) = rest.bytes().next() else {
            return Ok((start, Token::End));
        };
        let token = match first {
            b'\'' | b'"' => self.string(rest, first as char)?,
            b'0'..=b'9' | b'+' | b'-' => self.number(rest)?,
            _ if starts_path(first) => {
                let word = &rest[..count(rest, continues_path)];
                self.at += word.len();
                Token::Word(word)
            }
            _ => {
                let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
                    let character = rest.chars().next().unwrap_or_default();
                    return Err(Error::filter(start, format!("unexpected {character:?}")));
                };
                self.at += symbol.len();
                Token::Symbol(symbol)
            }
        };
        Ok((start, token))
    }

    /// A quote inside is written twice.
    fn string(&mut self, rest: &'a str, quote: char) -> Result<Token<'a>> {
        let mut end = 1;
        let mut doubled = false;
        loop {
            let Some(length) = rest[end..].find(quote) else {
                return Err(Error::filter(self.at, "the string is not closed"));
            };
            end += length + 1;
            if !rest[end..].starts_with(quote) {
                break;
            }
            doubled = true;
            end += 1;
        }
        self.at += end;
        let inside = &rest[1..end - 1];
        Ok(Token::String(if doubled {
            let pair = if quote == '"' { "\"\"" } else { "''" };
            inside.replace(pair, &pair[1..]).into()
        } else {
            inside.into()
        }))
    }

    fn number(&mut self, rest: &str) -> Result<Token<'a>> {
        let bad = |message| Err(Error::filter(self.at, message));
        let digits = |from: usize| count(&rest[from..], |byte| byte.is_ascii_digit());
        let sign = usize::from(rest.starts_with(['+', '-']));
        let mut end = sign + digits(sign);
        let mut whole = true;
        if end == sign {
            return bad("digits are expected after a sign");
        }
        if rest[end..].starts_with('.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return bad("digits are expected after the point of a number");
            }
            end += 1 + fraction;
            whole = false;
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + sign);
            if exponent == 0 {
                return bad("digits are expected after the exponent of a number");
            }
            end += 1 + sign + exponent;
            whole = false;
        }
        if rest[end..].bytes().next().is_some_and(continues_path) {
            return bad("the number has letters or signs after it");
        }
        let Some(number) = value(&rest[..end], whole) else {
            return bad("the number is too large");
        };
        self.at += end;
        Ok(Token::Number(number))
    }
}

/// Integers that JSON numbers can equal stay exact; the rest are floats.
fn value(text: &str, whole: bool) -> Option<Number> {
    const RANGE: std::ops::RangeInclusive<i128> = i64::MIN as i128..=u64::MAX as i128;
    if whole
        && let Ok(number) = text.parse()
        && RANGE.contains(&number)
    {
        return Some(Number::Integer(number));
    }
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(Number::Float(number))
}

fn count(text: &str, of: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|&byte| of(byte)).count()
}
