//! Reading JSON text (RFC 8259, nothing more), with the error texts of the parser that Redis uses.
//!
//! Invariants: at most [`DEPTH_MAX`] levels of containers; a float is finite or refused; an integer that
//! fits 64 bits keeps all digits.

use super::object::{Member, Object};
use super::{DEPTH_MAX, Node};
use crate::error::{Error, Result};
use crate::value::STRING_BYTES_MAX;

/// Most values of one text: what a document may take in memory.
const VALUES_MAX: usize = STRING_BYTES_MAX / size_of::<Node>();

/// The value that the whole of `text` is.
///
/// # Errors
///
/// [`Error::Refused`] with what is wrong and where.
pub(crate) fn parse(text: &[u8]) -> Result<Node> {
    if text.len() > STRING_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let checked = std::str::from_utf8(text)
        .map_err(|error| refuse(text, error.valid_up_to(), "invalid unicode code point"))?;
    let mut parser = Parser {
        text: checked,
        bytes: text,
        at: 0,
        count: 0,
    };
    let found = parser.document();
    found.map_err(|what| refuse(text, parser.at, what))
}

#[cold]
fn refuse(text: &[u8], at: usize, what: &str) -> Error {
    let before = &text[..at.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let last = before.rsplit(|byte| *byte == b'\n').next();
    let column = last.map_or(0, <[u8]>::len) + usize::from(at < text.len());
    Error::refused_with(format!("ERR {what} at line {line} column {column}"))
}

type Parsed<T> = std::result::Result<T, &'static str>;

struct Parser<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// Values so far.
    count: usize,
}

impl Parser<'_> {
    fn document(&mut self) -> Parsed<Node> {
        let node = self.value(DEPTH_MAX)?;
        match self.next_token() {
            None => Ok(node),
            Some(_) => Err("trailing characters"),
        }
    }

    /// The next byte that is no white space; it is not taken.
    fn next_token(&mut self) -> Option<u8> {
        let rest = &self.bytes[self.at..];
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += rest.iter().take_while(is_space).count();
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn value(&mut self, room: usize) -> Parsed<Node> {
        self.count += 1;
        if self.count > VALUES_MAX {
            return Err("too many values");
        }
        match self.next_token().ok_or("EOF while parsing a value")? {
            b'n' => self.word("null", Node::Null),
            b't' => self.word("true", Node::Bool(true)),
            b'f' => self.word("false", Node::Bool(false)),
            b'"' => self.string().map(Node::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b'[' => self.array(room.checked_sub(1).ok_or("recursion limit exceeded")?),
            b'{' => self.object(room.checked_sub(1).ok_or("recursion limit exceeded")?),
            _ => Err("expected value"),
        }
    }

    fn word(&mut self, word: &str, node: Node) -> Parsed<Node> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(node);
        }
        Err("expected ident")
    }

    fn array(&mut self, room: usize) -> Parsed<Node> {
        self.at += 1;
        let mut items = Vec::new();
        if self.next_token() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(items));
        }
        loop {
            if self.next_token() == Some(b']') {
                return Err("trailing comma");
            }
            items.push(self.value(room)?);
            match self.next_token().ok_or("EOF while parsing a list")? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err("expected `,` or `]`"),
            }
        }
        self.at += 1;
        items.shrink_to_fit();
        Ok(Node::Array(items))
    }

    fn object(&mut self, room: usize) -> Parsed<Node> {
        const END: &str = "EOF while parsing an object";
        self.at += 1;
        let mut members = Vec::new();
        if self.next_token().ok_or(END)? == b'}' {
            self.at += 1;
            return Ok(Node::Object(Box::default()));
        }
        loop {
            match self.next_token().ok_or(END)? {
                b'"' => {}
                b'}' => return Err("trailing comma"),
                _ => return Err("key must be a string"),
            }
            let name = self.string()?;
            if self.next_token().ok_or(END)? != b':' {
                return Err("expected `:`");
            }
            self.at += 1;
            let value = self.value(room)?;
            members.push(Member { name, value });
            match self.next_token().ok_or(END)? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err("expected `,` or `}`"),
            }
        }
        self.at += 1;
        Ok(Node::Object(Box::new(Object::of(members).0)))
    }

    fn string(&mut self) -> Parsed<Box<str>> {
        const END: &str = "EOF while parsing a string";
        self.at += 1;
        let mut start = self.at;
        let mut decoded = String::new();
        loop {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=31);
            let plain = self.bytes[self.at..].iter().position(special);
            self.at = plain.map_or(self.bytes.len(), |len| self.at + len);
            // Both ends are next to ASCII bytes, so they are on characters' borders.
            let piece = &self.text[start..self.at];
            match self.peek().ok_or(END)? {
                b'"' => {
                    self.at += 1;
                    if decoded.is_empty() {
                        return Ok(piece.into());
                    }
                    decoded.push_str(piece);
                    return Ok(decoded.into_boxed_str());
                }
                b'\\' => {
                    decoded.push_str(piece);
                    self.at += 1;
                    let escaped = self.escape()?;
                    decoded.push(escaped);
                    start = self.at;
                }
                _ => {
                    return Err("control character (\\u0000-\\u001F) found while parsing a string");
                }
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let letter = self.peek().ok_or("EOF while parsing a string")?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = match first {
                    0xd800..=0xdbff => {
                        if !self.bytes[self.at..].starts_with(b"\\u") {
                            return Err("lone leading surrogate in hex escape");
                        }
                        self.at += 2;
                        let second = self.hex()?;
                        if !(0xdc00..=0xdfff).contains(&second) {
                            return Err("lone leading surrogate in hex escape");
                        }
                        0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    code => code,
                };
                char::from_u32(code).ok_or("lone leading surrogate in hex escape")?
            }
            _ => return Err("invalid escape"),
        })
    }

    fn hex(&mut self) -> Parsed<u32> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let digits = digits.ok_or("EOF while parsing a string")?;
        let mut code = 0;
        for digit in digits {
            let digit = char::from(*digit).to_digit(16).ok_or("invalid escape")?;
            code = code << 4 | digit;
        }
        self.at += 4;
        Ok(code)
    }

    fn digits(&mut self) -> Parsed<usize> {
        let count = self.bytes[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += count;
        match (count, self.peek()) {
            (0, None) => Err("EOF while parsing a value"),
            (0, Some(_)) => Err("invalid number"),
            _ => Ok(count),
        }
    }

    fn number(&mut self) -> Parsed<Node> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let leading_zero = self.peek() == Some(b'0');
        if self.digits()? > 1 && leading_zero {
            return Err("invalid number");
        }
        let mut is_float = false;
        if self.peek() == Some(b'.') {
            is_float = true;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if !is_float && text != "-0" {
            if let Ok(value) = text.parse() {
                return Ok(Node::Int(value));
            }
            if let Ok(value) = text.parse() {
                return Ok(Node::Uint(value));
            }
        }
        let value: f64 = text.parse().map_err(|_| "invalid number")?;
        if value.is_finite() {
            Ok(Node::Float(value))
        } else {
            Err("number out of range")
        }
    }
}
