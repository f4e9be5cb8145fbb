//! Numbers, spans and foreign text as people should see them.

use std::time::Duration;

/// Text from files and arguments with control characters written out, so that it cannot steer the terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Marks that turn the direction of writing can hide what is there as well.
        let hides = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || hides {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The beginning of a text on one line.
pub(crate) fn excerpt(text: &str, characters: usize) -> String {
    let mut line = String::new();
    let mut left = characters;
    for word in text.split_whitespace() {
        let length = word.chars().count() + 1;
        if length > left {
            line.extend(word.chars().take(if line.is_empty() { left } else { 0 }));
            line.push_str(" ...");
            break;
        }
        left -= length;
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    escaped(&line)
}

/// A number with its thousands set apart.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in the unit that keeps it below 1024.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let unit = (bytes.ilog2() / 10).clamp(1, 4) as usize;
    let tenths = (u128::from(bytes) * 10) >> (10 * unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit - 1])
}

/// A span in the unit that suits it.
pub(crate) fn span(span: Duration) -> String {
    match span.as_micros() {
        0..1_000 => format!("{} us", span.as_micros()),
        1_000..1_000_000 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        1_000_000..120_000_000 => format!("{:.1} s", span.as_secs_f64()),
        _ => format!("{} min {} s", span.as_secs() / 60, span.as_secs() % 60),
    }
}

/// How many of something in a second, in whole numbers.
pub(crate) fn rate(count: u64, span: Duration) -> u64 {
    let micros = span.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(escaped("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(escaped("\u{202e}x \u{e4}"), "\\u{202e}x \u{e4}");
    }

    #[test]
    fn excerpts_end_at_words() {
        assert_eq!(excerpt("one  two\nthree", 100), "one two three");
        assert_eq!(excerpt("one two three", 9), "one two ...");
        assert_eq!(excerpt("aaaaaaaaaa", 4), "aaaa ...");
    }

    #[test]
    fn numbers_and_sizes_are_readable() {
        assert_eq!(
            [number(0), number(999), number(1_234_567)],
            ["0", "999", "1,234,567"]
        );
        assert_eq!(
            [size(1023), size(1024), size(1_600_000)],
            ["1023 B", "1.0 KiB", "1.5 MiB"]
        );
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
        assert_eq!(span(Duration::from_millis(1_500)), "1.5 s");
        assert_eq!(span(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(rate(10, Duration::from_secs(2)), 5);
        assert_eq!(rate(1, Duration::ZERO), 1_000_000);
    }
}
