//! Numbers as text, as C's `printf` writes them.

/// `%.<precision>g`.
pub(crate) fn general(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() {
            "-nan"
        } else {
            "nan"
        }
        .into();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.into();
    }
    let precision = precision.clamp(1, 17);
    let scientific = format!("{value:.*e}", precision - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let cut = |text: &str| {
        let whole = !text.contains('.');
        let end = if whole {
            text
        } else {
            text.trim_end_matches('0').trim_end_matches('.')
        };
        end.to_string()
    };
    let places = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= places {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", cut(digits), exponent.unsigned_abs());
    }
    let decimals = usize::try_from(places - 1 - exponent).unwrap_or(0);
    cut(&format!("{value:.decimals$}"))
}

/// A number as an argument of a command: a whole one as an integer.
pub(crate) fn argument(value: f64) -> String {
    match whole(value) {
        Some(whole) => whole.to_string(),
        None => general(value, 17),
    }
}

/// The integer that a number is, if it is one.
pub(crate) fn whole(value: f64) -> Option<i64> {
    let cut = truncate(value);
    #[expect(
        clippy::cast_precision_loss,
        reason = "compared with what it came from"
    )]
    let same = value.abs() < 9.2e18 && (cut as f64).total_cmp(&(value + 0.0)).is_eq();
    same.then_some(cut)
}

/// A number without its fraction; the smallest integer if it is none or out of range.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(crate) fn truncate(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_printf() {
        for (value, precision, text) in [
            (0.1, 17, "0.10000000000000001"),
            (0.1, 14, "0.1"),
            (1e20, 17, "1e+20"),
            (1e15, 14, "1e+15"),
            (123_456_789.0, 14, "123456789"),
            (1e-5, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (-2.5, 3, "-2.5"),
            (f64::INFINITY, 14, "inf"),
            (99_999.5, 5, "1e+05"),
        ] {
            assert_eq!(general(value, precision), text, "{value}");
        }
        assert_eq!(argument(2e8), "200000000");
        assert_eq!(argument(-0.0), "0");
        assert_eq!(argument(3.25), "3.25");
        assert_eq!(argument(f64::NAN), "nan");
        assert_eq!(truncate(-3.99), -3);
        assert_eq!(truncate(1e20), i64::MIN);
    }
}
