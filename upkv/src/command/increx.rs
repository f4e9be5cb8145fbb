//! Chapter: counters with bounds.

use super::args::{Args, DeadlineForm, Options};
use super::reply::Reply;
use super::row::{Command, ONE, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::increx::{self, How, Step, Stepped};

pub(super) static ROWS: &[Command] = rows! { "string";
    "increx" -2 WRITE | GROW | FAST, ONE, data(increx), "8.8.0", "O(1)",
        "Counts between bounds and sets a deadline";
};

/// How far the arguments have been read: texts, because all options come before any number.
#[derive(Default)]
struct Given<'a> {
    int: Option<&'a [u8]>,
    float: Option<&'a [u8]>,
    least: Option<&'a [u8]>,
    most: Option<&'a [u8]>,
    saturate: bool,
    if_no_deadline: bool,
}

impl<'a> Given<'a> {
    fn step(&self) -> Result<Step<'a>> {
        let crossed = || Error::refused("ERR LBOUND can't be greater than UBOUND");
        if let Some(by) = self.float {
            let bound = |text: Option<&[u8]>, refusal, default| {
                let parsed =
                    text.map(|text| number::parse_f64(text).ok_or(Error::refused(refusal)));
                parsed.unwrap_or(Ok(default))
            };
            let least = bound(self.least, "ERR LBOUND is not a valid float", f64::MIN)?;
            let most = bound(self.most, "ERR UBOUND is not a valid float", f64::MAX)?;
            if least > most {
                return Err(crossed());
            }
            return Ok(Step::Float {
                by,
                least: self.least,
                most: self.most,
            });
        }
        let int = |text: Option<&[u8]>, refusal, default| {
            let parsed = text.map(|text| number::parse_i64(text).ok_or(Error::refused(refusal)));
            parsed.unwrap_or(Ok(default))
        };
        let by = self.int.map_or(Ok(1), int_increment)?;
        let least = int(
            self.least,
            "ERR LBOUND is not an integer or out of range",
            i64::MIN,
        )?;
        let most = int(
            self.most,
            "ERR UBOUND is not an integer or out of range",
            i64::MAX,
        )?;
        if least > most {
            return Err(crossed());
        }
        Ok(Step::Int { by, least, most })
    }
}

/// The argument of BYINT, which is read where it comes.
fn int_increment(text: &[u8]) -> Result<i64> {
    let refused = || Error::refused("ERR Increment is not an integer or out of range");
    number::parse_i64(text).ok_or_else(refused)
}

/// Refuses what cannot be the argument of BYFLOAT, where it comes.
fn check_float_increment(text: &[u8]) -> Result<()> {
    let refused = || Error::refused("ERR Increment is not a valid float");
    if number::parse_f64(text).ok_or_else(refused)?.is_finite() {
        Ok(())
    } else {
        Err(Error::refused("ERR BYFLOAT increment cannot be Infinity"))
    }
}

/// Takes the argument of an option that may come once.
fn once<'a>(place: &mut Option<&'a [u8]>, options: &mut Options<'a>) -> Result<()> {
    if place.is_some() {
        return Err(Error::syntax());
    }
    *place = Some(options.value()?);
    Ok(())
}

fn raise(flag: &mut bool) -> Result<()> {
    if *flag {
        return Err(Error::syntax());
    }
    *flag = true;
    Ok(())
}

fn increx(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut given = Given::default();
    let mut form = None;
    let mut options = Options::new(&args[2..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "BYINT" if given.float.is_none() => {
                once(&mut given.int, &mut options)?;
                given.int.map(int_increment).transpose()?;
            }
            "BYFLOAT" if given.int.is_none() => {
                once(&mut given.float, &mut options)?;
                given.float.map(check_float_increment).transpose()?;
            }
            "LBOUND" => once(&mut given.least, &mut options)?,
            "UBOUND" => once(&mut given.most, &mut options)?,
            "SATURATE" => raise(&mut given.saturate)?,
            "ENX" => raise(&mut given.if_no_deadline)?,
            _ if form.is_some() => return Err(Error::syntax()),
            _ => {
                let persists = option == "PERSIST";
                let mut found = DeadlineForm::default();
                found.take(option, &mut options, &["PERSIST"])?;
                form = Some((found, persists));
            }
        }
    }
    if given.if_no_deadline && matches!(form, Some((_, true))) {
        return Err(Error::syntax());
    }
    let step = given.step()?;
    if given.if_no_deadline && form.is_none() {
        return Err(Error::refused("ERR ENX flag requires an expiration"));
    }
    let deadline = match &form {
        Some((form, _)) => form.deadline("increx")?,
        None => None,
    };
    let how = How {
        saturate: given.saturate,
        deadline,
        if_no_deadline: given.if_no_deadline,
    };
    let items = match increx::step(work, args[1], step, how)? {
        Stepped::Int(value, change) => vec![Reply::Int(value), Reply::Int(change)],
        Stepped::Float(value, change) => vec![Reply::Decimal(value), Reply::Decimal(change)],
    };
    Ok(Reply::Array(items))
}
