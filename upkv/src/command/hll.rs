//! Chapter: `HyperLogLogs`.

use super::args::Args;
use super::reply::Reply;
use super::row::{Command, EACH, NO_KEYS, ONE, SECOND, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::hll;
use crate::value::hll::{Hll, corrupted, sparse};

pub(super) static ROWS: &[Command] = rows! { "hyperloglog";
    "pfadd" -2 WRITE | GROW | FAST, ONE, data(pfadd), "2.8.9", "O(elements)",
        "Counts elements approximately";
    "pfcount" -2 READ, EACH, data(pfcount), "2.8.9", "O(keys)",
        "Estimates how many distinct elements were counted";
    "pfdebug" -3 WRITE | GROW | ADMIN, SECOND, data(pfdebug), "2.8.9", "O(1)",
        "Looks into a HyperLogLog";
    "pfmerge" -2 WRITE | GROW, EACH, data(pfmerge), "2.8.9", "O(keys)",
        "Adds HyperLogLogs to one";
    "pfselftest" 1 ADMIN, NO_KEYS, data(pfselftest), "2.8.9", "O(1)",
        "Checks the HyperLogLog code";
};

fn pfadd(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    hll::add(work, args[1], &args[2..]).map(Reply::flag)
}

fn pfcount(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let count = hll::count(work, &args[1..])?;
    Ok(Reply::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn pfmerge(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    hll::merge(work, args[1], &args[2..])?;
    Ok(Reply::OK)
}

fn pfdebug(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let found = hll::existing(work, args[2])?;
    let name = String::from_utf8_lossy(args[1]).to_ascii_uppercase();
    if args.len() != 3 && matches!(&name[..], "GETREG" | "DECODE" | "ENCODING" | "TODENSE") {
        let text = format!(
            "ERR Wrong number of arguments for the '{}' subcommand",
            given(args)
        );
        return Err(Error::refused_with(text));
    }
    Ok(match &name[..] {
        "GETREG" => {
            hll::densify(work, args[2])?;
            let registers = found.registers()?;
            let register = |rank: u8| Reply::Int(i64::from(rank));
            Reply::Array(registers.into_iter().map(register).collect())
        }
        "DECODE" if found.is_dense() => {
            return Err(Error::refused("ERR HLL encoding is not sparse"));
        }
        "DECODE" => Reply::bulk(decode(&found)?),
        "ENCODING" if found.is_dense() => Reply::Status("dense"),
        "ENCODING" => Reply::Status("sparse"),
        "TODENSE" => Reply::flag(hll::densify(work, args[2])?),
        _ => {
            let text = format!("ERR Unknown PFDEBUG subcommand '{}'", given(args));
            return Err(Error::refused_with(text));
        }
    })
}

/// The subcommand as it was written, cut to what an error repeats.
fn given(args: &Args<'_>) -> String {
    let shown = &args[1][..args[1].len().min(128)];
    String::from_utf8_lossy(shown).into_owned()
}

/// The runs of the sparse form in words: zeros, many zeros, values.
fn decode(hll: &Hll) -> Result<String> {
    let mut words = Vec::new();
    for run in sparse::runs(hll.runs()) {
        let run = run.ok_or_else(corrupted)?;
        words.push(match run.rank {
            0 if run.is_long_zeros() => format!("Z:{}", run.len),
            0 => format!("z:{}", run.len),
            rank => format!("v:{rank},{}", run.len),
        });
    }
    Ok(words.join(" "))
}

/// Counts the same elements in both forms, and compares registers and estimate.
fn pfselftest(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    const ELEMENTS: u32 = 1000;
    let failed = || Error::refused("ERR TESTFAILED the forms or the estimate disagree");
    let (mut sparse, mut dense) = (Hll::new(), Hll::new());
    dense.densify()?;
    for element in 0..ELEMENTS {
        sparse.add(&element.to_le_bytes())?;
        dense.add(&element.to_le_bytes())?;
    }
    dense.mark_stale();
    let close = dense.count()?.abs_diff(u64::from(ELEMENTS)) < u64::from(ELEMENTS / 20);
    if sparse.registers()? == dense.registers()? && close {
        Ok(Reply::OK)
    } else {
        Err(failed())
    }
}
