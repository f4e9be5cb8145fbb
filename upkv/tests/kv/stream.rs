//! Random commands on streams, and a model: entries by id, the counters, and one group with what is pending.

use std::collections::BTreeMap;

use upkv::storage::testing::Run;
use upkv::{Db, Error, Reply};

use super::{Content, Model, below, payload, small};

type Id = (u64, u64);

/// What a stream holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stream {
    entries: BTreeMap<Id, Vec<u8>>,
    last: Id,
    max_deleted: Id,
    added: u64,
    group: Option<Group>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    last: Id,
    /// Consumer and number of deliveries.
    pending: BTreeMap<Id, (u8, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// An entry of this time, with a value; then a trim.
    Add(u64, Vec<u8>, Option<usize>),
    Delete(Id),
    Trim(usize),
    Create,
    Destroy,
    Read(u8, usize),
    Ack(Id),
    Claim(u8, Id),
    DropConsumer(u8),
}

fn shown((ms, seq): Id) -> Vec<u8> {
    format!("{ms}-{seq}").into_bytes()
}

fn consumer(n: u8) -> Vec<u8> {
    format!("c{n}").into_bytes()
}

impl Op {
    pub(crate) fn random(run: &Run<'_>) -> Self {
        let id = || (u64::from(small(run, 3)), u64::from(small(run, 12)));
        match below(run, 20) {
            0..8 => {
                let trim = (below(run, 8) == 0).then(|| below(run, 20));
                Self::Add(u64::from(small(run, 9) / 3), payload(run), trim)
            }
            8 | 9 => Self::Delete(id()),
            10 => Self::Trim(below(run, 20)),
            11 | 12 => Self::Create,
            13 if below(run, 4) == 0 => Self::Destroy,
            14 | 15 => Self::Ack(id()),
            16 => Self::Claim(small(run, 3), id()),
            17 if below(run, 3) == 0 => Self::DropConsumer(small(run, 3)),
            _ => Self::Read(small(run, 3), 1 + below(run, 5)),
        }
    }

    pub(crate) fn args(&self, key: Vec<u8>) -> Vec<Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        let number = |n: usize| n.to_string().into_bytes();
        match self {
            Self::Add(ms, value, trim) => {
                let mut args = vec![text("XADD"), key];
                if let Some(max) = trim {
                    args.extend([text("MAXLEN"), number(*max)]);
                }
                args.extend([format!("{ms}-*").into_bytes(), text("f"), value.clone()]);
                args
            }
            Self::Delete(id) => vec![text("XDEL"), key, shown(*id)],
            Self::Trim(max) => vec![text("XTRIM"), key, text("MAXLEN"), number(*max)],
            Self::Create => vec![text("XGROUP"), text("CREATE"), key, text("g"), text("0")],
            Self::Destroy => vec![text("XGROUP"), text("DESTROY"), key, text("g")],
            Self::Read(n, count) => {
                let head = [text("XREADGROUP"), text("GROUP"), text("g"), consumer(*n)];
                let tail = [
                    text("COUNT"),
                    number(*count),
                    text("STREAMS"),
                    key,
                    text(">"),
                ];
                [&head[..], &tail].concat()
            }
            Self::Ack(id) => vec![text("XACK"), key, text("g"), shown(*id)],
            Self::Claim(n, id) => {
                let head = [text("XCLAIM"), key, text("g"), consumer(*n)];
                [&head[..], &[text("0"), shown(*id)]].concat()
            }
            Self::DropConsumer(n) => {
                let head = [text("XGROUP"), text("DELCONSUMER"), key];
                [&head[..], &[text("g"), consumer(*n)]].concat()
            }
        }
    }

    /// Does the same to the model; `false` if the command is refused.
    pub(crate) fn apply(&self, key: &[u8], model: &mut Model) -> bool {
        if matches!(self, Self::Add(..)) && !model.contains_key(key) {
            let empty = Content::Stream(Stream::default());
            model.insert(key.to_vec(), (empty, 0));
        }
        let stream = match model.get_mut(key) {
            Some((Content::Stream(stream), _)) => stream,
            Some(_) => return false,
            None => return matches!(self, Self::Delete(_) | Self::Trim(_) | Self::Ack(_)),
        };
        match self {
            Self::Add(ms, value, trim) => {
                if *ms < stream.last.0 {
                    return false;
                }
                let seq = if *ms == stream.last.0 {
                    stream.last.1 + 1
                } else {
                    0
                };
                stream.last = (*ms, seq);
                stream.added += 1;
                stream.entries.insert((*ms, seq), value.clone());
                if let Some(max) = trim {
                    stream.trim(*max);
                }
            }
            Self::Delete(id) => {
                if stream.entries.remove(id).is_some() {
                    stream.max_deleted = stream.max_deleted.max(*id);
                }
            }
            Self::Trim(max) => stream.trim(*max),
            Self::Create => {
                if stream.group.is_some() {
                    return false;
                }
                stream.group = Some(Group::default());
            }
            Self::Destroy => stream.group = None,
            Self::Read(..) | Self::Ack(_) | Self::Claim(..) | Self::DropConsumer(_) => {
                return self.apply_to_group(stream);
            }
        }
        true
    }

    fn apply_to_group(&self, stream: &mut Stream) -> bool {
        let Some(group) = &mut stream.group else {
            return matches!(self, Self::Ack(_));
        };
        match self {
            Self::Read(n, count) => {
                let new = stream.entries.keys().filter(|id| **id > group.last);
                let new: Vec<Id> = new.take(*count).copied().collect();
                for id in new {
                    group.last = id;
                    group.pending.insert(id, (*n, 1));
                }
            }
            Self::Ack(id) => {
                group.pending.remove(id);
            }
            Self::Claim(n, id) => {
                if !stream.entries.contains_key(id) {
                    group.pending.remove(id);
                } else if let Some(pending) = group.pending.get_mut(id) {
                    *pending = (*n, pending.1 + 1);
                }
            }
            Self::DropConsumer(n) => group.pending.retain(|_, pending| pending.0 != *n),
            _ => {}
        }
        true
    }
}

impl Stream {
    fn trim(&mut self, max: usize) {
        while self.entries.len() > max {
            self.entries.pop_first();
        }
    }
}

fn items(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(items) => items,
        other => panic!("{other:?} is no list"),
    }
}

fn text(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(value) => value.to_vec(),
        other => panic!("{other:?} is no text"),
    }
}

fn id(reply: &Reply) -> Id {
    let text = String::from_utf8(text(reply)).expect("plain text");
    let (ms, seq) = text.split_once('-').expect("an id");
    (
        ms.parse().expect("a number"),
        seq.parse().expect("a number"),
    )
}

fn number(reply: &Reply) -> u64 {
    match reply {
        Reply::Int(value) => u64::try_from(*value).expect("not negative"),
        other => panic!("{other:?} is no number"),
    }
}

fn of<'r>(map: &'r Reply, name: &str) -> &'r Reply {
    let Reply::Map(pairs) = map else {
        panic!("{map:?} is no map");
    };
    let found = pairs.iter().find(|(key, _)| text(key) == name.as_bytes());
    &found.expect("a known name").1
}

/// Everything a user can see, but for times.
pub(crate) fn observe(db: &Db, key: &[u8]) -> Result<Stream, Error> {
    let mut stream = Stream::default();
    for entry in items(db.command([b"XRANGE", key, b"-", b"+"])?) {
        let entry = items(entry);
        let value = text(&items(entry[1].clone())[1]);
        stream.entries.insert(id(&entry[0]), value);
    }
    let info = db.command([b"XINFO", b"STREAM".as_slice(), key])?;
    stream.last = id(of(&info, "last-generated-id"));
    stream.max_deleted = id(of(&info, "max-deleted-entry-id"));
    stream.added = number(of(&info, "entries-added"));
    for info in items(db.command([b"XINFO", b"GROUPS".as_slice(), key])?) {
        let mut group = Group {
            last: id(of(&info, "last-delivered-id")),
            pending: BTreeMap::new(),
        };
        let wanted = [b"XPENDING".as_slice(), key, b"g", b"-", b"+", b"100000"];
        for row in items(db.command(wanted)?) {
            let row = items(row);
            let consumer = text(&row[1])[1] - b'0';
            group
                .pending
                .insert(id(&row[0]), (consumer, number(&row[3])));
        }
        stream.group = Some(group);
    }
    Ok(stream)
}
