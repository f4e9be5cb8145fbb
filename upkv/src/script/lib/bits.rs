//! `bit`: operations on 32-bit integers.

use mlua::{Lua, Table};

use super::{Given, Outcome, define};

/// The low 32 bits of a number, rounded to the nearest integer as `LuaJIT`'s library does.
fn word(lua: &Lua, given: &Given<'_>, at: usize) -> Outcome<i32> {
    let value = given.number(lua, at)?;
    // Adding this moves the integer part to the low bits of the mantissa, rounding to even.
    let bits = (value + 6_755_399_441_055_744.0).to_bits();
    let [low, _]: [u32; 2] = [
        u32::try_from(bits & 0xffff_ffff).unwrap_or(0),
        u32::try_from(bits >> 32).unwrap_or(0),
    ];
    Ok(low.cast_signed())
}

fn shift(lua: &Lua, given: &Given<'_>) -> Outcome<u32> {
    Ok(word(lua, given, 1)?.cast_unsigned() & 31)
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let t = &library;
    define(lua, t, "tobit", |lua, given| word(lua, given, 0))?;
    define(lua, t, "bnot", |lua, given| Ok(!word(lua, given, 0)?))?;
    define(lua, t, "bswap", |lua, given| {
        Ok(word(lua, given, 0)?.swap_bytes())
    })?;
    fold(lua, t, "band", |a, b| a & b)?;
    fold(lua, t, "bor", |a, b| a | b)?;
    fold(lua, t, "bxor", |a, b| a ^ b)?;
    by(lua, t, "lshift", |value, count| value << count)?;
    by(lua, t, "rshift", |value, count| {
        (value.cast_unsigned() >> count).cast_signed()
    })?;
    by(lua, t, "arshift", |value, count| value >> count)?;
    by(lua, t, "rol", i32::rotate_left)?;
    by(lua, t, "ror", i32::rotate_right)?;
    define(lua, t, "tohex", |lua, given| {
        let value = word(lua, given, 0)?.cast_unsigned();
        let digits = if given.is_none(1) {
            8
        } else {
            word(lua, given, 1)?
        };
        let text = format!("{value:08x}");
        let kept = usize::try_from(digits.unsigned_abs()).unwrap_or(8).min(8);
        let text = &text[8 - kept..];
        Ok(if digits < 0 {
            text.to_ascii_uppercase()
        } else {
            text.to_string()
        })
    })?;
    Ok(library)
}

fn fold(
    lua: &Lua,
    library: &Table,
    name: &'static str,
    join: fn(i32, i32) -> i32,
) -> mlua::Result<()> {
    define(lua, library, name, move |lua, given| {
        let mut value = word(lua, given, 0)?;
        for at in 1..given.args.len() {
            value = join(value, word(lua, given, at)?);
        }
        Ok(value)
    })
}

fn by(
    lua: &Lua,
    library: &Table,
    name: &'static str,
    turn: fn(i32, u32) -> i32,
) -> mlua::Result<()> {
    define(lua, library, name, move |lua, given| {
        Ok(turn(word(lua, given, 0)?, shift(lua, given)?))
    })
}

#[cfg(test)]
mod tests {
    use super::super::harness::ask;
    use super::library;

    #[test]
    fn numbers_are_words_of_32_bits() {
        for (call, expected) in [
            ("tobit(2^32 - 1)", "-1"),
            ("tobit(1.5)", "2"),
            ("tobit(2.5)", "2"),
            ("tobit(2^53)", "0"),
            ("tobit(2^1000)", "0"),
            ("band(255, 15, 9)", "9"),
            ("bor(1, '2', 4)", "7"),
            ("bxor(5, 1)", "4"),
            ("bnot(0)", "-1"),
            ("lshift(1, 33)", "2"),
            ("lshift(1, -1)", "-2147483648"),
            ("rshift(-1, 28)", "15"),
            ("arshift(-16, 2)", "-4"),
            ("rol(1, 31)", "-2147483648"),
            ("ror(1, 1)", "-2147483648"),
            ("bswap(1)", "16777216"),
            ("tohex(255)", "\"000000ff\""),
            ("tohex(-1, -4)", "\"FFFF\""),
            ("tohex(1, 100)", "\"00000001\""),
            ("tohex(1, -2147483648)", "\"00000001\""),
            ("tohex(1, 0)", "\"\""),
        ] {
            assert_eq!(ask(|lua, _| library(lua), call), expected, "{call}");
        }
        let missing = ask(|lua, _| library(lua), "band()");
        assert_eq!(
            missing,
            "!\"bad argument #1 to \\'band\\' (number expected, got no value)\""
        );
        assert!(ask(|lua, _| library(lua), "band(1, {})").starts_with('!'));
    }
}
