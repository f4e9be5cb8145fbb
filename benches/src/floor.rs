//! What the machine can do at best: the figures that nothing measured here can beat.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::engine::log::bare::BareLog;
use crate::engine::log::{Level, LogEngine};
use crate::measure::{Effort, Samples, nanos_per};
use crate::workload::Rng;

/// One floor, with the median and p99 of its runs.
#[derive(Clone, Debug)]
pub struct Floor {
    /// What it is.
    pub name: &'static str,
    /// Nanoseconds.
    pub nanos: Samples,
}

/// All floors, measured in `dir`.
pub fn measure(dir: &Path, effort: Effort) -> Result<Vec<Floor>> {
    Ok(vec![
        Floor {
            name: "fdatasync after an append of 128 bytes",
            nanos: sync_latency(dir, effort)?,
        },
        Floor {
            name: "dependent load from DRAM (256 MiB ring)",
            nanos: load_latency(effort, 256 << 20)?,
        },
        Floor {
            name: "dependent load from the last-level cache (8 MiB ring)",
            nanos: load_latency(effort, 8 << 20)?,
        },
        Floor {
            name: "random read of 4 KiB, page cache bypassed",
            nanos: read_latency(dir, effort)?,
        },
    ])
}

/// Each sample is one append with its sync.
fn sync_latency(dir: &Path, effort: Effort) -> Result<Samples> {
    let path = dir.join("floor-sync");
    let log = BareLog::growing(&path)?;
    let samples = (0..effort.pick(1_000, 200))
        .map(|_| nanos_per(1, |_| log.append(&[7; 128], Level::Disk)))
        .collect::<Result<_>>()?;
    std::fs::remove_file(path)?;
    Ok(Samples::new(samples))
}

/// A ring through all lines of a block in random order: each load needs the one before.
fn load_latency(effort: Effort, bytes: usize) -> Result<Samples> {
    const LINE: usize = 16;
    let lines = bytes / 64;
    let mut order: Vec<u32> = (0..lines as u32).collect();
    let mut rng = Rng::new(1);
    for i in (1..lines).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let mut next = vec![0u32; lines * LINE];
    for (i, &line) in order.iter().enumerate() {
        next[line as usize * LINE] = order[(i + 1) % lines];
    }
    let steps = effort.pick(4_000_000, 500_000);
    let mut at = 0;
    let mut run = || {
        nanos_per(steps, |_| {
            at = next[at as usize * LINE];
            Ok(())
        })
    };
    run()?;
    let samples = (0..effort.rounds).map(|_| run()).collect::<Result<_>>()?;
    std::hint::black_box(at);
    Ok(Samples::new(samples))
}

/// Each sample is one read that goes to the device.
fn read_latency(dir: &Path, effort: Effort) -> Result<Samples> {
    const PAGE: usize = 4096;
    let path = dir.join("floor-read");
    let bytes = effort.pick(1 << 30, 128 << 20);
    let file = File::create(&path)?;
    let chunk = vec![0x5A; 1 << 20];
    for at in (0..bytes).step_by(chunk.len()) {
        file.write_all_at(&chunk, at)?;
    }
    file.sync_all()?;
    let flags = rustix::fs::OFlags::DIRECT.bits();
    let direct = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(&path);
    // Not every file system reads past its cache; tmpfs, for one, is nothing but cache.
    let file = match direct {
        Ok(file) => file,
        Err(_) => File::open(&path)?,
    };
    let mut block = vec![0; 2 * PAGE];
    let aligned = block.as_ptr().align_offset(PAGE);
    let page = &mut block[aligned..aligned + PAGE];
    let mut rng = Rng::new(2);
    let samples = (0..effort.pick(4_000, 500))
        .map(|_| {
            let at = rng.below(bytes / PAGE as u64) * PAGE as u64;
            let start = Instant::now();
            file.read_exact_at(page, at)?;
            Ok(start.elapsed().as_nanos() as f64)
        })
        .collect::<Result<_>>()?;
    std::fs::remove_file(path)?;
    Ok(Samples::new(samples))
}
