//! JSON to values, with the errors of `lua-cjson`.

use mlua::{Lua, Table, Value};

use super::{DEPTH_MAX, Settings};
use crate::script::lib::{Fault, Outcome, stopped};
use crate::script::meter::Meter;

enum Token {
    ObjectBegin,
    ObjectEnd,
    ListBegin,
    ListEnd,
    Text(Vec<u8>),
    Number(f64),
    Bool(bool),
    Null,
    Colon,
    Comma,
    End,
    Bad(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ListBegin => "T_ARR_BEGIN",
            Self::ListEnd => "T_ARR_END",
            Self::Text(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Bool(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Bad(why) => why,
        }
    }
}

/// A list or object that is not read to its end.
enum Open {
    /// With the position of the item that comes next.
    List(Table, i64),
    /// With the key of the value that comes next.
    Object(Table, mlua::String),
}

enum After {
    Item(Open, Token),
    End(Table),
}

struct Decoder<'d> {
    lua: &'d Lua,
    meter: &'d Meter,
    text: &'d [u8],
    at: usize,
    /// Where the token starts, or went wrong.
    token_at: usize,
    depth_max: usize,
    invalid_numbers: bool,
}

pub(super) fn decode(lua: &Lua, meter: &Meter, settings: Settings, text: &[u8]) -> Outcome<Value> {
    if let [first, second, ..] = text
        && (*first == 0 || *second == 0)
    {
        return Err("JSON parser does not support UTF-16 or UTF-32".into());
    }
    let depth_max = usize::try_from(settings.decode_depth).unwrap_or(usize::MAX);
    let mut decoder = Decoder {
        lua,
        meter,
        text,
        at: 0,
        token_at: 0,
        depth_max: depth_max.min(DEPTH_MAX),
        invalid_numbers: settings.decode_invalid,
    };
    let value = decoder.value()?;
    match decoder.next()? {
        Token::End => Ok(value),
        token => Err(decoder.unexpected("the end", &token)),
    }
}

impl Decoder<'_> {
    fn unexpected(&self, wanted: &str, found: &Token) -> Fault {
        let (found, at) = (found.name(), self.token_at + 1);
        Fault::Text(format!(
            "Expected {wanted} but found {found} at character {at}"
        ))
    }

    /// One value. What is open is a list of its own and not frames of calls, for which a thread may have no room.
    fn value(&mut self) -> Outcome<Value> {
        let mut open: Vec<Open> = Vec::new();
        let mut token = self.next()?;
        loop {
            let mut value = match token {
                Token::Text(text) => Value::String(self.lua.create_string(text)?),
                Token::Number(number) => Value::Number(number),
                Token::Bool(value) => Value::Boolean(value),
                Token::Null => Value::NULL,
                Token::ObjectBegin | Token::ListBegin => {
                    self.check(open.len() + 1)?;
                    let table = self.lua.create_table()?;
                    let is_list = matches!(token, Token::ListBegin);
                    token = self.next()?;
                    match token {
                        Token::ListEnd if is_list => Value::Table(table),
                        Token::ObjectEnd if !is_list => Value::Table(table),
                        _ if is_list => {
                            open.push(Open::List(table, 1));
                            continue;
                        }
                        _ => {
                            let key = self.key(token)?;
                            open.push(Open::Object(table, key));
                            token = self.next()?;
                            continue;
                        }
                    }
                }
                token => return Err(self.unexpected("value", &token)),
            };
            // The value goes into what is open; where that ends it is a value itself.
            loop {
                let Some(inner) = open.pop() else {
                    return Ok(value);
                };
                let after = self.next_after(inner, value)?;
                match after {
                    After::Item(inner, next) => {
                        open.push(inner);
                        token = next;
                        break;
                    }
                    After::End(table) => value = Value::Table(table),
                }
            }
        }
    }

    /// Puts a value into a list or object, and reads on up to its next item.
    fn next_after(&mut self, open: Open, value: Value) -> Outcome<After> {
        match open {
            Open::List(table, at) => {
                table.raw_set(at, value)?;
                match self.next()? {
                    Token::ListEnd => Ok(After::End(table)),
                    Token::Comma => Ok(After::Item(Open::List(table, at + 1), self.next()?)),
                    token => Err(self.unexpected("comma or array end", &token)),
                }
            }
            Open::Object(table, key) => {
                table.raw_set(key, value)?;
                match self.next()? {
                    Token::ObjectEnd => Ok(After::End(table)),
                    Token::Comma => {
                        let token = self.next()?;
                        let key = self.key(token)?;
                        Ok(After::Item(Open::Object(table, key), self.next()?))
                    }
                    token => Err(self.unexpected("comma or object end", &token)),
                }
            }
        }
    }

    /// A key that a token is, and the colon behind it.
    fn key(&mut self, token: Token) -> Outcome<mlua::String> {
        let Token::Text(key) = token else {
            return Err(self.unexpected("object key string", &token));
        };
        match self.next()? {
            Token::Colon => Ok(self.lua.create_string(key)?),
            token => Err(self.unexpected("colon", &token)),
        }
    }

    fn check(&self, depth: usize) -> Outcome<()> {
        if depth > self.depth_max {
            let at = self.at;
            return Err(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            )
            .into());
        }
        Ok(())
    }

    fn bad(&mut self, why: &'static str) -> Token {
        self.token_at = self.at;
        Token::Bad(why)
    }

    fn next(&mut self) -> Outcome<Token> {
        if !self.meter.spend(1) {
            return Err(stopped());
        }
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.token_at = self.at;
        let Some(first) = self.text.get(self.at).copied().filter(|byte| *byte != 0) else {
            return Ok(Token::End);
        };
        let single = match first {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ListBegin,
            b']' => Token::ListEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return Ok(self.string()),
            _ => return Ok(self.word(first)),
        };
        self.at += 1;
        Ok(single)
    }

    fn word(&mut self, first: u8) -> Token {
        let rest = &self.text[self.at..];
        if first == b'-' || first.is_ascii_digit() {
            if !self.invalid_numbers && is_invalid_number(rest) {
                return self.bad("invalid number");
            }
            return self.number();
        }
        for (word, token) in [
            (&b"true"[..], Token::Bool(true)),
            (b"false", Token::Bool(false)),
            (b"null", Token::Null),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        if self.invalid_numbers && is_invalid_number(rest) {
            return self.number();
        }
        self.bad("invalid token")
    }

    fn number(&mut self) -> Token {
        match number(&self.text[self.at..]) {
            Some((value, len)) => {
                self.at += len;
                Token::Number(value)
            }
            None => self.bad("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .iter()
                .take_while(|byte| !matches!(byte, b'"' | b'\\' | 0))
                .count();
            out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Token::Text(out);
                }
                Some(b'\\') => {
                    if let Err(why) = self.escape(&mut out) {
                        return self.bad(why);
                    }
                }
                _ => return self.bad("unexpected end of string"),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = match self.text.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(b'u') => return self.unicode(out),
            _ => return Err("invalid escape code"),
        };
        out.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let bad = "invalid unicode escape code";
        let mut code = self.hex(self.at + 2).ok_or(bad)?;
        let mut len = 6;
        if code & 0xf800 == 0xd800 {
            // The first of a pair has to be followed by the second.
            let follows = self.text.get(self.at + 6..self.at + 8) == Some(b"\\u");
            let low = self.hex(self.at + 8).filter(|_| follows);
            let low = low.filter(|low| low & 0xfc00 == 0xdc00);
            let low = low.filter(|_| code & 0x400 == 0).ok_or(bad)?;
            code = 0x1_0000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
            len = 12;
        }
        let letter = char::from_u32(code).ok_or(bad)?;
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Ok(())
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at.checked_add(4)?)?;
        digits.iter().try_fold(0, |sum, digit| {
            Some(sum << 4 | char::from(*digit).to_digit(16)?)
        })
    }
}

/// Whether it is a number that C reads and JSON does not have.
fn is_invalid_number(text: &[u8]) -> bool {
    let starts = |text: &[u8], word: &[u8]| {
        text.get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    let text = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] => rest,
        text => text,
    };
    match text {
        [b'0', next, ..] => matches!(next, b'x' | b'X') || next.is_ascii_digit(),
        _ => starts(text, b"inf") || starts(text, b"nan"),
    }
}

/// The number that a text starts with, as C reads it, and its length.
fn number(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let sign = if text.first() == Some(&b'-') {
        -1.0
    } else {
        1.0
    };
    let rest = &text[signed..];
    let word = |word: &[u8]| {
        rest.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    for (name, value) in [
        (&b"infinity"[..], f64::INFINITY),
        (b"inf", f64::INFINITY),
        (b"nan", f64::NAN),
    ] {
        if word(name) {
            return Some((sign * value, signed + name.len()));
        }
    }
    if word(b"0x") {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let digits = rest[2..].iter().map_while(digit);
        let (value, count) = digits.fold((0.0, 0), |(value, count), digit| {
            (value * 16.0 + f64::from(digit), count + 1)
        });
        if count > 0 {
            return Some((sign * value, signed + 2 + count));
        }
    }
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or(&[]);
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let whole = digits(signed);
    let mut end = signed + whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let power = digits(end + 1 + sign);
        if power > 0 {
            end += 1 + sign + power;
        }
    }
    let value = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((value, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_c_reads_them() {
        for (text, value, len) in [
            ("1", 1.0, 1),
            ("-1.5e3,", -1500.0, 6),
            ("0x1f", 31.0, 4),
            ("1e", 1.0, 1),
            ("1.", 1.0, 2),
            (".5", 0.5, 2),
            ("-inf]", f64::NEG_INFINITY, 4),
            ("007", 7.0, 3),
        ] {
            assert_eq!(number(text.as_bytes()), Some((value, len)), "{text}");
        }
        assert_eq!(number(b"-"), None);
        assert_eq!(number(b"."), None);
        assert!(
            is_invalid_number(b"01") && is_invalid_number(b"-Inf") && !is_invalid_number(b"0.1")
        );
    }
}
