//! Redis-semantics key-value engine for embedding, and the store that every engine of the up suite stands on.
//!
//! A [`Db`] is mounted on a [`Store`]: one directory with one append-only log. Values that do not fit in
//! the memory budget are dropped from memory and read from the log where they were written. Everything a
//! command or a transaction does is one commit.
//!
//! ```
//! use std::time::Duration;
//! use upkv::{Db, SetOptions, Store};
//!
//! let store = Store::memory()?; // or Store::open("data")?
//! let db = Db::mount(&store, "cache")?;
//! db.set("user:1", "ada")?;
//! db.set_with("otp:1", "9134", SetOptions::new().expire_in(Duration::from_secs(60)))?;
//! let board = db.zset("board");
//! board.add("ada", 10.0)?;
//! let left = db.transaction(|tx| {
//!     tx.hash("order:7").set("item", "lamp")?;
//!     tx.decr("stock")
//! })?;
//! assert_eq!(left, -1);
//! let reply = db.command(["GETRANGE", "user:1", "0", "1"])?;
//! # let _ = reply;
//! # Ok::<(), upkv::Error>(())
//! ```
//!
//! A server needs sockets and a [`Connection`] for each; see there. [`Db::subscribe`] and [`Db::command_async`] are the
//! doors to channels and to waiting without a thread.
//!
//! # Features
//!
//! - `engine` (default): the key-value engine. Without it the crate is [`storage`] alone.
//! - `lua`: scripts and functions in Lua 5.1 ([`Db::script`], `EVAL`, `FCALL`); builds the C code of Lua.
//! - `serde`: whole values of Rust types as JSON ([`Db::get_as`], [`Db::set_as`]).
//! - `test-util`: simulated and faulty disks and the crash harness in [`storage`].

#![deny(unsafe_code)]

#[doc(hidden)]
pub mod storage;

pub use storage::{
    Clock, Durability, ManualClock, OpenReport, Store, StoreBuilder, SystemClock, Timestamp, Token,
};

#[cfg(feature = "engine")]
mod acl;
#[cfg(feature = "engine")]
mod builder;
#[cfg(feature = "engine")]
mod cold;
#[cfg(feature = "engine")]
mod command;
#[cfg(feature = "engine")]
mod db;
#[cfg(feature = "engine")]
mod error;
#[cfg(feature = "engine")]
mod glob;
#[cfg(feature = "engine")]
mod keyspace;
#[cfg(feature = "engine")]
mod memory;
#[cfg(feature = "engine")]
mod number;
#[cfg(feature = "engine")]
mod ops;
#[cfg(feature = "engine")]
mod options;
#[cfg(feature = "engine")]
mod persist;
#[cfg(feature = "engine")]
mod profile;
#[cfg(feature = "engine")]
mod rdb;
#[cfg(feature = "engine")]
mod resp;
#[cfg(feature = "lua")]
mod script;
#[cfg(feature = "engine")]
mod server;
#[cfg(feature = "engine")]
mod sha1;
#[cfg(feature = "engine")]
mod stats;
#[cfg(feature = "engine")]
mod subscription;
#[cfg(feature = "engine")]
mod transaction;
#[cfg(feature = "serde")]
mod typed;
#[cfg(feature = "engine")]
mod value;
#[cfg(feature = "engine")]
mod view;

#[cfg(feature = "engine")]
pub use crate::{
    acl::{Acl, AclStore, READ_ONLY_RULES},
    builder::Builder,
    command::{CommandFuture, CommandInfo, Reply, ReplyFuture, Session, commands},
    db::{Db, Ttl},
    error::{Error, Result},
    ops::stream::StreamEntry,
    options::{DbOptions, Eviction, SetOptions},
    profile::{Limits, Profile},
    rdb::{ExportReport, ImportReport, RdbError},
    resp::{Connection, FeedFuture, NextOutput, Output},
    server::inbox::Message,
    server::shutdown::ShutdownRequest,
    stats::Stats,
    subscription::{NextMessage, Subscription},
    transaction::Transaction,
    value::{Kind, owned::Value, stream::StreamId},
    view::{
        Aggregate, BitOperation, Bits, Elements, Entries, ExpireWhen, Fields, Geo, GeoMatch,
        GeoPoint, GeoSearch, Hash, HyperLogLog, Json, Keys, List, ListEnd, Members, Overflow,
        ScoreWhen, Scored, Set, SetMembers, Sort, Stream, StreamGroup, StreamGroupInfo, StreamInfo,
        StreamPending, StreamTrim, Target, Waiting, Zset, ZsetEnd,
    },
};

#[cfg(feature = "lua")]
pub use crate::script::{Script, ScriptLimits};
#[cfg(all(feature = "engine", feature = "test-util"))]
#[doc(hidden)]
pub use crate::{
    rdb::{transcode, transcode_body},
    value::testing::decode_value,
};

#[cfg(all(doctest, feature = "engine"))]
#[doc = include_str!("../README.md")]
struct ReadMe;
