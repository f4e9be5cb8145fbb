//! Requests as plain lines of text, for people with a terminal.
//!
//! Words are separated by spaces. `"..."` takes the escapes `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH`, and `\` before any other
//! byte; `'...'` only `\'`. A closing quote must end its word.

/// Splits a line into words; `None` if a quote is not closed, or something follows a closing quote.
pub(super) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_space(*byte));
        let Some(start) = start else {
            return Some(words);
        };
        let (word, after) = word(&rest[start..])?;
        words.push(word);
        rest = after;
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0)
}

/// One word, which may have quoted parts, and what follows it.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Some((word, rest)),
            [byte, ..] if is_space(*byte) => return Some((word, rest)),
            [quote @ (b'"' | b'\''), after @ ..] => {
                rest = quoted(*quote, after, &mut word)?;
                if rest.first().is_some_and(|byte| !is_space(*byte)) {
                    return None;
                }
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// The part up to the closing quote goes to `word`; what follows it.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [byte, after @ ..] if *byte == quote => {
                let _ = byte;
                return Some(after);
            }
            [b'\\', b'x', high, low, after @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (digit(*high) << 4 | digit(*low), after)
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => (unescape(*escaped), after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

const fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_in_redis() {
        for (line, expected) in [
            ("", vec![]),
            ("  \t ", vec![]),
            ("get a", vec!["get", "a"]),
            ("  set  k   v ", vec!["set", "k", "v"]),
            (r#"set k "a b""#, vec!["set", "k", "a b"]),
            (r#""\x41\n\t\\\"\q""#, vec!["A\n\t\\\"q"]),
            (r#""\x4g""#, vec!["x4g"]),
            (r"'a\'b\n'", vec![r"a'b\n"]),
            (r#"a"b c"  d"#, vec!["ab c", "d"]),
            (r#""""#, vec![""]),
        ] {
            let words = split(line.as_bytes()).expect("balanced");
            let words: Vec<&str> = words
                .iter()
                .map(|word| std::str::from_utf8(word).expect("text"))
                .collect();
            assert_eq!(words, expected, "{line}");
        }
        for line in [r#""a"#, r"'a", r#""a"b"#, r"'a'b", r#""\"#, r#"x ""a"#] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }
}
