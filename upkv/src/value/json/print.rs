//! Writing documents as text, compact or laid out.
//!
//! Numbers: integers with all digits, floats with the fewest digits that read back the same and always
//! with a point or an exponent, so that they stay floats.

use bytes::Bytes;

use super::Node;
use crate::error::{Error, Result};
use crate::value::STRING_BYTES_MAX;

/// What is put between the parts of a document.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style<'s> {
    /// Once per level at the start of a line.
    pub(crate) indent: &'s [u8],
    /// Before every item and every end of a container.
    pub(crate) newline: &'s [u8],
    /// After every colon.
    pub(crate) space: &'s [u8],
}

/// Appends a document without any layout.
pub(crate) fn compact(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Array(items) => {
            out.push(b'[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                compact(out, item);
            }
            out.push(b']');
        }
        Node::Object(object) => {
            out.push(b'{');
            for (number, (name, value)) in object.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                text(out, name);
                out.push(b':');
                compact(out, value);
            }
            out.push(b'}');
        }
        scalar => put_scalar(out, scalar),
    }
}

/// A text being written, refused once it is longer than a string may be.
#[derive(Debug)]
pub(crate) struct Printer<'s> {
    out: Vec<u8>,
    style: Style<'s>,
    level: usize,
}

impl<'s> Printer<'s> {
    pub(crate) fn new(style: Style<'s>) -> Self {
        Self {
            out: Vec::new(),
            style,
            level: 0,
        }
    }

    pub(crate) fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }

    /// The text, of a style without bytes of its own.
    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.out).expect("a document without layout is UTF-8")
    }

    pub(crate) fn node(&mut self, node: &Node) -> Result<()> {
        match node {
            Node::Array(items) => self.array(items),
            Node::Object(object) => self.object(object.iter(), Self::node),
            scalar => {
                put_scalar(&mut self.out, scalar);
                self.check()
            }
        }
    }

    pub(crate) fn array<'n>(&mut self, items: impl IntoIterator<Item = &'n Node>) -> Result<()> {
        self.out.push(b'[');
        self.level += 1;
        let mut any = false;
        for item in items {
            self.separate(any)?;
            any = true;
            self.node(item)?;
        }
        self.close(any, b']')
    }

    pub(crate) fn object<'n, V>(
        &mut self,
        members: impl IntoIterator<Item = (&'n str, V)>,
        put: impl Fn(&mut Self, V) -> Result<()>,
    ) -> Result<()> {
        self.out.push(b'{');
        self.level += 1;
        let mut any = false;
        for (name, value) in members {
            self.separate(any)?;
            any = true;
            text(&mut self.out, name);
            self.out.push(b':');
            self.out.extend_from_slice(self.style.space);
            put(self, value)?;
        }
        self.close(any, b'}')
    }

    fn separate(&mut self, any: bool) -> Result<()> {
        if any {
            self.out.push(b',');
        }
        self.line()
    }

    fn close(&mut self, any: bool, end: u8) -> Result<()> {
        self.level -= 1;
        if any {
            self.line()?;
        }
        self.out.push(end);
        self.check()
    }

    fn line(&mut self) -> Result<()> {
        self.out.extend_from_slice(self.style.newline);
        for _ in 0..self.level {
            self.out.extend_from_slice(self.style.indent);
            self.check()?;
        }
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.out.len() > STRING_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        Ok(())
    }
}

fn put_scalar(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
        Node::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Node::Uint(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Node::Float(value) => out.extend_from_slice(float(*value).as_bytes()),
        Node::Text(value) => text(out, value),
        Node::Null | Node::Array(_) | Node::Object(_) => out.extend_from_slice(b"null"),
    }
}

/// The text of a float.
pub(crate) fn float(value: f64) -> String {
    // The standard library turns to exponents one digit earlier than JSON writers do.
    if (1e-5..1e-4).contains(&value.abs()) {
        format!("{value}")
    } else {
        format!("{value:?}")
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=31 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        if short == b'u' {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}
