//! Random commands of every type on three databases. The model is what the engine itself shows after a commit: recovery must
//! show the same, demotion and refusals must not change it.

mod lines;

use std::collections::BTreeMap;

use upkv::storage::ErrorKind;
use upkv::storage::testing::{Ack, Failure, Run, Workload};
use upkv::{Db, Error, Reply, Session, Store};

use super::{at_some_level, below, failure, mounted};

/// Databases that keys are moved between.
pub(crate) const DATABASES: u8 = 3;

/// Everything a user can see, by database and key.
pub(crate) type Shown = BTreeMap<(u8, Vec<u8>), String>;

/// Single commands, transactions and moves between the tiers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EveryWorkload {
    /// Also drop values from memory, which may write images.
    pub(crate) demote: bool,
    /// Only commands whose effect is a function of their arguments and of what is there.
    pub(crate) predictable: bool,
}

impl EveryWorkload {
    fn line(self, session: &mut Session, run: &Run<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let mut line = lines::random(run, self.predictable);
        // The payload of one key for another.
        if line[0] == b"RESTORE" {
            // Documents have no such payload.
            let payload = match session.command([b"DUMP", &line[3][..]]) {
                Err(error @ (Error::Restart | Error::Storage(_))) => return Err(error),
                Ok(Reply::Bulk(payload)) => payload,
                _ => return Ok(vec![b"PING".to_vec()]),
            };
            line[3] = payload.to_vec();
        }
        Ok(line)
    }

    fn act(self, session: &mut Session, run: &Run<'_>) -> Result<String, Error> {
        let database = below(run, DATABASES.into()).to_string();
        session.command(["SELECT", &database])?;
        let lines = match below(run, 5) {
            0 => 2 + below(run, 4),
            _ => 1,
        };
        let mut all = Vec::new();
        for _ in 0..lines {
            all.push(self.line(session, run)?);
        }
        let shown: Vec<String> = all.iter().map(|line| show(line)).collect();
        if let [line] = &all[..]
            && !may_wait(line)
        {
            refused_or(session.command(line))?;
        } else {
            session.command(["MULTI"])?;
            for line in &all {
                refused_or(session.command(line))?;
            }
            refused_or(session.command(["EXEC"]))?;
        }
        Ok(shown.join("; "))
    }
}

/// Two databases do the same; the values of the second leave memory before every command. Returns how many were told to.
pub(crate) fn twins(run: &Run<'_>, (hot, cold): (&Db, &Db), commands: usize) -> Result<u64, Error> {
    let workload = EveryWorkload {
        demote: true,
        predictable: true,
    };
    let sorted = |reply: Reply| match reply {
        Reply::Set(mut members) => {
            members.sort_by_key(text);
            Reply::Set(members)
        }
        reply => reply,
    };
    let (mut ours, mut theirs) = (hot.session(), cold.session());
    for _ in 0..commands {
        let line = workload.line(&mut ours, run)?;
        if may_wait(&line) {
            continue;
        }
        cold.demote_all()?;
        let expected = ours.command(&line).map(sorted);
        let found = theirs.command(&line).map(sorted);
        let line = show(&line);
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{line}");
        assert_eq!(observe(cold)?, observe(hot)?, "{line}");
    }
    Ok(cold.stats().cold_reads)
}

/// The first words of commands that never changed anything in so many attempts.
pub(crate) fn idle(run: &Run<'_>, db: &Db, attempts: usize) -> Result<Vec<String>, Error> {
    let mut idle: Vec<String> = lines::all().map(lines::title).collect();
    let workload = EveryWorkload::default();
    let mut session = db.session();
    for _ in 0..attempts {
        let line = workload.line(&mut session, run)?;
        if may_wait(&line) {
            continue;
        }
        let before = db.token().seq;
        refused_or(session.command(&line))?;
        if db.token().seq != before {
            let line = show(&line);
            idle.retain(|title| !line.starts_with(title.as_str()));
        }
    }
    Ok(idle)
}

/// Whether a command waits outside of a transaction when it finds nothing.
fn may_wait(line: &[Vec<u8>]) -> bool {
    ["BLMOVE", "BZPOPMIN"].contains(&&*String::from_utf8_lossy(&line[0]))
        || line.contains(&b"BLOCK".to_vec())
}

/// A reply of either kind, unless the store failed.
fn refused_or(outcome: Result<Reply, Error>) -> Result<(), Error> {
    match outcome {
        Err(error @ (Error::Restart | Error::Storage(_))) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn show(line: &[Vec<u8>]) -> String {
    let words: Vec<String> = line
        .iter()
        .map(|word| word.escape_ascii().to_string())
        .collect();
    words.join(" ")
}

impl Workload for EveryWorkload {
    type Engine = Db;
    type Model = Shown;

    fn empty(&self) -> Shown {
        Shown::new()
    }

    fn open(&self, store: &Store, name: &str) -> Result<Db, Failure> {
        mounted(store, name)
    }

    fn step(&self, engine: &Db, run: &Run<'_>, model: &mut Shown) -> Result<Ack, Failure> {
        let (db, ack) = at_some_level(engine, run);
        let before = db.token().seq;
        if self.demote && below(run, 4) == 0 {
            db.demote_all().map_err(|error| failure(&error))?;
            assert_eq!(
                self.observe(engine)?,
                *model,
                "values were dropped from memory"
            );
            return Ok(if db.token().seq == before {
                Ack::Unchanged
            } else {
                Ack::Memory
            });
        }
        match self.act(&mut db.session(), run) {
            Ok(shown) => {
                let seen = self.observe(engine)?;
                if db.token().seq == before {
                    assert_eq!(seen, *model, "without a commit: {shown}");
                    return Ok(Ack::Unchanged);
                }
                *model = seen;
                Ok(ack)
            }
            Err(error) => {
                if let Error::Storage(error) = &error
                    && matches!(error.kind(), ErrorKind::OutcomeUnknown { .. })
                {
                    *model = self.observe(engine)?;
                }
                Err(failure(&error))
            }
        }
    }

    fn observe(&self, db: &Db) -> Result<Shown, Failure> {
        db.audit().map_err(Failure::Damaged)?;
        observe(db).map_err(|error| failure(&error))
    }
}

/// Everything a user can see.
pub(crate) fn observe(db: &Db) -> Result<Shown, Error> {
    let mut shown = Shown::new();
    for database in 0..DATABASES {
        let db = db.database(database)?;
        for key in db.keys("*") {
            let key = key?.into_vec();
            let kind = db.kind(&key)?.map(upkv::Kind::name);
            let content = content(&db, &key, kind.expect("listed"))?;
            let deadline = db.command([b"PEXPIRETIME".as_slice(), &key])?;
            shown.insert((database, key), format!("{content} {deadline:?}"));
        }
    }
    Ok(shown)
}

fn content(db: &Db, key: &[u8], kind: &str) -> Result<String, Error> {
    let ask = |words: &str| {
        let words = words.split(' ').map(|word| match word {
            "KEY" => key,
            word => word.as_bytes(),
        });
        db.command(words.collect::<Vec<_>>())
    };
    let text = match kind {
        "string" => text(&ask("GET KEY")?),
        "list" => format!("{:?}", texts(&ask("LRANGE KEY 0 -1")?)),
        "zset" => format!("{:?}", ask("ZRANGE KEY 0 -1 WITHSCORES")?),
        "set" => {
            let mut members = texts(&ask("SMEMBERS KEY")?);
            members.sort();
            format!("{members:?}")
        }
        "hash" => {
            let mut fields = BTreeMap::new();
            for field in texts(&ask("HKEYS KEY")?) {
                let value = text(&ask(&format!("HGET KEY {field}"))?);
                let deadline = ask(&format!("HPEXPIRETIME KEY FIELDS 1 {field}"))?;
                fields.insert(field, (value, format!("{deadline:?}")));
            }
            format!("{fields:?}")
        }
        "stream" => {
            let Reply::Map(mut pairs) = ask("XINFO STREAM KEY FULL COUNT 0")? else {
                panic!("a stream is shown as a map");
            };
            // How entries are packed depends on when they were last written as a whole.
            pairs.retain(|(name, _)| !text(name).starts_with("radix-tree"));
            format!("{pairs:?}")
        }
        _ => text(&ask("JSON.GET KEY")?),
    };
    Ok(format!("{kind} {text}"))
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(value) => value.escape_ascii().to_string(),
        other => format!("{other:?}"),
    }
}

fn texts(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items.iter().map(text).collect(),
        other => panic!("{other:?} is no list"),
    }
}
