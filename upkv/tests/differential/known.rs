//! Differences that are meant: each is in `docs/commands.md`, or follows a version newer than the server.

use crate::server::{Value, Version};

/// What a known difference means for the commands after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Known {
    /// The data are still the same.
    Reply,
    /// The data differ from here on.
    Data,
}

/// Whether two different replies are to be expected.
#[expect(clippy::too_many_lines, reason = "one arm a difference")]
pub(crate) fn known(
    args: &[Vec<u8>],
    ours: &Value,
    theirs: &Value,
    version: Version,
) -> Option<Known> {
    let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
    let refused = match ours {
        Value::Line(b'-', text) => text.as_str(),
        _ => "",
    };
    // A server quotes an argument up to its first zero byte.
    if refused.contains('\0') && theirs.is_error() {
        return Some(Known::Reply);
    }
    if refused.starts_with("ERR unknown command") && is_refused(theirs, "ERR unknown command") {
        // From 8.4 on nothing follows where there are no arguments.
        return (version >= Version(8, 4) && args.len() == 1).then_some(Known::Reply);
    }
    match &name[..] {
        // Older servers read a sign, or nothing, as a number.
        "SCAN" | "HSCAN" | "ZSCAN" | "SSCAN" if refused == "ERR invalid cursor" => {
            Some(Known::Reply)
        }
        // A scan in steps goes its own way on each side.
        "SCAN" | "HSCAN" | "ZSCAN" | "SSCAN" if is_step(args, ours) || is_step(args, theirs) => {
            Some(Known::Reply)
        }
        // Keys that are overdue count on a server until it removes them.
        "DBSIZE" if matches!((ours, theirs), (Value::Line(b':', _), Value::Line(b':', _))) => {
            Some(Known::Reply)
        }
        // From 8.0 on the digest of a score is that of its shortest digits.
        "DEBUG" if version >= Version(8, 0) && !ours.is_error() && !theirs.is_error() => {
            Some(Known::Reply)
        }
        // "The last entry" came with 7.4.
        "XREAD" if version < Version(7, 4) && args.iter().any(|arg| arg == b"+") => {
            is_refused(theirs, "ERR Invalid stream ID").then_some(Known::Reply)
        }
        // From 8.0 on the text names the command.
        "XREAD" | "XREADGROUP" if refused.starts_with("ERR Unbalanced") => {
            is_refused(theirs, "ERR Unbalanced").then_some(Known::Reply)
        }
        // Ids are digits here; servers take signs and spaces in front of them, too.
        _ if name.starts_with('X')
            && (refused.starts_with("ERR Invalid stream ID") || refused.contains("option '"))
            && args
                .iter()
                .any(|arg| arg.split(|byte| *byte == b'-').any(is_padded)) =>
        {
            Some(Known::Data)
        }
        // Later the words that come before the fields may come after them, too, and other texts refuse them.
        "HEXPIRE" | "HPEXPIRE" | "HEXPIREAT" | "HPEXPIREAT" | "HGETEX" | "HSETEX"
            if version >= Version(8, 4) && !refused.is_empty() =>
        {
            Some(if theirs.is_error() {
                Known::Reply
            } else {
                Known::Data
            })
        }
        // From 8.4 on the empty text is no weight; before, a number may be taken for one that an earlier command found to
        // be out of range.
        "SORT" | "SORT_RO" if is_refused(theirs, "ERR One or more scores") && !ours.is_error() => {
            Some(Known::Data)
        }
        // Of several faults servers tell the first that they read.
        "INCREX" if !refused.is_empty() && is_refused(theirs, "ERR") => Some(Known::Reply),
        // Numbers are within the range of 64 bits here.
        "INCREX" if refused.ends_with("is not a valid float") && !theirs.is_error() => {
            Some(Known::Data)
        }
        // Older servers let the last id be below that of a deleted entry.
        "XSETID" if version < Version(7, 2) && refused.contains("max_deleted_entry_id") => {
            Some(Known::Data)
        }
        // Elements that a page of results leaves out need not be numbers there.
        "SORT" | "SORT_RO" if refused.starts_with("ERR One or more scores") => Some(Known::Data),
        // Scores that are no places: here they are at the ends of the world.
        _ if name.starts_with("GEO")
            && (args.get(1).is_some_and(|key| !key.starts_with(b"g"))
                || ours.show().contains("85.05112878")) =>
        {
            (!theirs.is_error() && refused.is_empty()).then_some(Known::Data)
        }
        // From 8.0 on no space may stand before a bound.
        _ if name.starts_with('Z') && is_refused(theirs, "ERR min or max is not a float") => args
            .iter()
            .any(|arg| arg.starts_with(b" ") || arg.starts_with(b"( "))
            .then_some(Known::Data),
        // A server reads on into the footer, and does not mind what is left over.
        "RESTORE" if refused == "ERR Bad data format" && !theirs.is_error() => Some(Known::Data),
        // A server takes a word there for an option of ZADD, which it then misses the rest of.
        "ZINCRBY" if !refused.is_empty() && is_refused(theirs, "ERR syntax error") => {
            Some(Known::Reply)
        }
        // There, a consumer comes to be when it first gets something.
        "XGROUP" if version < Version(7, 2) && is(args, "CREATECONSUMER") => Some(Known::Reply),
        // Some servers cut an index to 32 bits.
        "LSET" if version >= Version(8, 0) && refused == "ERR index out of range" => {
            (!theirs.is_error()).then_some(Known::Data)
        }
        // Older servers take the least integer.
        "LPOS" if refused.starts_with("ERR value is out of range, value must") => {
            Some(Known::Reply)
        }
        "LREM" if refused.starts_with("ERR value is out of range, value must") => Some(Known::Data),
        // A span too close to zero for 64 bits is no number here.
        "BLPOP" | "BRPOP" | "BLMOVE" | "BRPOPLPUSH" | "BLMPOP"
            if refused == "ERR timeout is not a float or out of range" =>
        {
            Some(Known::Data)
        }
        // Older servers count up to a negative number.
        "WAIT" if refused == "ERR timeout is out of range" => Some(Known::Reply),
        "BLPOP" | "BRPOP" | "BLMOVE" | "BRPOPLPUSH" | "BLMPOP"
            if refused == "ERR timeout is out of range" =>
        {
            Some(Known::Reply)
        }
        // Older servers look at the key before the arguments.
        "BITCOUNT" | "BITPOS" if !refused.is_empty() => {
            let looked = theirs.show();
            let looked = looked.starts_with(':') || looked.starts_with("-WRONGTYPE");
            looked.then_some(Known::Reply)
        }
        "INCREX" => match (first(ours), first(theirs)) {
            (Some(a), Some(b)) if (a - b).abs() <= 1e-15 * a.abs() => Some(Known::Data),
            _ => None,
        },
        // Sums are exact here, and within the range of 64 bits; there, rounded to 64 bits with more range.
        "INCRBYFLOAT" | "HINCRBYFLOAT" => match (number(ours), number(theirs)) {
            (Some(a), Some(b)) if (a - b).abs() <= 1e-15 * a.abs() => Some(Known::Data),
            (None, Some(_)) if refused.starts_with("ERR value is not a valid float") => {
                Some(Known::Data)
            }
            (None, None) if refused == "ERR value is not a valid float" => {
                matches!(theirs, Value::Line(b'-', _)).then_some(Known::Reply)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether that is the subcommand.
fn is(args: &[Vec<u8>], subcommand: &str) -> bool {
    args.get(1)
        .is_some_and(|arg| arg.eq_ignore_ascii_case(subcommand.as_bytes()))
}

/// Whether that is a number with more than digits in front.
fn is_padded(part: &[u8]) -> bool {
    let digits = part.trim_ascii_start();
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    digits.len() != part.len() && digits.iter().all(u8::is_ascii_digit)
}

fn is_refused(reply: &Value, start: &str) -> bool {
    matches!(reply, Value::Line(b'-', text) if text.starts_with(start))
}

/// Whether a scan did not look at all there is.
fn is_step(args: &[Vec<u8>], reply: &Value) -> bool {
    let from = args.get(if args[0].len() == 4 { 1 } else { 2 });
    let whole = |cursor: &[u8]| cursor == b"0";
    match reply {
        Value::Items(b'*', parts) => match &parts[..] {
            [Value::Bytes(b'$', next), Value::Items(b'*', _)] => {
                !whole(next) || from.is_some_and(|from| !whole(from))
            }
            _ => false,
        },
        _ => false,
    }
}

fn first(value: &Value) -> Option<f64> {
    match value {
        Value::Items(_, items) => number(items.first()?),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bytes(_, bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        Value::Line(b',', text) => text.parse().ok(),
        _ => None,
    }
}
