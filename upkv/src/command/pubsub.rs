//! Chapter: publish and subscribe, with channels, patterns and sharded channels.
//!
//! A message is delivered when the command or transaction that publishes it has committed. Acknowledgements count the
//! names that the session is subscribed to, those of sharded channels apart.

use super::args::Args;
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, data, rows, session};
use super::session::Session;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::server::channels::Of;

pub(super) static ROWS: &[Command] = rows! { "pubsub";
    "psubscribe" -2 PUBSUB | NOSCRIPT | LOADING | STALE, NO_KEYS, session(psubscribe), "2.0.0", "O(patterns)",
        "Listens to the channels that match patterns";
    "publish" 3 PUBSUB | FAST | LOADING | STALE, NO_KEYS, data(publish), "2.0.0", "O(subscribers + patterns)",
        "Sends a message to a channel";
    "pubsub" -2 PUBSUB | LOADING | STALE, NO_KEYS, CONTAINER, "2.8.0", "that of the subcommand",
        "Inspects channels";
    "pubsub|channels" -2 PUBSUB | LOADING | STALE, NO_KEYS, data(channels), "2.8.0", "O(channels)",
        "Lists the channels with subscribers";
    "pubsub|help" 2 LOADING | STALE, NO_KEYS, data(help), "6.2.0", "O(1)",
        "Tells the subcommands";
    "pubsub|numpat" 2 PUBSUB | LOADING | STALE, NO_KEYS, data(numpat), "2.8.0", "O(1)",
        "Counts the patterns with subscribers";
    "pubsub|numsub" -2 PUBSUB | LOADING | STALE, NO_KEYS, data(numsub), "2.8.0", "O(channels)",
        "Counts the subscribers of channels";
    "pubsub|shardchannels" -2 PUBSUB | LOADING | STALE, NO_KEYS, data(shard_channels), "7.0.0", "O(channels)",
        "Lists the sharded channels with subscribers";
    "pubsub|shardnumsub" -2 PUBSUB | LOADING | STALE, NO_KEYS, data(shard_numsub), "7.0.0", "O(channels)",
        "Counts the subscribers of sharded channels";
    "punsubscribe" -1 PUBSUB | NOSCRIPT | LOADING | STALE, NO_KEYS, session(punsubscribe), "2.0.0", "O(patterns)",
        "Stops listening to patterns";
    "spublish" 3 PUBSUB | FAST | LOADING | STALE, NO_KEYS, data(spublish), "7.0.0", "O(subscribers)",
        "Sends a message to a sharded channel";
    "ssubscribe" -2 PUBSUB | NOSCRIPT | LOADING | STALE, NO_KEYS, session(ssubscribe), "7.0.0", "O(channels)",
        "Listens to sharded channels";
    "subscribe" -2 PUBSUB | NOSCRIPT | LOADING | STALE, NO_KEYS, session(subscribe), "2.0.0", "O(channels)",
        "Listens to channels";
    "sunsubscribe" -1 PUBSUB | NOSCRIPT | LOADING | STALE, NO_KEYS, session(sunsubscribe), "7.0.0", "O(channels)",
        "Stops listening to sharded channels";
    "unsubscribe" -1 PUBSUB | NOSCRIPT | LOADING | STALE, NO_KEYS, session(unsubscribe), "2.0.0", "O(channels)",
        "Stops listening to channels";
};

impl Session {
    fn subscribe_to(&mut self, of: Of, word: &str, names: &[&[u8]]) -> Reply {
        let acks = names.iter().map(|name| self.subscribe_one(of, word, name));
        several(acks.collect())
    }

    fn subscribe_one(&mut self, of: Of, word: &str, name: &[u8]) -> Reply {
        if self.names.of(of).insert(name.into()) {
            let channels = &self.db.engine.server.channels;
            channels.subscribe(of, name, &self.client.inbox);
        }
        self.acknowledge(of, word, Some(name))
    }

    fn unsubscribe_from(&mut self, of: Of, word: &str, names: &[&[u8]]) -> Reply {
        if names.is_empty() {
            let all = self.names.of(of).clone();
            if all.is_empty() {
                return self.acknowledge(of, word, None);
            }
            let acks = all.iter().map(|name| self.unsubscribe_one(of, word, name));
            return several(acks.collect());
        }
        let acks = names
            .iter()
            .map(|name| self.unsubscribe_one(of, word, name));
        several(acks.collect())
    }

    fn unsubscribe_one(&mut self, of: Of, word: &str, name: &[u8]) -> Reply {
        if self.names.of(of).remove(name) {
            let channels = &self.db.engine.server.channels;
            channels.unsubscribe(of, name, &self.client.inbox);
        }
        self.acknowledge(of, word, Some(name))
    }

    fn acknowledge(&self, of: Of, word: &str, name: Option<&[u8]>) -> Reply {
        let mut facts = self.client.facts();
        facts.channels = self.names.channels.len();
        facts.patterns = self.names.patterns.len();
        facts.shards = self.names.shards.len();
        let count = match of {
            Of::Shard => facts.shards,
            Of::Channel | Of::Pattern => facts.channels + facts.patterns,
        };
        Reply::Push(vec![
            Reply::bulk_copy(word.as_bytes()),
            name.map_or(Reply::Null, Reply::bulk_copy),
            Reply::count(count),
        ])
    }

    /// Ends all subscriptions without a word.
    pub(super) fn leave_all_channels(&mut self) {
        let channels = &self.db.engine.server.channels;
        for of in [Of::Channel, Of::Pattern, Of::Shard] {
            for name in std::mem::take(self.names.of(of)) {
                channels.unsubscribe(of, &name, &self.client.inbox);
            }
        }
        let mut facts = self.client.facts();
        (facts.channels, facts.patterns, facts.shards) = (0, 0, 0);
    }
}

/// The replies of a command that answers once per name.
fn several(mut replies: Vec<Reply>) -> Reply {
    match replies.len() {
        1 => replies.remove(0),
        _ => Reply::Sequence(replies),
    }
}

/// What PING answers while a client of RESP2 is subscribed.
pub(super) fn ping(args: &Args<'_>) -> Result<Reply> {
    let text = match args {
        [_] => &b""[..],
        [_, text] => text,
        _ => {
            return Err(Error::refused(
                "ERR wrong number of arguments for 'ping' command",
            ));
        }
    };
    Ok(Reply::Array(vec![
        Reply::bulk_copy(b"pong"),
        Reply::bulk_copy(text),
    ]))
}

macro_rules! subscriptions {
    ($($name:ident $verb:ident $of:ident;)*) => {$(
        fn $name(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
            Ok(session.$verb(Of::$of, stringify!($name), &args[1..]))
        }
    )*};
}
subscriptions! {
    subscribe subscribe_to Channel;
    psubscribe subscribe_to Pattern;
    unsubscribe unsubscribe_from Channel;
    punsubscribe unsubscribe_from Pattern;
    sunsubscribe unsubscribe_from Shard;
}

fn ssubscribe(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    if session.in_exec {
        return Err(Error::refused(
            "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        ));
    }
    Ok(session.subscribe_to(Of::Shard, "ssubscribe", &args[1..]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn publish(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(work.publish_message(args[1], args[2], false)))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn spublish(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(work.publish_message(args[1], args[2], true)))
}

fn list(work: &Work<'_>, of: Of, args: &Args<'_>) -> Result<Reply> {
    let pattern = match args {
        [_, _] => None,
        [_, _, pattern] => Some(*pattern),
        _ => return Err(super::client::wrong_arguments("PUBSUB", args[1])),
    };
    let names = work.engine.server.channels.list(of, pattern);
    let names = names.iter().map(|name| Reply::bulk_copy(name));
    Ok(Reply::Array(names.collect()))
}

fn channels(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    list(work, Of::Channel, args)
}

fn shard_channels(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    list(work, Of::Shard, args)
}

fn counts(work: &Work<'_>, of: Of, names: &[&[u8]]) -> Reply {
    let channels = &work.engine.server.channels;
    let counts = names.iter().flat_map(|name| {
        let count = Reply::count(channels.count(of, name));
        [Reply::bulk_copy(name), count]
    });
    Reply::Array(counts.collect())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn numsub(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(counts(work, Of::Channel, &args[2..]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn shard_numsub(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(counts(work, Of::Shard, &args[2..]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn numpat(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(
        work.engine.server.channels.names_in_use(Of::Pattern),
    ))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(super::client::lines_of_help(&[
        "PUBSUB CHANNELS [pattern]: channels with subscribers",
        "PUBSUB NUMPAT: number of patterns with subscribers",
        "PUBSUB NUMSUB [channel ...]: channels with their numbers of subscribers",
        "PUBSUB SHARDCHANNELS [pattern]: sharded channels with subscribers",
        "PUBSUB SHARDNUMSUB [channel ...]: sharded channels with their numbers of subscribers",
        "PUBSUB HELP: these lines",
    ]))
}
