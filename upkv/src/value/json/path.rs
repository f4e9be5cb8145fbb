//! Reading paths of both dialects.
//!
//! `$`, `$.` and `$[` begin a `JSONPath`; anything else is a legacy path, read as the `JSONPath` that
//! has `$.` or `$` before it. Steps: `.name`, `.*`, `..`, and in brackets, separated by commas, names in
//! quotes, `*`, positions, slices `from:to:step` and filters `?(...)`.
//!
//! Invariant: a path has at most [`STEPS_MAX`] steps and filters nest at most [`NESTING_MAX`] deep.

use super::filter::{self, Filter};
use crate::error::{Error, Result};

/// Most steps and selectors of one path, those in filters included.
const STEPS_MAX: usize = 1024;
/// How deep parentheses and paths in filters may nest.
pub(super) const NESTING_MAX: usize = 16;

/// Which children of a value a step goes to.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    All,
    Name(Box<str>),
    /// Negative counts from the end.
    Position(i64),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: i64,
    },
    Filter(Box<Filter>),
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Whether it starts from every value below too.
    pub(crate) descends: bool,
    pub(crate) selectors: Vec<Selector>,
}

/// A path that was read.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) steps: Vec<Step>,
    /// Whether it answers with its first match alone.
    pub(crate) legacy: bool,
    /// As `JSONPath`, for messages.
    text: String,
}

impl Path {
    /// The legacy path of the whole document, which commands without a path mean.
    pub(crate) fn root() -> Self {
        Self {
            steps: Vec::new(),
            legacy: true,
            text: String::from("$"),
        }
    }

    /// Reads a path.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the position of what is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let shown = std::str::from_utf8(text)
            .map_err(|error| refuse(error.valid_up_to(), "invalid unicode code point"))?;
        let legacy = shown != "$" && !shown.starts_with("$.") && !shown.starts_with("$[");
        let text = match shown {
            "" | "." if legacy => String::from("$"),
            _ if !legacy => shown.to_owned(),
            _ if shown.starts_with(['.', '[']) => format!("${shown}"),
            _ => format!("$.{shown}"),
        };
        let mut reader = Reader::new(&text);
        reader.at = 1;
        let steps = reader.steps(0)?;
        if !reader.is_done() {
            return Err(reader.refuse("a step was expected"));
        }
        Ok(Self {
            steps,
            legacy,
            text,
        })
    }

    /// Whether it names one place: names and positions only.
    pub(crate) fn is_static(&self) -> bool {
        let one = |step: &Step| {
            let only = matches!(
                step.selectors[..],
                [Selector::Name(_) | Selector::Position(_)]
            );
            only && !step.descends
        };
        self.steps.iter().all(one)
    }

    /// `ERR Path '...' does not exist`, with what else may be wrong.
    #[cold]
    pub(crate) fn missing(&self, or: &str) -> Error {
        Error::refused_with(format!("ERR Path '{}' does not exist{or}", self.text))
    }
}

#[cold]
fn refuse(at: usize, what: &str) -> Error {
    Error::refused_with(format!("ERR invalid path: {what} at position {}", at + 1))
}

/// A position in a path's text.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) at: usize,
    steps_left: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            steps_left: STEPS_MAX,
        }
    }

    pub(super) fn refuse(&self, what: &str) -> Error {
        refuse(self.at, what)
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes `token` if it comes next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    pub(super) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        self.skip_space();
        if self.take(token) {
            return Ok(());
        }
        Err(self.refuse(&format!("`{token}` was expected")))
    }

    /// Steps up to something that is none.
    pub(super) fn steps(&mut self, nesting: usize) -> Result<Vec<Step>> {
        if nesting > NESTING_MAX {
            return Err(self.refuse("filters nest too deep"));
        }
        let mut steps = Vec::new();
        loop {
            let descends = self.take("..");
            let selectors = if self.take("[") || self.take(".[") {
                self.brackets(nesting)?
            } else if descends || self.take(".") {
                self.count()?;
                vec![self.bare()?]
            } else {
                return Ok(steps);
            };
            steps.push(Step {
                descends,
                selectors,
            });
        }
    }

    fn count(&mut self) -> Result<()> {
        let left = self.steps_left.checked_sub(1);
        self.steps_left = left.ok_or_else(|| self.refuse("too many steps"))?;
        Ok(())
    }

    fn bare(&mut self) -> Result<Selector> {
        if self.take("*") {
            return Ok(Selector::All);
        }
        let ends = |c: char| c.is_whitespace() || c.is_control() || ".[]()'\",*?<>=!&|".contains(c);
        let rest = self.rest();
        let name = &rest[..rest.find(ends).unwrap_or(rest.len())];
        if name.is_empty() {
            return Err(self.refuse("a name was expected"));
        }
        self.at += name.len();
        Ok(Selector::Name(name.into()))
    }

    fn brackets(&mut self, nesting: usize) -> Result<Vec<Selector>> {
        let mut selectors = Vec::new();
        loop {
            self.count()?;
            self.skip_space();
            selectors.push(match self.peek() {
                Some('*') => {
                    self.at += 1;
                    Selector::All
                }
                Some('\'' | '"') => Selector::Name(self.quoted()?),
                Some('?') => {
                    self.at += 1;
                    Selector::Filter(Box::new(filter::parse(self, nesting + 1)?))
                }
                _ => self.position_or_slice()?,
            });
            self.skip_space();
            if !self.take(",") {
                self.expect("]")?;
                return Ok(selectors);
            }
        }
    }

    /// A text in either kind of quotes; a backslash takes the next character as it is, or as in JSON.
    pub(super) fn quoted(&mut self) -> Result<Box<str>> {
        let start = self.at;
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            if Some(c) == quote {
                self.at = start + at + 1;
                return Ok(text.into_boxed_str());
            }
            let escaped = if c == '\\' { chars.next() } else { None };
            match escaped.map(|(_, c)| c) {
                None => text.push(c),
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let code = u32::from_str_radix(&digits, 16)
                        .ok()
                        .and_then(char::from_u32);
                    text.push(code.ok_or_else(|| refuse(start, "invalid escape"))?);
                }
                Some(other) => text.push(other),
            }
        }
        Err(refuse(start, "a quote is not closed"))
    }

    fn integer(&mut self) -> Result<Option<i64>> {
        self.skip_space();
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let text = &rest[..sign + digits];
        if text.is_empty() {
            return Ok(None);
        }
        let value = text.parse().map_err(|_| self.refuse("invalid position"))?;
        self.at += text.len();
        self.skip_space();
        Ok(Some(value))
    }

    fn position_or_slice(&mut self) -> Result<Selector> {
        let from = self.integer()?;
        if !self.take(":") {
            let position = from.ok_or_else(|| self.refuse("a selector was expected"))?;
            return Ok(Selector::Position(position));
        }
        let to = self.integer()?;
        let step = if self.take(":") {
            self.integer()?
        } else {
            None
        };
        match step.unwrap_or(1) {
            0 => Err(self.refuse("a step of 0")),
            step => Ok(Selector::Slice { from, to, step }),
        }
    }
}
