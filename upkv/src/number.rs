//! Numbers as Redis reads and prints them: strict integers, doubles for scores, decimal addition.
//!
//! Everything here is pure. The invariant that matters to callers: text that one function prints
//! is read back by its counterpart as the same number, so a counter can be stored as its text.

/// Longest text accepted as a floating point number, in bytes.
const FLOAT_TEXT_BYTES_MAX: usize = 5 * 1024;
/// Digits kept after the point by [`decimal_add`].
const FRACTION_DIGITS: i64 = 17;
/// Largest decimal exponent [`decimal_add`] accepts; beyond it no `f64` is finite.
const DECIMAL_EXPONENT_MAX: i64 = 400;

/// Reads a strict base-10 `i64`: optional `-`, no `+`, no spaces, no leading zeros, no `-0`.
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] => return if negative { None } else { Some(0) },
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = match byte {
            b'0'..=b'9' => i64::from(byte - b'0'),
            _ => return None,
        };
        // Built downwards so that `i64::MIN` is reachable.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// Reads a `u64` scan cursor; Redis takes any unsigned decimal.
pub(crate) fn parse_cursor(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a bound of a range: as [`parse_f64`], but nothing counts as 0, and what is out of range as the nearest number.
pub(crate) fn parse_bound(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    if text.len() > FLOAT_TEXT_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text.trim_ascii_start()).ok()?;
    let value: f64 = text.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Reads a double: decimal or exponent form or an infinity; no spaces, no NaN, nothing out of range.
pub(crate) fn parse_f64(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > FLOAT_TEXT_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let unsigned = text.trim_start_matches(['+', '-']);
    let spelled_infinite = unsigned.starts_with(['i', 'I']);
    if value.is_nan() || (value.is_infinite() && !spelled_infinite) {
        return None;
    }
    if value == 0.0 {
        let mantissa = unsigned.split(['e', 'E']).next().unwrap_or("");
        if mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
            return None;
        }
    }
    Some(value)
}

/// Prints a score: whole numbers as integers, else the shortest digits that read back equal.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range was checked against 2^62"
)]
#[expect(clippy::cast_precision_loss, reason = "2^62 is exact as f64")]
pub(crate) fn format_f64(value: f64) -> String {
    const WHOLE_MAX: f64 = (1_i64 << 62) as f64;
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.into();
    }
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return (value as i64).to_string();
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let body = lay_out_digits(&digits, exponent);
    if value < 0.0 {
        format!("-{body}")
    } else {
        body
    }
}

/// Places `digits` (first digit worth 10^`exponent`) plainly or with an exponent, as Redis 7.2 does.
fn lay_out_digits(digits: &str, exponent: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let scale = exponent + 1 - count;
    if scale >= 0 && exponent.abs() < count + 7 {
        let zeros = usize::try_from(scale).unwrap_or(0);
        return format!("{digits}{}", "0".repeat(zeros));
    }
    if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        if exponent < 0 {
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            return format!("0.{}{digits}", "0".repeat(zeros));
        }
        let (whole, fraction) = digits.split_at(usize::try_from(exponent + 1).unwrap_or(0));
        return format!("{whole}.{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let sign = if exponent < 0 { '-' } else { '+' };
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}e{sign}{}", exponent.abs())
}

/// Why [`decimal_add`] has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalError {
    /// One of the texts is not a number.
    NotAFloat,
    /// The sum would be infinite or not a number.
    NotFinite,
}

/// Adds two decimal texts exactly and prints the sum with at most 17 fractional digits.
///
/// Never prints an exponent, a trailing zero after the point, or `-0`.
pub(crate) fn decimal_add(left: &[u8], right: &[u8]) -> Result<String, DecimalError> {
    let a = parse_f64(left).ok_or(DecimalError::NotAFloat)?;
    let b = parse_f64(right).ok_or(DecimalError::NotAFloat)?;
    if !a.is_finite() || !b.is_finite() || !(a + b).is_finite() {
        return Err(DecimalError::NotFinite);
    }
    let a = Decimal::parse(left).ok_or(DecimalError::NotAFloat)?;
    let b = Decimal::parse(right).ok_or(DecimalError::NotAFloat)?;
    Ok(a.add(&b).print())
}

/// A decimal number: `digits` (most significant first) times 10^`exponent`.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let mut digits = Vec::with_capacity(rest.len());
        let mut exponent = 0_i64;
        let mut after_point = false;
        for (at, &byte) in rest.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    digits.push(byte - b'0');
                    exponent -= i64::from(after_point);
                }
                b'.' if !after_point => after_point = true,
                b'e' | b'E' => {
                    let text = std::str::from_utf8(rest.get(at + 1..)?).ok()?;
                    exponent = exponent.checked_add(text.parse::<i64>().ok()?)?;
                    break;
                }
                _ => return None,
            }
        }
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..leading);
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        let top = exponent.checked_add(i64::try_from(digits.len()).ok()?)?;
        (top.abs() <= DECIMAL_EXPONENT_MAX).then_some(Self {
            negative,
            digits,
            exponent,
        })
    }

    /// Digits aligned so that the last one is worth 10^`exponent`.
    fn aligned(&self, exponent: i64, width: usize) -> Vec<u8> {
        let mut digits = self.digits.clone();
        let zeros = usize::try_from(self.exponent - exponent).unwrap_or(0);
        digits.resize(digits.len() + zeros, 0);
        let mut padded = vec![0; width.saturating_sub(digits.len())];
        padded.append(&mut digits);
        padded
    }

    fn add(&self, other: &Self) -> Self {
        if self.digits.is_empty() || other.digits.is_empty() {
            let source = if self.digits.is_empty() { other } else { self };
            return Self {
                negative: source.negative,
                digits: source.digits.clone(),
                exponent: source.exponent,
            };
        }
        let exponent = self.exponent.min(other.exponent);
        let span = |d: &Self| d.digits.len() + usize::try_from(d.exponent - exponent).unwrap_or(0);
        let width = span(self).max(span(other)) + 1;
        let a = self.aligned(exponent, width);
        let b = other.aligned(exponent, width);
        if self.negative == other.negative {
            return Self {
                negative: self.negative,
                digits: add_digits(a, &b),
                exponent,
            };
        }
        if a >= b {
            Self {
                negative: self.negative,
                digits: subtract_digits(a, &b),
                exponent,
            }
        } else {
            Self {
                negative: other.negative,
                digits: subtract_digits(b, &a),
                exponent,
            }
        }
    }

    fn print(mut self) -> String {
        self.round_to(-FRACTION_DIGITS);
        let leading = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..leading);
        if self.digits.is_empty() {
            return "0".into();
        }
        let text: String = self
            .digits
            .iter()
            .map(|digit| char::from(b'0' + digit))
            .collect();
        let unsigned = if self.exponent >= 0 {
            format!(
                "{text}{}",
                "0".repeat(usize::try_from(self.exponent).unwrap_or(0))
            )
        } else {
            let fraction = usize::try_from(-self.exponent).unwrap_or(0);
            let padded = format!("{text:0>width$}", width = fraction + 1);
            let (whole, part) = padded.split_at(padded.len() - fraction);
            let part = part.trim_end_matches('0');
            if part.is_empty() {
                whole.into()
            } else {
                format!("{whole}.{part}")
            }
        };
        if self.negative {
            format!("-{unsigned}")
        } else {
            unsigned
        }
    }

    /// Drops digits worth less than 10^`floor`, rounding half away from zero.
    fn round_to(&mut self, floor: i64) {
        let Ok(excess) = usize::try_from(floor - self.exponent) else {
            return;
        };
        if excess == 0 {
            return;
        }
        let keep = self.digits.len().saturating_sub(excess);
        let round_up =
            excess <= self.digits.len() && self.digits.get(keep).is_some_and(|d| *d >= 5);
        self.digits.truncate(keep);
        self.exponent = floor;
        if round_up {
            self.digits.insert(0, 0);
            for digit in self.digits.iter_mut().rev() {
                *digit += 1;
                if *digit < 10 {
                    break;
                }
                *digit = 0;
            }
        }
    }
}

fn add_digits(mut a: Vec<u8>, b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    for (x, y) in a.iter_mut().zip(b).rev() {
        let sum = *x + y + carry;
        *x = sum % 10;
        carry = sum / 10;
    }
    a
}

/// `a - b` for `a >= b` of equal width.
fn subtract_digits(mut a: Vec<u8>, b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    for (x, y) in a.iter_mut().zip(b).rev() {
        let need = y + borrow;
        borrow = u8::from(*x < need);
        *x = *x + 10 * borrow - need;
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(parse_cursor(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_cursor(b"-1"), None);
    }

    #[test]
    fn floats_reject_what_redis_rejects() {
        for (text, value) in [
            ("1.5", Some(1.5)),
            ("1e5", Some(1e5)),
            ("inf", Some(f64::INFINITY)),
            ("+Inf", Some(f64::INFINITY)),
            ("-INFINITY", Some(f64::NEG_INFINITY)),
            ("0e-999", Some(0.0)),
            ("nan", None),
            ("1e400", None),
            ("1e-400", None),
            (" 1", None),
            ("", None),
            ("1x", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn scores_print_as_redis_prints_them() {
        for (value, text) in [
            (2.1, "2.1"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-6, "1.5e-6"),
            (1e21, "1e+21"),
            (1e17, "100000000000000000"),
            (1_665_000_000.123_456, "1665000000.123456"),
            (123_456.789_012_345, "1.23456789012345e+5"),
            (-3.0, "-3"),
            (f64::INFINITY, "inf"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(format_f64(value), text);
        }
    }

    #[test]
    fn decimal_addition_is_exact() {
        for (a, b, sum) in [
            ("0.1", "0.2", "0.3"),
            ("1", "-1.1", "-0.1"),
            ("5.0e3", "1e-30", "5000"),
            ("10.50", "0.1", "10.6"),
            ("3.0e3", "200", "3200"),
            ("0", "-0", "0"),
            ("1", "-1", "0"),
            ("-0.5", "0.25", "-0.25"),
            ("99.999999999999999995", "0", "100"),
            ("1e20", "1", "100000000000000000001"),
            ("0", "1.25", "1.25"),
        ] {
            assert_eq!(
                decimal_add(a.as_bytes(), b.as_bytes()).as_deref(),
                Ok(sum),
                "{a} + {b}"
            );
        }
        assert_eq!(decimal_add(b"inf", b"1"), Err(DecimalError::NotFinite));
        assert_eq!(
            decimal_add(b"1e308", b"1e308"),
            Err(DecimalError::NotFinite)
        );
        assert_eq!(decimal_add(b"x", b"1"), Err(DecimalError::NotAFloat));
    }
}
