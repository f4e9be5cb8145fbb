//! Reading whole RDB files into the databases of a mount.

use std::io::{BufReader, Read};

use super::source::{Result, Source};
use super::{RdbError, Text, VERSION_MAX, Value, code, read};
use crate::db::Db;
use crate::keyspace::engine::{DATABASES, Keys};

/// Keys and bytes of one commit.
const BATCH_KEYS: usize = 256;
const BATCH_BYTES: u64 = 1 << 20;
/// First version with a checksum at the end.
const VERSION_CHECKSUM: u32 = 5;

const SLOT: u8 = 244;
const FUNCTION: u8 = 245;
const MODULE_AUX: u8 = 247;
const IDLE: u8 = 248;
const FREQUENCY: u8 = 249;
const AUX: u8 = 250;
const SIZES: u8 = 251;
const DEADLINE_MS: u8 = 252;
const DEADLINE_SECONDS: u8 = 253;
const DATABASE: u8 = 254;
const END: u8 = 255;

/// What [`Db::import_rdb`] found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Keys that were set.
    pub keys: u64,
    /// Keys whose deadline had passed; they were left out.
    pub expired: u64,
    /// Keys, by database and name, of types that are not supported, and the name of the type.
    pub skipped: Vec<(u8, Vec<u8>, String)>,
    /// Libraries of functions, which were left out.
    pub functions: u64,
}

/// One key of a file.
struct Record {
    key: Text,
    value: Value,
    deadline: u64,
}

/// Keys that wait for their commit.
struct Batch<'d> {
    db: &'d Db,
    to: Db,
    records: Vec<Record>,
    start: u64,
    report: ImportReport,
}

impl Db {
    /// Reads an RDB file, as `SAVE` of Redis 2.6 to 8 and [`Db::export_rdb`] write it, into the 16 databases
    /// of the mount. Keys that exist are replaced, others stay.
    ///
    /// Keys are committed in batches while the file is read: after an error those before it are there.
    /// Values of modules are skipped and reported.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rdb`]: the file is damaged, cut off, or newer than what is known.
    /// [`crate::Error::OutOfMemory`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n) in the file; memory for its largest value and one batch.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let from = Db::mount(&Store::memory()?, "cache")?;
    /// from.set("name", "ada")?;
    /// let mut file = Vec::new();
    /// from.export_rdb(&mut file)?;
    /// let to = Db::mount(&Store::memory()?, "cache")?;
    /// let report = to.import_rdb(&file[..])?;
    /// assert_eq!(report.keys, 1);
    /// assert_eq!(to.get("name")?.expect("imported"), "ada");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn import_rdb(&self, input: impl Read) -> crate::Result<ImportReport> {
        let mut input = BufReader::new(input);
        let mut source = Source::new(&mut input);
        let mut batch = Batch {
            db: self,
            to: self.database(0)?,
            records: Vec::new(),
            start: 0,
            report: ImportReport::default(),
        };
        let outcome = file(&mut source, &mut batch);
        // What was read before an error stays, as documented.
        batch.flush()?;
        outcome.map(|()| batch.report)
    }
}

fn version(source: &mut Source<'_>) -> Result<u32> {
    let head: [u8; 9] = source.array().map_err(|error| match error {
        RdbError::Truncated { .. } => RdbError::NotRdb,
        other => other,
    })?;
    let digits = head.strip_prefix(b"REDIS").ok_or(RdbError::NotRdb)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(RdbError::NotRdb);
    }
    let version = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    match version {
        0 => Err(RdbError::NotRdb),
        1..=VERSION_MAX => Ok(version),
        _ => Err(RdbError::Version(version)),
    }
}

fn file(source: &mut Source<'_>, batch: &mut Batch<'_>) -> crate::Result<()> {
    let version = version(source)?;
    let mut deadline = None;
    loop {
        match source.u8()? {
            DEADLINE_MS => deadline = Some(source.i64()?),
            DEADLINE_SECONDS => {
                let seconds = source.u32()?.cast_signed();
                deadline = Some(i64::from(seconds) * 1000);
            }
            IDLE => drop(source.length()?),
            FREQUENCY => drop(source.u8()?),
            DATABASE => {
                let index = u8::try_from(source.length()?).ok();
                let index = index.filter(|index| *index < DATABASES);
                let index = index.ok_or_else(|| source.malformed("a database below 16"))?;
                batch.flush()?;
                batch.to = batch.db.database(index)?;
            }
            SIZES => {
                source.length()?;
                source.length()?;
            }
            SLOT => {
                for _ in 0..3 {
                    source.length()?;
                }
            }
            AUX => {
                source.string()?;
                source.string()?;
            }
            FUNCTION => {
                source.string()?;
                batch.report.functions += 1;
            }
            MODULE_AUX => {
                source.length()?;
                skip_module_parts(source)?;
            }
            END => break,
            code => {
                let key = source.string()?;
                batch.take(source, code, key, deadline.take())?;
            }
        }
    }
    let computed = source.checksum();
    if version >= VERSION_CHECKSUM {
        let told = source.u64()?;
        // Servers can be told not to compute it; then it is 0.
        if told != 0 && told != computed {
            return Err(RdbError::Checksum.into());
        }
    }
    Ok(())
}

impl Batch<'_> {
    fn take(
        &mut self,
        source: &mut Source<'_>,
        code: u8,
        key: Text,
        deadline: Option<i64>,
    ) -> crate::Result<()> {
        if code == code::MODULE {
            let name = module_name(source.length()?);
            skip_module_parts(source)?;
            self.report.skipped.push((self.to.index, key, name));
            return Ok(());
        }
        let value = read::value(source, code)?;
        if value.is_empty() {
            // Old servers could write empty collections; no key holds one.
            return Ok(());
        }
        let deadline = match deadline {
            None => 0,
            // A time before 1970, or 1970 itself, has passed.
            Some(at) => u64::try_from(at).unwrap_or(0).max(1),
        };
        self.records.push(Record {
            key,
            value,
            deadline,
        });
        if self.records.len() >= BATCH_KEYS || source.at() - self.start >= BATCH_BYTES {
            self.start = source.at();
            self.flush()?;
        }
        Ok(())
    }

    /// Commits what was read.
    fn flush(&mut self) -> crate::Result<()> {
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return Ok(());
        }
        let db = &self.to;
        db.engine.check_room()?;
        let keys: Vec<&[u8]> = records.iter().map(|record| &record.key[..]).collect();
        let counted = db
            .engine
            .run(db.index, db.level, Keys::Many(&keys), |work| {
                let (now, mut keys, mut expired) = (work.now, 0, 0);
                let mut skipped = Vec::new();
                for record in &records {
                    if record.deadline != 0 && record.deadline <= now {
                        expired += 1;
                        continue;
                    }
                    match super::fresh(&record.value, &work.engine.hashers, now) {
                        Ok(object) if object.is_empty_collection() => expired += 1,
                        Ok(object) => {
                            work.put(&record.key, object, record.deadline)?;
                            keys += 1;
                        }
                        Err(kind) => {
                            skipped.push((db.index, record.key.clone(), kind.name().into()));
                        }
                    }
                }
                Ok((keys, expired, skipped))
            })?;
        self.report.keys += counted.0;
        self.report.expired += counted.1;
        self.report.skipped.extend(counted.2);
        Ok(())
    }
}

/// The nine characters that a module's id holds above its version.
fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |at: u32| char::from(LETTERS[(id >> (10 + 6 * at) & 63) as usize]);
    (0..9).rev().map(letter).collect()
}

/// Steps over what a module wrote: parts that each tell their form, up to an end.
fn skip_module_parts(source: &mut Source<'_>) -> Result<()> {
    loop {
        match source.length()? {
            0 => return Ok(()),
            1 | 2 => drop(source.length()?),
            3 => drop(source.array::<4>()?),
            4 => drop(source.array::<8>()?),
            5 => drop(source.string()?),
            _ => return Err(source.malformed("a part of a module's value")),
        }
    }
}
