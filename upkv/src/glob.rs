//! Redis glob patterns: `*`, `?`, `[abc]`, `[^a-z]` and `\x`, over bytes.
//!
//! The matcher keeps one restart point, the last `*`, so its time is at most pattern length times
//! text length for any input; nothing recurses.

/// Whether `text` matches `pattern` as a whole.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut restart: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            restart = Some((p, t));
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        if let Some(next) = text.get(t).and_then(|byte| match_one(pattern, p, *byte)) {
            p = next;
            t += 1;
            continue;
        }
        // Only the last star may take more bytes: an earlier one could not make more of the rest match.
        match restart {
            Some((after_star, taken)) if taken < text.len() => {
                restart = Some((after_star, taken + 1));
                p = after_star;
                t = taken + 1;
            }
            _ => return false,
        }
    }
}

/// The text a pattern without metacharacters stands for, if it has none.
pub(crate) fn literal(pattern: &[u8]) -> Option<&[u8]> {
    let has_meta = pattern
        .iter()
        .any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    (!has_meta).then_some(pattern)
}

/// Matches one byte at pattern position `p`; the position after the element if it matches.
fn match_one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match_class(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        literal => (*literal == byte).then_some(p + 1),
    }
}

/// Matches one byte against a class whose body starts at `p`; an unclosed class ends with the pattern.
fn match_class(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match pattern.get(p..) {
            None | Some([]) => break,
            Some([b']', ..]) => {
                p += 1;
                break;
            }
            Some([b'\\', escaped, ..]) => {
                found |= *escaped == byte;
                p += 2;
            }
            Some([from, b'-', to, ..]) => {
                let (low, high) = (from.min(to), from.max(to));
                found |= (*low..=*high).contains(&byte);
                p += 3;
            }
            Some([literal, ..]) => {
                found |= *literal == byte;
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h\\?llo", "h?llo", true),
            ("h\\?llo", "hello", false),
            ("[\\]]", "]", true),
            ("[abc", "b", true),
            ("[abc", "d", false),
            ("[^abc", "d", true),
            ("*a*b*", "xxaxxbxx", true),
            ("a*", "b", false),
            ("*a", "ba", true),
            ("*aab", "aaab", true),
            ("\\", "\\", true),
            ("foo*bar", "foobazbar", true),
            ("**", "anything", true),
            ("[]a", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_stay_polynomial() {
        let pattern = "*a".repeat(200) + "b";
        let text = "a".repeat(20_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn literal_patterns_are_recognised() {
        assert_eq!(literal(b"user:1"), Some(&b"user:1"[..]));
        assert_eq!(literal(b"user:*"), None);
    }
}
