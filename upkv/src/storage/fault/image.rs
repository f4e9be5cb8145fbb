//! What a power cut may leave of the operations recorded before it.
//!
//! Each operation not covered by a sync is cut into units that persist or not, one by one: the 512-byte sectors of a write, a
//! change of length, a change of names. Invariant: an image holds everything that was synced, and of the rest exactly the units
//! that were chosen, applied in their order.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::sim::{Base, Operation};
use super::state::State;
use crate::storage::clock::Random;
use crate::storage::vfs::MemVfs;

const SECTOR: u64 = 512;
/// Up to this many units, every subset is tried.
const EXHAUSTIVE_UNITS: usize = 6;

/// A power cut at one place of the recording.
#[derive(Debug)]
pub struct CrashPoint {
    base: Arc<Base>,
    log: Vec<Operation>,
    /// Per operation, whether a later sync made it durable.
    forced: Vec<bool>,
    /// What is open, in the order of the operations.
    units: Vec<Unit>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Unit {
    operation: usize,
    /// The bytes of a write that this sector holds.
    from: usize,
    to: usize,
    kind: UnitKind,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum UnitKind {
    Data,
    Length,
    Name,
}

/// One state of the disk after a power cut.
#[derive(Clone)]
pub struct Image {
    disk: MemVfs,
    label: String,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl Image {
    /// The disk; each image has its own.
    pub fn disk(&self) -> &MemVfs {
        &self.disk
    }

    /// Which units persisted, for the message of a failure.
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// How units that did not persist look.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Dropped {
    /// What was there before.
    Old,
    /// Random bytes, from this seed.
    Garbage(u64),
}

impl CrashPoint {
    pub(super) fn new(base: Arc<Base>, log: Vec<Operation>) -> Self {
        let forced = forced(&log);
        let mut units = Vec::new();
        for (operation, done) in log.iter().enumerate() {
            if forced[operation] {
                continue;
            }
            let mut whole = |kind| {
                units.push(Unit {
                    operation,
                    from: 0,
                    to: 0,
                    kind,
                });
            };
            match done {
                Operation::Write { offset, bytes, .. } => {
                    units.extend(sectors(operation, *offset, bytes.len()));
                }
                Operation::Length { .. } => whole(UnitKind::Length),
                Operation::Name { .. } | Operation::Unlink { .. } => whole(UnitKind::Name),
                Operation::CreateDir { .. }
                | Operation::SyncData { .. }
                | Operation::SyncDir { .. } => {}
            }
        }
        Self {
            base,
            log,
            forced,
            units,
        }
    }

    /// How many things may or may not have persisted.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// The state in which exactly the units chosen persisted; `chosen` is padded with its last value.
    pub fn image(&self, chosen: &[bool]) -> Image {
        self.build("chosen", chosen, Dropped::Old, None)
    }

    /// At most about `most` states: none and all, each unit missing or alone, oldest first and newest first, lengths and names
    /// without data and data without them, the last write torn inside a sector, garbage where data was lost, and random
    /// subsets; every subset if there are few units, and a random choice of all this if `most` is small.
    pub fn images(&self, random: &Random, most: usize) -> Vec<Image> {
        const SYSTEMATIC: usize = 24;
        let n = self.units.len();
        if n == 0 {
            return vec![self.build("none", &[false], Dropped::Old, None)];
        }
        if most < SYSTEMATIC {
            return (0..most).map(|_| self.any(random)).collect();
        }
        let mut out = vec![
            self.build("none", &[false], Dropped::Old, None),
            self.build("all", &[true], Dropped::Old, None),
        ];
        if n <= EXHAUSTIVE_UNITS && 1 << n <= most {
            for set in 1..(1_u32 << n) - 1 {
                let chosen: Vec<bool> = (0..n).map(|i| (set >> i) & 1 == 1).collect();
                out.push(self.build("subset", &chosen, Dropped::Old, None));
            }
            self.tears(random, &mut out);
            return out;
        }
        out.push(self.build("no data", &self.of_kind(false), Dropped::Old, None));
        out.push(self.build("only data", &self.of_kind(true), Dropped::Old, None));
        self.tears(random, &mut out);
        let room = most.saturating_sub(out.len());
        // A fifth each for four systematic families, the rest at random.
        let step = (n * 5).div_ceil(room.max(1)).max(1);
        for i in (below(random, step)..n).step_by(step) {
            for family in ["missing", "alone", "prefix", "newest"] {
                out.push(self.around(family, i));
            }
        }
        while out.len() < most {
            out.push(self.subset(random));
        }
        out
    }

    /// One state of a random family.
    fn any(&self, random: &Random) -> Image {
        let i = below(random, self.units.len());
        match random.below(12) {
            0 => self.build("none", &[false], Dropped::Old, None),
            1 => self.build("all", &[true], Dropped::Old, None),
            2 => self.build("no data", &self.of_kind(false), Dropped::Old, None),
            3 => self.build("only data", &self.of_kind(true), Dropped::Old, None),
            4 | 5 => {
                let mut torn = Vec::new();
                self.tears(random, &mut torn);
                let pick = below(random, torn.len().max(1));
                torn.into_iter()
                    .nth(pick)
                    .unwrap_or_else(|| self.subset(random))
            }
            6 => self.around("missing", i),
            7 => self.around("alone", i),
            8 => self.around("prefix", i),
            9 => self.around("newest", i),
            _ => self.subset(random),
        }
    }

    fn of_kind(&self, data: bool) -> Vec<bool> {
        self.units
            .iter()
            .map(|unit| (unit.kind == UnitKind::Data) == data)
            .collect()
    }

    fn around(&self, family: &str, i: usize) -> Image {
        let keep = |j: usize| match family {
            "missing" => j != i,
            "alone" => j == i,
            "prefix" => j <= i,
            _ => j >= i,
        };
        let chosen: Vec<bool> = (0..self.units.len()).map(keep).collect();
        self.build(family, &chosen, Dropped::Old, None)
    }

    /// A sparse, even or dense random subset.
    fn subset(&self, random: &Random) -> Image {
        let odds = 1 + random.below(7);
        let chosen: Vec<bool> = self.units.iter().map(|_| random.below(8) < odds).collect();
        self.build("random", &chosen, Dropped::Old, None)
    }

    /// The last write torn at each of its sectors and inside one; garbage in sectors that were lost.
    fn tears(&self, random: &Random, out: &mut Vec<Image>) {
        let is_data = |unit: &&Unit| unit.kind == UnitKind::Data;
        let Some(last) = self.units.iter().rev().find(is_data) else {
            return;
        };
        let first = self
            .units
            .iter()
            .position(|unit| unit.operation == last.operation);
        let first = first.unwrap_or(0);
        let count = self.units[first..]
            .iter()
            .filter(|u| u.operation == last.operation)
            .count();
        let step = count.div_ceil(8).max(1);
        for torn in (0..count).step_by(step) {
            let chosen: Vec<bool> = (0..self.units.len()).map(|i| i < first + torn).collect();
            out.push(self.build("torn", &chosen, Dropped::Old, None));
            let inside = Some((first + torn, random.next_u64()));
            out.push(self.build("torn inside a sector", &chosen, Dropped::Old, inside));
        }
        let chosen: Vec<bool> = self
            .units
            .iter()
            .map(|u| !is_data(&u) || random.below(2) == 0)
            .collect();
        let garbage = Dropped::Garbage(random.next_u64());
        out.push(self.build("garbage", &chosen, garbage, None));
    }

    /// `torn` is a unit of which only a part persisted: its index, and a number that picks the part.
    fn build(
        &self,
        family: &str,
        chosen: &[bool],
        dropped: Dropped,
        torn: Option<(usize, u64)>,
    ) -> Image {
        let mut state = State::new(&self.base);
        let garbage = match dropped {
            Dropped::Old => None,
            Dropped::Garbage(seed) => Some(Random::seeded(seed)),
        };
        let kept = |i: usize| chosen.get(i).or(chosen.last()).copied().unwrap_or(false);
        let mut next = 0;
        for (operation, done) in self.log.iter().enumerate() {
            if self.forced[operation] {
                state.apply(done);
                continue;
            }
            while let Some(unit) = self.units.get(next).filter(|u| u.operation == operation) {
                match (done, kept(next), &garbage) {
                    (
                        Operation::Write {
                            inode,
                            offset,
                            bytes,
                        },
                        true,
                        _,
                    ) => {
                        let part = &bytes[unit.from..unit.to];
                        state.write(*inode, *offset + unit.from as u64, part);
                    }
                    (Operation::Write { inode, offset, .. }, false, Some(random)) => {
                        let part: Vec<u8> = (unit.from..unit.to)
                            .map(|_| random.next_u64().to_le_bytes()[0])
                            .collect();
                        state.write(*inode, *offset + unit.from as u64, &part);
                    }
                    (
                        Operation::Write {
                            inode,
                            offset,
                            bytes,
                        },
                        false,
                        None,
                    ) => {
                        if let Some((_, pick)) = torn.filter(|(index, _)| *index == next) {
                            let part = &bytes[unit.from..unit.to];
                            let n = usize::try_from(pick % (part.len() as u64 + 1)).unwrap_or(0);
                            state.write(*inode, *offset + unit.from as u64, &part[..n]);
                        }
                    }
                    (other, true, _) => state.apply(other),
                    (_, false, _) => {}
                }
                next += 1;
            }
        }
        let which: String = (0..self.units.len().min(64))
            .map(|i| u8::from(kept(i)))
            .fold(String::new(), |mut text, bit| {
                text.push(char::from(b'0' + bit));
                text
            });
        let label = format!("{family}, {} of {which}", self.units.len());
        Image {
            disk: state.into_disk(),
            label,
        }
    }
}

fn below(random: &Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("below a usize")
}

/// Marks the operations that a later sync covers: data and length by a sync of the file, names by a sync of their directory.
fn forced(log: &[Operation]) -> Vec<bool> {
    let mut forced = vec![false; log.len()];
    let mut files: BTreeSet<u64> = BTreeSet::new();
    let mut dirs: BTreeSet<&Path> = BTreeSet::new();
    for (at, operation) in log.iter().enumerate().rev() {
        let in_synced = |path: &Path, dirs: &BTreeSet<&Path>| {
            dirs.contains(path.parent().unwrap_or(Path::new("")))
        };
        forced[at] = match operation {
            Operation::SyncData { inode } => {
                files.insert(*inode);
                true
            }
            Operation::SyncDir { dir } => {
                dirs.insert(dir);
                true
            }
            Operation::Write { inode, .. } | Operation::Length { inode, .. } => {
                files.contains(inode)
            }
            Operation::Name { path, .. } | Operation::Unlink { path } => in_synced(path, &dirs),
            // Durable when made: that is part of the contract of the call.
            Operation::CreateDir { .. } => true,
        };
    }
    forced
}

fn sectors(operation: usize, offset: u64, len: usize) -> impl Iterator<Item = Unit> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = offset + from as u64;
        let room = usize::try_from(SECTOR - start % SECTOR).unwrap_or(len);
        let to = len.min(from + room);
        let unit = Unit {
            operation,
            from,
            to,
            kind: UnitKind::Data,
        };
        let some = from < len;
        from = to;
        some.then_some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::super::sim::SimVfs;
    use super::*;
    use crate::storage::vfs::OpenHow;
    use crate::storage::vfs::Vfs;
    use std::io::IoSlice;

    fn read(image: &Image, path: &str) -> Option<Vec<u8>> {
        image.disk().contents().remove(Path::new(path))
    }

    /// A synced file `f` of 1024 times `a`, then an unsynced write of 1024 times `b` over it.
    fn overwritten() -> SimVfs {
        let sim = SimVfs::new();
        let file = sim.open(Path::new("d/f"), OpenHow::Create);
        assert!(file.is_err(), "its directory is missing");
        sim.create_dir(Path::new("d")).unwrap();
        let file = sim.open(Path::new("d/f"), OpenHow::Create).unwrap();
        file.write_at(0, &[IoSlice::new(&[b'a'; 1024])]).unwrap();
        file.sync_data().unwrap();
        sim.sync_dir(Path::new("d")).unwrap();
        file.write_at(256, &[IoSlice::new(&[b'b'; 1024])]).unwrap();
        sim
    }

    #[test]
    fn sectors_and_length_persist_apart() {
        let sim = overwritten();
        let point = sim.crash_point(sim.operations());
        assert_eq!(point.units(), 4, "three sectors and the length");
        let expect = |chosen: &[bool], runs: &[(u8, usize)]| {
            let want: Vec<u8> = runs.iter().flat_map(|(b, n)| vec![*b; *n]).collect();
            assert_eq!(
                read(&point.image(chosen), "d/f").unwrap(),
                want,
                "{chosen:?}"
            );
        };
        expect(&[false], &[(b'a', 1024)]);
        expect(&[true], &[(b'a', 256), (b'b', 1024)]);
        expect(
            &[true, false, true, false],
            &[(b'a', 0), (b'a', 256), (b'b', 256), (b'a', 512)],
        );
        expect(&[false, false, false, true], &[(b'a', 1024), (0, 256)]);
        expect(
            &[false, true, false, true],
            &[(b'a', 512), (b'b', 512), (0, 256)],
        );
    }

    #[test]
    fn synced_things_are_in_every_image() {
        let sim = overwritten();
        let random = Random::seeded(1);
        for cut in 0..=sim.operations() {
            for image in sim.crash_point(cut).images(&random, 100) {
                let content = read(&image, "d/f");
                // Five operations, then the sync of the directory.
                if cut >= 6 {
                    let content = content.expect("name and content were synced");
                    assert!(
                        content.len() >= 1024 && content[..256] == [b'a'; 256],
                        "{image:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn names_wait_for_their_directory() {
        let sim = overwritten();
        sim.open(Path::new("d/new"), OpenHow::Create)
            .unwrap()
            .sync_data()
            .unwrap();
        sim.rename(Path::new("d/new"), Path::new("d/f")).unwrap();
        let point = sim.crash_point(sim.operations());
        let n = point.units();
        let only_rename: Vec<bool> = (0..n).map(|i| i == n - 1).collect();
        let image = point.image(&only_rename);
        assert_eq!(
            read(&image, "d/f").unwrap(),
            b"",
            "a rename is atomic and needs no create"
        );
        assert_eq!(read(&image, "d/new"), None);
        let mut without_rename = vec![true; n];
        without_rename[n - 1] = false;
        let image = point.image(&without_rename);
        assert_eq!(
            (read(&image, "d/f").unwrap().len(), read(&image, "d/new")),
            (1280, Some(vec![]))
        );
        sim.sync_dir(Path::new("d")).unwrap();
        let image = sim.crash_point(sim.operations()).image(&[false]);
        assert_eq!(read(&image, "d/f").unwrap(), b"");
    }

    #[test]
    fn few_units_give_every_subset_and_many_give_every_family() {
        let sim = overwritten();
        let random = Random::seeded(2);
        let images = sim.crash_point(sim.operations()).images(&random, 1_000);
        let subsets: BTreeSet<Vec<u8>> = images.iter().filter_map(|i| read(i, "d/f")).collect();
        assert!(subsets.len() >= 12, "{}", subsets.len());
        let file = sim.open(Path::new("d/f"), OpenHow::Write).unwrap();
        for i in 0..20_u8 {
            file.write_at(u64::from(i) * 600, &[IoSlice::new(&[i; 600])])
                .unwrap();
        }
        let images = sim.crash_point(sim.operations()).images(&random, 200);
        assert_eq!(images.len(), 200);
        for family in [
            "none",
            "all",
            "missing",
            "alone",
            "prefix",
            "newest",
            "torn",
            "garbage",
            "random",
            "no data",
            "only data",
        ] {
            assert!(
                images.iter().any(|i| i.label().starts_with(family)),
                "{family}"
            );
        }
    }
}
