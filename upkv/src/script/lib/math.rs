//! `math.random`, which gives every run the same sequence, and `os.clock`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mlua::{Lua, Table};

use super::{Given, Outcome, define};
use crate::script::meter::Meter;

/// The state of the generator at the start of a run: seed 0.
pub(in crate::script) const SEED: u64 = 0x330e;
const MASK: u64 = (1 << 48) - 1;
/// What draws are scaled by.
const RANGE: f64 = 2_147_483_647.0;

/// The next draw of the linear congruential generator that POSIX calls `lrand48`.
fn draw(meter: &Meter) -> f64 {
    let state = meter.random.load(Ordering::Relaxed);
    let next = state.wrapping_mul(0x0005_deec_e66d).wrapping_add(0xb) & MASK;
    meter.random.store(next, Ordering::Relaxed);
    let bits = u32::try_from(next >> 17).unwrap_or(0);
    f64::from(bits % 0x7fff_ffff) / RANGE
}

pub(super) fn library(lua: &Lua, meter: &Arc<Meter>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let drawn = Arc::clone(meter);
    define(lua, &library, "random", move |lua, given| {
        random(lua, given, draw(&drawn))
    })?;
    let seeded = Arc::clone(meter);
    define(lua, &library, "randomseed", move |lua, given| {
        let seed = given.integer(lua, 0)?.cast_unsigned() & 0xffff_ffff;
        seeded.random.store(seed << 16 | SEED, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(library)
}

fn random(lua: &Lua, given: &Given<'_>, drawn: f64) -> Outcome<f64> {
    let whole = |at| given.number(lua, at).map(f64::trunc);
    match given.args.len() {
        0 => Ok(drawn),
        1 => {
            let high = whole(0)?;
            if high < 1.0 {
                return Err(given.refused(0, "interval is empty"));
            }
            Ok((drawn * high).floor() + 1.0)
        }
        2 => {
            let (low, high) = (whole(0)?, whole(1)?);
            if low > high {
                return Err(given.refused(1, "interval is empty"));
            }
            Ok((drawn * (high - low + 1.0)).floor() + low)
        }
        _ => Err("wrong number of arguments".into()),
    }
}

pub(super) fn clock(lua: &Lua, meter: &Arc<Meter>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let meter = Arc::clone(meter);
    define(lua, &library, "clock", move |_, _| {
        Ok(meter.clock().as_secs_f64())
    })?;
    Ok(library)
}
