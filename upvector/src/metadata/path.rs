//! Paths into metadata: `key`, `.key`, `[n]` from the start, `[#-n]` from the end.
//!
//! Invariant: a [`Path`] has at least one segment and starts with a key.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(Box<str>),
    /// Zero-based.
    Index(u32),
    /// 1 is the last element.
    FromEnd(u32),
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Box<[Segment]>);

/// What is wrong with a path and at which byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPath {
    pub(crate) position: usize,
    pub(crate) message: &'static str,
}

/// What a path may start with.
pub(crate) fn starts_path(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// What a path consists of.
pub(crate) fn continues_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'[' | b']' | b'#' | b'-')
}

fn continues_key(byte: u8) -> bool {
    continues_path(byte) && !matches!(byte, b'.' | b'[' | b']')
}

impl Path {
    /// Reads a path: `key { "." key | "[" n "]" | "[#-" n "]" }`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPath> {
        let bytes = text.as_bytes();
        let bad = |position, message| Err(BadPath { position, message });
        if !bytes.first().copied().is_some_and(starts_path) {
            return bad(0, "a path starts with a letter or an underscore");
        }
        let mut segments = Vec::new();
        let mut at = 0;
        loop {
            let key = text[at..]
                .bytes()
                .take_while(|&byte| continues_key(byte))
                .count();
            if key == 0 {
                return bad(at, "a key is expected after a dot");
            }
            segments.push(Segment::Key(text[at..at + key].into()));
            at += key;
            while bytes.get(at) == Some(&b'[') {
                let Some(length) = text[at..].find(']') else {
                    return bad(at, "the bracket is not closed");
                };
                let inside = &text[at + 1..at + length];
                match index(inside) {
                    Some(segment) => segments.push(segment),
                    None => return bad(at, "brackets hold an index: [n], or [#-n] from the end"),
                }
                at += length + 1;
            }
            match bytes.get(at) {
                None => return Ok(Self(segments.into())),
                Some(b'.') => at += 1,
                Some(_) => return bad(at, "a dot or a bracket is expected"),
            }
        }
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }
}

/// What stands between brackets. A number over 32 bits is past the end of any array.
fn index(text: &str) -> Option<Segment> {
    let (digits, from_end) = match text.strip_prefix("#-") {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().unwrap_or(u32::MAX);
    Some(if from_end {
        Segment::FromEnd(number)
    } else {
        Segment::Index(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys_and_both_kinds_of_index() {
        let path = Path::parse("a_1.content-type[0][#-2].0").unwrap();
        assert_eq!(
            path.segments(),
            [
                Segment::Key("a_1".into()),
                Segment::Key("content-type".into()),
                Segment::Index(0),
                Segment::FromEnd(2),
                Segment::Key("0".into()),
            ]
        );
        let far = Path::parse("a[99999999999]").unwrap();
        assert_eq!(far.segments()[1], Segment::Index(u32::MAX));
    }

    #[test]
    fn says_where_a_path_is_wrong() {
        for (text, position) in [
            ("", 0),
            ("1a", 0),
            ("a.", 2),
            ("a..b", 2),
            ("a[", 1),
            ("a[]", 1),
            ("a[-1]", 1),
            ("a[#1]", 1),
            ("a[0]b", 4),
            ("a]", 1),
            ("a.[0]", 2),
        ] {
            assert_eq!(Path::parse(text).unwrap_err().position, position, "{text}");
        }
    }
}
