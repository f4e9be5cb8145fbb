//! `DUMP` payloads: a value, the version of the format in two bytes, and the checksum of all that.

use super::source::Source;
use super::{RdbError, VERSION_MAX, Value, checksum, read, write};

/// Bytes of version and checksum.
const FOOTER_BYTES: usize = 10;

/// Why a payload was refused.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The footer is of a newer version or the checksum of other bytes.
    Footer,
    /// The value is not what the format says.
    Value,
}

/// The payload of a value.
pub(crate) fn dump(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write::value(&mut out, value, |_| {});
    sealed(out, value.version())
}

/// A body with its footer.
pub(super) fn sealed(mut out: Vec<u8>, version: u32) -> Vec<u8> {
    let version = u16::try_from(version).expect("versions are small");
    out.extend_from_slice(&version.to_le_bytes());
    let sum = checksum::update(0, &out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// The value of a payload; never an empty collection.
pub(crate) fn restore(payload: &[u8]) -> Result<Value, Refused> {
    let split = payload
        .len()
        .checked_sub(FOOTER_BYTES)
        .ok_or(Refused::Footer)?;
    let (mut body, footer) = payload.split_at(split);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let sum = checksum::update(0, &payload[..split + 2]);
    if u32::from(version) > VERSION_MAX || footer[2..] != sum.to_le_bytes() {
        return Err(Refused::Footer);
    }
    let mut source = Source::new(&mut body);
    let value = source.u8().and_then(|code| read::value(&mut source, code));
    let whole = |source: &mut Source<'_>| -> Result<bool, RdbError> { source.is_done() };
    match (value, whole(&mut source)) {
        (Ok(value), Ok(true)) if !value.is_empty() => Ok(value),
        _ => Err(Refused::Value),
    }
}
