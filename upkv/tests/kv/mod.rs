//! The key-value engine as a workload for the crash harness: random operations and a model of plain maps.
#![allow(dead_code, reason = "each test uses its own part of it")]

pub(crate) mod every;
mod json;
mod list;
mod stream;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use upkv::storage::ErrorKind;
use upkv::storage::testing::{Ack, Failure, Run, Workload};
use upkv::{Db, DbOptions, Durability, Error, Reply, Store};

/// What a key holds, and its deadline in ms; 0 without one.
pub(crate) type Model = BTreeMap<Vec<u8>, (Content, u64)>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Text(Vec<u8>),
    /// Values and deadlines in ms; 0 without one.
    Fields(BTreeMap<Vec<u8>, (Vec<u8>, u64)>),
    Members(BTreeMap<Vec<u8>, i64>),
    /// Text of an object.
    Document(String),
    Stream(stream::Stream),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
}

/// Deadlines lie here: far enough that nothing becomes due in a test.
const FAR: u64 = 40_000_000_000_000;

/// One command and what it does to the model.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Set(u8, Vec<u8>, Option<u64>),
    Incr(u8, i64),
    Append(u8, Vec<u8>),
    Text(u8, text::Op),
    HashSet(u8, Vec<(u8, Vec<u8>)>),
    HashRemove(u8, u8),
    HashSetUntil(u8, u8, Vec<u8>, u64),
    HashDeadline(u8, u8, Option<u64>),
    Add(u8, Vec<(i64, u8)>),
    Remove(u8, u8),
    PopMin(u8),
    Json(u8, json::Op),
    Stream(u8, stream::Op),
    List(u8, list::Op),
    Delete(u8),
    Rename(u8, u8),
    Copy(u8, u8),
    Deadline(u8, Option<u64>),
    Flush,
}

fn key(n: u8) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn name(n: u8) -> Vec<u8> {
    format!("n{n}").into_bytes()
}

fn payload(run: &Run<'_>) -> Vec<u8> {
    let len = match below(run, 40) {
        0 => below(run, 4_000),
        1..=14 => 64 + below(run, 200),
        _ => below(run, 40),
    };
    let first = below(run, 26);
    (0..len)
        .map(|at| b"abcdefghijklmnopqrstuvwxyz"[(first + at) % 26])
        .collect()
}

fn below(run: &Run<'_>, limit: usize) -> usize {
    usize::try_from(run.random.next_u64() % limit as u64).expect("below a usize")
}

fn small(run: &Run<'_>, limit: usize) -> u8 {
    u8::try_from(below(run, limit)).expect("small")
}

impl Op {
    pub(crate) fn random(run: &Run<'_>) -> Self {
        // Keys lean towards one type each, so that most operations find the type they need.
        let class = small(run, 4);
        let other = small(run, 12);
        let k = if below(run, 12) == 0 {
            other
        } else {
            class + 4 * small(run, 3)
        };
        match (below(run, 16), class) {
            (0, _) => Self::Delete(k),
            (1, _) => Self::Rename(k, other),
            (2, _) => Self::Copy(k, other),
            (3 | 4, _) => Self::Deadline(k, (below(run, 3) > 0).then(|| FAR + u64::from(other))),
            (5, _) if below(run, 8) == 0 => Self::Flush,
            (5..=8, 0) => {
                let far = FAR + u64::from(other);
                Self::Set(k, payload(run), (below(run, 4) == 0).then_some(far))
            }
            (9..=12, 0) => Self::Incr(k, i64::from(other) - 4),
            (13, 0) => Self::Append(k, payload(run)),
            (_, 0) => Self::Text(k, text::Op::random(run)),
            // One key each leans towards sets, lists and streams.
            (_, 1) if k == 9 => Self::List(k, list::Op::random_of_set(run)),
            (_, 2) if k == 10 => Self::List(k, list::Op::random(run)),
            (_, 3) if k == 11 => Self::Stream(k, stream::Op::random(run)),
            (10, 1) => Self::HashSetUntil(k, small(run, 12), payload(run), FAR + u64::from(other)),
            (11 | 12, 1) => {
                let at = (below(run, 3) > 0).then(|| FAR + u64::from(other));
                Self::HashDeadline(k, small(run, 12), at)
            }
            (5..=9, 1) => {
                let fields = (0..=below(run, 3)).map(|_| (small(run, 12), payload(run)));
                Self::HashSet(k, fields.collect())
            }
            (_, 1) => Self::HashRemove(k, small(run, 12)),
            (_, 3) => Self::Json(k, json::Op::random(run)),
            (5..=12, _) => {
                let member = |_| (i64::from(small(run, 20)) - 10, small(run, 12));
                Self::Add(k, (0..=below(run, 3)).map(member).collect())
            }
            (13, _) => Self::PopMin(k),
            _ => Self::Remove(k, small(run, 12)),
        }
    }

    pub(crate) fn args(&self) -> Vec<Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        let number = |n: u64| n.to_string().into_bytes();
        match self {
            Self::Set(k, v, None) => vec![text("SET"), key(*k), v.clone()],
            Self::Set(k, v, Some(at)) => {
                vec![text("SET"), key(*k), v.clone(), text("PXAT"), number(*at)]
            }
            Self::Incr(k, n) => vec![text("INCRBY"), key(*k), n.to_string().into_bytes()],
            Self::Append(k, v) => vec![text("APPEND"), key(*k), v.clone()],
            Self::Text(k, op) => op.args(key(*k)),
            Self::HashSet(k, fields) => {
                let mut args = vec![text("HSET"), key(*k)];
                args.extend(fields.iter().flat_map(|(f, v)| [name(*f), v.clone()]));
                args
            }
            Self::HashRemove(k, f) => vec![text("HDEL"), key(*k), name(*f)],
            Self::HashSetUntil(k, f, v, at) => {
                let head = [text("HSETEX"), key(*k), text("PXAT"), number(*at)];
                let tail = [text("FIELDS"), text("1"), name(*f), v.clone()];
                [head, tail].concat()
            }
            Self::HashDeadline(k, f, None) => {
                let tail = [text("FIELDS"), text("1"), name(*f)];
                [vec![text("HPERSIST"), key(*k)], tail.to_vec()].concat()
            }
            Self::HashDeadline(k, f, Some(at)) => {
                let tail = [number(*at), text("FIELDS"), text("1"), name(*f)];
                [vec![text("HPEXPIREAT"), key(*k)], tail.to_vec()].concat()
            }
            Self::Add(k, items) => {
                let mut args = vec![text("ZADD"), key(*k)];
                args.extend(
                    items
                        .iter()
                        .flat_map(|(s, m)| [s.to_string().into_bytes(), name(*m)]),
                );
                args
            }
            Self::Remove(k, m) => vec![text("ZREM"), key(*k), name(*m)],
            Self::PopMin(k) => vec![text("ZPOPMIN"), key(*k)],
            Self::Json(k, op) => op.args(key(*k)),
            Self::Stream(k, op) => op.args(key(*k)),
            Self::List(k, op) => op.args(key(*k)),
            Self::Delete(k) => vec![text("DEL"), key(*k)],
            Self::Rename(a, b) => vec![text("RENAME"), key(*a), key(*b)],
            Self::Copy(a, b) => vec![text("COPY"), key(*a), key(*b), text("REPLACE")],
            Self::Deadline(k, None) => vec![text("PERSIST"), key(*k)],
            Self::Deadline(k, Some(at)) => vec![text("PEXPIREAT"), key(*k), number(*at)],
            Self::Flush => vec![text("FLUSHALL")],
        }
    }

    /// Does the same to the model; `false` if the command is refused.
    #[expect(clippy::too_many_lines, reason = "one arm a command")]
    pub(crate) fn apply(&self, model: &mut Model) -> bool {
        match self {
            Self::Set(k, v, at) => {
                model.insert(key(*k), (Content::Text(v.clone()), at.unwrap_or(0)));
            }
            Self::Incr(k, n) => {
                let entry = model.get(&key(*k));
                let present = match entry {
                    None => Some(0),
                    Some((Content::Text(text), _)) => std::str::from_utf8(text)
                        .ok()
                        .and_then(|text| text.parse::<i64>().ok()),
                    Some(_) => None,
                };
                let at = entry.map_or(0, |entry| entry.1);
                let Some(present) = present else { return false };
                let text = (present + n).to_string().into_bytes();
                model.insert(key(*k), (Content::Text(text), at));
            }
            Self::Append(k, v) => {
                let text = || (Content::Text(Vec::new()), 0);
                match model.entry(key(*k)).or_insert_with(text) {
                    (Content::Text(text), _) => text.extend_from_slice(v),
                    _ => return false,
                }
            }
            Self::Text(k, op) => return op.apply(key(*k), model),
            Self::HashSet(k, fields) => {
                let hash = || (Content::Fields(BTreeMap::new()), 0);
                match model.entry(key(*k)).or_insert_with(hash) {
                    (Content::Fields(map), _) => {
                        map.extend(fields.iter().map(|(f, v)| (name(*f), (v.clone(), 0))));
                    }
                    _ => return false,
                }
            }
            Self::HashSetUntil(k, f, v, at) => {
                let hash = || (Content::Fields(BTreeMap::new()), 0);
                match model.entry(key(*k)).or_insert_with(hash) {
                    (Content::Fields(map), _) => drop(map.insert(name(*f), (v.clone(), *at))),
                    _ => return false,
                }
            }
            Self::HashDeadline(k, f, at) => match model.get_mut(&key(*k)) {
                None => {}
                Some((Content::Fields(map), _)) => {
                    if let Some(field) = map.get_mut(&name(*f)) {
                        field.1 = at.unwrap_or(0);
                    }
                }
                Some(_) => return false,
            },
            Self::HashRemove(k, f) => match model.get_mut(&key(*k)) {
                None => {}
                Some((Content::Fields(map), _)) => {
                    map.remove(&name(*f));
                    if map.is_empty() {
                        model.remove(&key(*k));
                    }
                }
                Some(_) => return false,
            },
            Self::Add(k, items) => {
                let zset = || (Content::Members(BTreeMap::new()), 0);
                match model.entry(key(*k)).or_insert_with(zset) {
                    (Content::Members(map), _) => {
                        map.extend(items.iter().map(|(s, m)| (name(*m), *s)));
                    }
                    _ => return false,
                }
            }
            Self::Remove(..) | Self::PopMin(_) => return self.remove_member(model),
            Self::Json(k, op) => return op.apply(&key(*k), model),
            Self::Stream(k, op) => return op.apply(&key(*k), model),
            Self::List(k, op) => return op.apply(&key(*k), model),
            Self::Delete(k) => {
                model.remove(&key(*k));
            }
            Self::Rename(a, b) => {
                let Some(entry) = model.remove(&key(*a)) else {
                    return false;
                };
                model.insert(key(*b), entry);
            }
            Self::Copy(a, b) => {
                if a == b {
                    return false;
                }
                if let Some(entry) = model.get(&key(*a)).cloned() {
                    model.insert(key(*b), entry);
                }
            }
            Self::Deadline(k, at) => {
                if let Some(entry) = model.get_mut(&key(*k)) {
                    entry.1 = at.unwrap_or(0);
                }
            }
            Self::Flush => model.clear(),
        }
        true
    }

    fn remove_member(&self, model: &mut Model) -> bool {
        let (Self::Remove(k, _) | Self::PopMin(k)) = self else {
            return false;
        };
        match model.get_mut(&key(*k)) {
            None => {}
            Some((Content::Members(map), _)) => {
                let lowest = map.iter().min_by_key(|(member, score)| (**score, *member));
                let gone = match self {
                    Self::Remove(_, m) => Some(name(*m)),
                    _ => lowest.map(|(member, _)| member.clone()),
                };
                gone.map(|member| map.remove(&member));
                if map.is_empty() {
                    model.remove(&key(*k));
                }
            }
            Some(_) => return false,
        }
        true
    }
}

/// The database with few shards, so that they split, and its counts checked.
fn mounted(store: &Store, name: &str) -> Result<Db, Failure> {
    let options = DbOptions::new().durability(Durability::Disk).shards(4);
    let db = Db::mount_with(store, name, options).map_err(|error| failure(&error))?;
    db.audit().map_err(Failure::Damaged)?;
    Ok(db)
}

/// A handle of a random level, and what an acknowledgement by it promises.
fn at_some_level(engine: &Db, run: &Run<'_>) -> (Db, Ack) {
    let (level, ack) = match below(run, 3) {
        0 => (Durability::Memory, Ack::Memory),
        1 => (Durability::Os, Ack::Os),
        _ => (Durability::Disk, Ack::Disk),
    };
    (engine.with_durability(level), ack)
}

pub(crate) fn failure(error: &Error) -> Failure {
    match error {
        Error::Storage(error) => Failure::from(error),
        other => Failure::Refused(other.to_string()),
    }
}

/// Random commands, transactions and moves between the tiers on twelve keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KvWorkload {
    /// Also drop values from memory, which may write images.
    pub(crate) demote: bool,
}

impl KvWorkload {
    fn transact(db: &Db, run: &Run<'_>, model: &mut Model) -> Result<(), Error> {
        let ops: Vec<Op> = (0..2 + below(run, 3)).map(|_| Op::random(run)).collect();
        let abort = below(run, 4) == 0;
        let mut after = model.clone();
        let expected: Vec<bool> = ops.iter().map(|op| op.apply(&mut after)).collect();
        let result = db.transaction(|tx| {
            for (op, expected) in ops.iter().zip(&expected) {
                match tx.command(op.args()) {
                    Err(error @ (Error::Restart | Error::Storage(_))) => return Err(error),
                    outcome => assert_eq!(outcome.is_ok(), *expected, "{op:?} in {ops:?}"),
                }
            }
            if abort {
                tx.abort("on purpose")
            } else {
                Ok(())
            }
        });
        match result {
            Err(Error::Aborted(_)) => return Ok(()),
            Err(Error::Storage(error)) => {
                if matches!(error.kind(), ErrorKind::OutcomeUnknown { .. }) {
                    *model = after;
                }
                return Err(Error::Storage(error));
            }
            other => other?,
        }
        *model = after;
        Ok(())
    }

    fn execute(db: &Db, run: &Run<'_>, model: &mut Model) -> Result<(), Error> {
        let op = Op::random(run);
        let mut after = model.clone();
        let allowed = op.apply(&mut after);
        match db.command(op.args()) {
            Ok(_) => {
                assert!(allowed, "{op:?} should have been refused");
                *model = after;
            }
            Err(Error::Storage(error)) => {
                if matches!(error.kind(), ErrorKind::OutcomeUnknown { .. }) {
                    *model = after;
                }
                return Err(Error::Storage(error));
            }
            Err(error) => assert!(!allowed, "{op:?} was refused: {error}"),
        }
        Ok(())
    }
}

impl Workload for KvWorkload {
    type Engine = Db;
    type Model = Model;

    fn empty(&self) -> Model {
        Model::new()
    }

    fn open(&self, store: &Store, name: &str) -> Result<Db, Failure> {
        mounted(store, name)
    }

    fn step(&self, engine: &Db, run: &Run<'_>, model: &mut Model) -> Result<Ack, Failure> {
        let (db, ack) = at_some_level(engine, run);
        let before = db.token().seq;
        if self.demote && below(run, 6) == 0 {
            // Images written on the way are not settled; nothing a user sees changes.
            db.demote_all().map_err(|error| failure(&error))?;
            return Ok(if db.token().seq == before {
                Ack::Unchanged
            } else {
                Ack::Memory
            });
        }
        let outcome = if below(run, 5) == 0 {
            Self::transact(&db, run, model)
        } else {
            Self::execute(&db, run, model)
        };
        outcome.map_err(|error| failure(&error))?;
        Ok(if db.token().seq == before {
            Ack::Unchanged
        } else {
            ack
        })
    }

    fn observe(&self, db: &Db) -> Result<Model, Failure> {
        db.audit().map_err(Failure::Damaged)?;
        observe(db).map_err(|error| failure(&error))
    }
}

/// Everything a user can see.
pub(crate) fn observe(db: &Db) -> Result<Model, Error> {
    let mut model = Model::new();
    for key in db.keys("*") {
        let key = key?;
        let content = match db.kind(&key)?.map(upkv::Kind::name) {
            Some("string") => Content::Text(db.get(&key)?.expect("listed").into_vec()),
            Some("hash") => {
                let mut fields = BTreeMap::new();
                for pair in db.hash(&key).iter() {
                    let (field, value) = pair?;
                    let args = [&b"HPEXPIRETIME"[..], &key, b"FIELDS", b"1", &field];
                    let Reply::Array(at) = db.command(args)? else {
                        panic!("one deadline a field")
                    };
                    let [Reply::Int(at)] = at[..] else {
                        panic!("a deadline is an integer")
                    };
                    let at = u64::try_from(at).unwrap_or(0);
                    fields.insert(field.into_vec(), (value.into_vec(), at));
                }
                Content::Fields(fields)
            }
            Some("zset") => {
                #[allow(clippy::cast_possible_truncation, reason = "scores are small integers")]
                let members = db
                    .zset(&key)
                    .range(..)
                    .map(|item| item.map(|item| (item.member.into_vec(), item.score as i64)));
                Content::Members(members.collect::<Result<_, _>>()?)
            }
            Some("list") => {
                let elements = db.list(&key).iter().map(|element| Ok(element?.into_vec()));
                Content::List(elements.collect::<Result<_, Error>>()?)
            }
            Some("set") => {
                let members = db.members(&key).iter().map(|member| Ok(member?.into_vec()));
                Content::Set(members.collect::<Result<_, Error>>()?)
            }
            Some("stream") => Content::Stream(stream::observe(db, &key)?),
            Some("ReJSON-RL") => Content::Document(db.json(&key).get(".")?.expect("listed")),
            other => panic!("{key:?} is of type {other:?}"),
        };
        let Reply::Int(at) = db.command([b"PEXPIRETIME".as_slice(), &key])? else {
            panic!("a deadline is an integer")
        };
        model.insert(key.into_vec(), (content, u64::try_from(at).unwrap_or(0)));
    }
    Ok(model)
}
