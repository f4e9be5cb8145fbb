//! Damage: flipped bits, zeroed and swapped blocks, cut files.
//!
//! The rule: damage is reported, or it hit nothing that is used. What an engine shows is then exactly what it was, or, for a store
//! that was not closed, an earlier commit: a torn tail looks like any other. Nothing panics, hangs or allocates what damaged
//! lengths ask for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Ack, Failure, History, NAME, Run, Trying, Workload, builder, now, start_clock};
use crate::storage::clock::{ManualClock, Random};
use crate::storage::vfs::MemVfs;

/// Size of a [`rot()`] run.
#[derive(Copy, Clone, Debug)]
pub struct RotOptions {
    /// Seed of the store's content.
    pub seed: u64,
    /// Operations before the damage.
    pub steps: usize,
    /// Every so many bytes one bit is flipped, and the file is cut there; 1 for each byte.
    pub stride: usize,
    /// Whether the store was closed before the damage.
    pub closed: bool,
}

/// What a [`rot()`] run did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RotReport {
    /// Damages done.
    pub damages: u64,
    /// Of these, how many were reported.
    pub reported: u64,
    /// Of these, how many hit nothing in use.
    pub harmless: u64,
    /// Of these, how many made an unclosed store show an earlier commit.
    pub shortened: u64,
}

/// Damages every byte of a small store.
///
/// # Panics
///
/// If damage influences what the engine shows without being reported.
pub fn rot<W: Workload>(workload: &W, options: &RotOptions) -> RotReport {
    let random = Random::seeded(options.seed);
    let clock = start_clock();
    let (disk, history) = prepare(workload, options, &clock, &random);
    let mut report = RotReport::default();
    let files: Vec<(PathBuf, Vec<u8>)> = disk
        .contents()
        .into_iter()
        .filter(|(path, _)| !path.ends_with("LOCK") && !path.ends_with("RESERVE"))
        .collect();
    for (path, intact) in &files {
        let mut attempt = |label: &str, bytes: Vec<u8>| {
            if bytes != *intact {
                let _trying = Trying(|| format!("{} with {label}", path.display()));
                let damaged = disk.copy();
                damaged.put(path, bytes);
                judge(workload, options, &history, &clock, damaged, &mut report);
            }
        };
        damages(path, intact, options.stride.max(1), &files, &mut attempt);
        let _trying = Trying(|| format!("{} missing", path.display()));
        let damaged = disk.copy();
        crate::storage::vfs::Vfs::unlink(&damaged, path).expect("the file is there");
        judge(workload, options, &history, &clock, damaged, &mut report);
    }
    report
}

/// Hands every damaged version of a file to `attempt`.
fn damages(
    path: &Path,
    intact: &[u8],
    stride: usize,
    files: &[(PathBuf, Vec<u8>)],
    attempt: &mut dyn FnMut(&str, Vec<u8>),
) {
    const BLOCK: usize = 512;
    // Zeros behind the last frame are tried more sparsely: nothing tells one from the other.
    let used = intact.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    let sparse = (used.next_multiple_of(BLOCK)..intact.len()).step_by(997);
    for at in (0..used).step_by(stride).chain(sparse) {
        let mut bytes = intact.to_vec();
        let bit = at * 7 % 8;
        bytes[at] ^= 1 << bit;
        attempt(&format!("bit {bit} of byte {at} flipped"), bytes);
        attempt(
            &format!("its bytes from {at} on cut off"),
            intact[..at].to_vec(),
        );
    }
    for start in (0..used).step_by(BLOCK) {
        let end = intact.len().min(start + BLOCK);
        let mut zeroed = intact.to_vec();
        zeroed[start..end].fill(0);
        attempt(&format!("zeros from {start} to {end}"), zeroed);
        let other = start + BLOCK;
        if other + BLOCK <= used {
            let mut swapped = intact.to_vec();
            let (left, right) = swapped.split_at_mut(other);
            left[start..].swap_with_slice(&mut right[..BLOCK]);
            attempt(&format!("blocks at {start} and {other} swapped"), swapped);
        }
    }
    let mut longer = intact.to_vec();
    longer.extend_from_slice(&[0xa5; 700]);
    attempt("700 foreign bytes appended", longer);
    let same_kind =
        |other: &&(PathBuf, Vec<u8>)| other.0 != path && other.0.extension() == path.extension();
    if let Some((other, content)) = files.iter().find(same_kind) {
        attempt(
            &format!("the content of {}", other.display()),
            content.clone(),
        );
    }
}

fn prepare<W: Workload>(
    workload: &W,
    options: &RotOptions,
    clock: &ManualClock,
    random: &Random,
) -> (MemVfs, History<W::Model>) {
    let disk = MemVfs::new();
    let mut history = History::new(workload.empty(), now(clock));
    let store = builder(workload, Arc::new(disk.clone()), clock, random.next_u64()).open();
    let store = store.unwrap_or_else(|e| panic!("the store does not open: {e}"));
    let engine = workload
        .open(&store, NAME)
        .unwrap_or_else(|e| panic!("{e}"));
    for step in 0..options.steps {
        let mut model = history.last().model.clone();
        let run = Run {
            random,
            clock,
            store: &store,
        };
        let ack = workload.step(&engine, &run, &mut model);
        if ack.unwrap_or_else(|e| panic!("step {step}: {e}")) > Ack::Unchanged {
            history.begin(model, now(clock), 0);
        }
        // One checkpoint in the middle: both the checkpoint and the log after it are in use.
        if step == options.steps / 2 {
            store.checkpoint().unwrap_or_else(|e| panic!("{e}"));
        }
    }
    if options.closed {
        store
            .close()
            .unwrap_or_else(|e| panic!("the store does not close: {e}"));
        return (disk, history);
    }
    store
        .wait_durable(store.token().seq)
        .unwrap_or_else(|e| panic!("{e}"));
    (disk.copy(), history)
}

fn judge<W: Workload>(
    workload: &W,
    options: &RotOptions,
    history: &History<W::Model>,
    clock: &ManualClock,
    disk: MemVfs,
    report: &mut RotReport,
) {
    report.damages += 1;
    let open = || -> Result<W::Model, Failure> {
        let store = builder(workload, Arc::new(disk), clock, 1).open()?;
        let engine = workload.open(&store, NAME)?;
        workload.observe(&engine)
    };
    match open() {
        Err(Failure::Damaged(_)) => report.reported += 1,
        Err(other) => panic!("damage answers {other}"),
        Ok(seen) if seen == history.last().model => report.harmless += 1,
        Ok(seen) => {
            let last = history.entries.len() - 1;
            let found = history.find(&seen, (0, last));
            assert!(found.is_some(), "shows what never was: {seen:?}");
            assert!(!options.closed, "silently shows commit {found:?} of {last}");
            report.shortened += 1;
        }
    }
}
