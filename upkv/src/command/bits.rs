//! Chapter: bitmaps and integers among the bits of a string.

use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{Command, ONE, data, range, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::bits::{self, BITS_MAX, Field, IntType, Join, Overflow, Part, Step, Unit};

pub(super) static ROWS: &[Command] = rows! { "bitmap";
    "bitcount" -2 READ, ONE, data(bitcount), "2.6.0", "O(n)",
        "Counts bits that are set";
    "bitfield" -2 WRITE | GROW, ONE, data(bitfield), "3.2.0", "O(1) a step",
        "Reads and changes integers among the bits";
    "bitfield_ro" -2 READ | FAST, ONE, data(bitfield_ro), "6.0.0", "O(1) a step",
        "Reads integers among the bits";
    "bitop" -4 WRITE | GROW, range(2, -1, 1), data(bitop), "2.6.0", "O(n) in all sources",
        "Stores strings joined bit by bit";
    "bitpos" -3 READ, ONE, data(bitpos), "2.8.7", "O(n)",
        "Finds the first bit that is set or clear";
    "getbit" 3 READ | FAST, ONE, data(getbit), "2.2.0", "O(1)",
        "Reads a bit";
    "setbit" 4 WRITE | GROW, ONE, data(setbit), "2.2.0", "O(1)",
        "Sets a bit";
};

fn offset(text: &[u8]) -> Result<u64> {
    let offset = number::parse_i64(text).and_then(|offset| u64::try_from(offset).ok());
    offset
        .filter(|offset| *offset < BITS_MAX)
        .ok_or_else(bits::bad_offset)
}

fn getbit(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    bits::get(work, args[1], offset(args[2])?).map(Reply::flag)
}

fn setbit(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let offset = offset(args[2])?;
    let bit = match number::parse_i64(args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Error::refused("ERR bit is not an integer or out of range")),
    };
    bits::set(work, args[1], offset, bit).map(Reply::flag)
}

fn unit(text: &[u8]) -> Result<Unit> {
    if args::is(text, "BYTE") {
        Ok(Unit::Byte)
    } else if args::is(text, "BIT") {
        Ok(Unit::Bit)
    } else {
        Err(Error::syntax())
    }
}

fn int(count: u64) -> Reply {
    Reply::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn bitcount(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let part = match &args[2..] {
        [] => Part::ALL,
        [start, end, rest @ ..] if rest.len() < 2 => {
            let (start, end) = (args::int(start)?, Some(args::int(end)?));
            let unit = rest.first().map_or(Ok(Unit::Byte), |text| unit(text))?;
            Part { start, end, unit }
        }
        _ => return Err(Error::syntax()),
    };
    bits::count(work, args[1], part).map(int)
}

fn bitpos(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let bit = match args::int(args[2])? {
        0 => false,
        1 => true,
        _ => return Err(Error::refused("ERR The bit argument must be 1 or 0.")),
    };
    let part = match &args[3..] {
        [] => Part::ALL,
        [start, rest @ ..] if rest.len() < 3 => {
            let start = args::int(start)?;
            let unit = rest.get(1).map_or(Ok(Unit::Byte), |text| unit(text))?;
            let end = rest.first().map(|end| args::int(end)).transpose()?;
            Part { start, end, unit }
        }
        _ => return Err(Error::syntax()),
    };
    let found = bits::position(work, args[1], bit, part)?;
    Ok(found.map_or(Reply::Int(-1), int))
}

fn bitop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let name = String::from_utf8_lossy(args[1]).to_ascii_uppercase();
    let join = Join::of_name(&name).ok_or_else(Error::syntax)?;
    let sources = &args[3..];
    join.check_count(sources.len())?;
    bits::join(work, join, args[2], sources).map(Reply::count)
}

fn int_type(text: &[u8]) -> Result<IntType> {
    let (signed, width) = match text {
        [b'i', width @ ..] => (true, width),
        [b'u', width @ ..] => (false, width),
        _ => return Err(bits::bad_type()),
    };
    let width = number::parse_i64(width).and_then(|width| u8::try_from(width).ok());
    width
        .and_then(|width| IntType::new(signed, width))
        .ok_or_else(bits::bad_type)
}

/// An offset in bits; `#n` is the n-th integer of the type.
fn field_offset(text: &[u8], of: IntType) -> Result<u64> {
    let Some(index) = text.strip_prefix(b"#") else {
        return offset(text);
    };
    let index = number::parse_i64(index).and_then(|index| u64::try_from(index).ok());
    index
        .and_then(|index| index.checked_mul(of.width()))
        .filter(|offset| *offset < BITS_MAX)
        .ok_or_else(bits::bad_offset)
}

fn parse_fields(rest: &Args<'_>) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    let mut overflow = Overflow::default();
    let mut options = Options::new(rest);
    while let Some(name) = options.next() {
        if name == "OVERFLOW" {
            let kind = options.value()?.to_ascii_uppercase();
            overflow = match kind.as_slice() {
                b"WRAP" => Overflow::Wrap,
                b"SAT" => Overflow::Saturate,
                b"FAIL" => Overflow::Fail,
                _ => return Err(Error::refused("ERR Invalid OVERFLOW type specified")),
            };
            continue;
        }
        let takes_value = match &name[..] {
            "GET" => false,
            "SET" | "INCRBY" => true,
            _ => return Err(Error::syntax()),
        };
        let (of, offset) = (options.value()?, options.value()?);
        let value = takes_value.then(|| options.value()).transpose()?;
        let of = int_type(of)?;
        let offset = field_offset(offset, of)?;
        let step = match (value, &name[..]) {
            (None, _) => Step::Get,
            (Some(value), "SET") => Step::Set(args::int(value)?, overflow),
            (Some(value), _) => Step::Add(args::int(value)?, overflow),
        };
        fields.push(Field { of, offset, step });
    }
    Ok(fields)
}

fn values(found: Vec<Option<i64>>) -> Reply {
    let value = |found: Option<i64>| found.map_or(Reply::Null, Reply::Int);
    Reply::Array(found.into_iter().map(value).collect())
}

fn bitfield(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let fields = parse_fields(&args[2..])?;
    work.expect_kind(args[1], crate::value::Kind::String)?;
    bits::fields(work, args[1], &fields).map(values)
}

fn bitfield_ro(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let fields = parse_fields(&args[2..])?;
    if fields.iter().any(|field| !matches!(field.step, Step::Get)) {
        return Err(Error::refused(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    work.expect_kind(args[1], crate::value::Kind::String)?;
    bits::fields(work, args[1], &fields).map(values)
}
