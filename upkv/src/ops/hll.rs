//! `HyperLogLogs`: sets of which only the approximate size is known.
//!
//! Only the registers that change go to the log, because an HLL is a string that is changed in place.

use super::{check_size, string};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::value::hll::{Hll, REGISTERS, estimate};

/// The HLL at `key`.
pub(crate) fn read(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Hll>> {
    let bytes = string::get(work, key)?;
    bytes.map(|bytes| Hll::parse(&bytes)).transpose()
}

/// Stores a changed HLL: the parts that differ, or all of it.
fn store(work: &mut Work<'_>, key: &[u8], hll: &Hll) -> Result<()> {
    /// Equal bytes after which a difference counts as a new one.
    const GAP_BYTES: usize = 8;
    let new = hll.bytes();
    let old = string::get(work, key)?;
    let Some(old) = old.filter(|old| old.len() == new.len()) else {
        let before = string::len(work, key)?;
        return string::write(work, key, 0, before, new).map(drop);
    };
    let mut changes: Vec<std::ops::Range<usize>> = Vec::new();
    for at in (0..new.len()).filter(|at| old[*at] != new[*at]) {
        match changes.last_mut() {
            Some(last) if at - last.end < GAP_BYTES => last.end = at + 1,
            _ => changes.push(at..at + 1),
        }
    }
    if changes.is_empty() {
        // A merge counts as a change, for those who watch the key, even if it brings nothing.
        changes.push(0..1);
    }
    // The old bytes must not be shared while they are changed in place.
    drop(old);
    for change in changes {
        string::write(work, key, change.start, change.len(), &new[change])?;
    }
    Ok(())
}

/// Counts elements; whether the estimate may have changed. Creates the key even without elements.
///
/// # Complexity
///
/// O(1) an element in the dense form, O(bytes) in the sparse one.
pub(crate) fn add(work: &mut Work<'_>, key: &[u8], elements: &[&[u8]]) -> Result<bool> {
    check_size(key)?;
    let found = read(work, key)?;
    let mut changed = found.is_none();
    let mut hll = found.unwrap_or_else(Hll::new);
    for element in elements {
        changed |= hll.add(element)?;
    }
    if changed {
        hll.mark_stale();
        store(work, key, &hll)?;
        work.notify(Class::STRING, "pfadd", key);
    }
    Ok(changed)
}

/// The registers of the union of HLLs, and whether one of them is dense.
fn union(work: &mut Work<'_>, keys: &[&[u8]]) -> Result<(Vec<u8>, bool)> {
    let (mut union, mut dense) = (vec![0; REGISTERS], false);
    for key in keys {
        let Some(hll) = read(work, key)? else {
            continue;
        };
        dense |= hll.is_dense();
        for (all, one) in union.iter_mut().zip(hll.registers()?) {
            *all = one.max(*all);
        }
    }
    Ok((union, dense))
}

/// The estimated number of distinct elements in all of the HLLs.
///
/// # Complexity
///
/// O(keys), with a large constant.
pub(crate) fn count(work: &mut Work<'_>, keys: &[&[u8]]) -> Result<u64> {
    if let [key] = keys {
        let Some(mut hll) = read(work, key)? else {
            return Ok(0);
        };
        let count = hll.count()?;
        if hll.is_stale() {
            // As in Redis the value remembers it, which whoever watches the key sees as a change.
            hll.keep_count(count);
            store(work, key, &hll)?;
        }
        return Ok(count);
    }
    Ok(estimate::count(&union(work, keys)?.0))
}

/// Adds what `sources` count to the HLL at `target`.
///
/// # Complexity
///
/// O(sources), with a large constant.
pub(crate) fn merge(work: &mut Work<'_>, target: &[u8], sources: &[&[u8]]) -> Result<()> {
    check_size(target)?;
    let all = [&[target], sources].concat();
    let (union, dense) = union(work, &all)?;
    let mut hll = read(work, target)?.unwrap_or_else(Hll::new);
    if dense {
        hll.densify()?;
    }
    for (index, rank) in union.iter().enumerate().filter(|(_, rank)| **rank > 0) {
        hll.raise(index, *rank)?;
    }
    hll.mark_stale();
    store(work, target, &hll)?;
    // As Redis names it.
    work.notify(Class::STRING, "pfadd", target);
    Ok(())
}

/// Changes the HLL at `key` to the dense form; whether it was sparse.
pub(crate) fn densify(work: &mut Work<'_>, key: &[u8]) -> Result<bool> {
    let mut hll = existing(work, key)?;
    if hll.is_dense() {
        return Ok(false);
    }
    hll.densify()?;
    store(work, key, &hll)?;
    Ok(true)
}

/// The HLL at a key that must exist.
pub(crate) fn existing(work: &mut Work<'_>, key: &[u8]) -> Result<Hll> {
    let missing = || Error::refused("ERR The specified key does not exist");
    read(work, key)?.ok_or_else(missing)
}
