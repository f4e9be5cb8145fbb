//! Typed handles over one key, and lazy iterators.
//!
//! A view works on a [`crate::Db`] or inside a [`crate::Transaction`]; it binds a key and does no work
//! until it is asked. Iterators read pages and hold no lock in between.

mod any_key;
mod bits;
mod field_ttl;
mod geo;
mod hash;
mod hyperloglog;
mod json;
mod keys;
mod list;
mod list_inside;
mod set;
mod set_algebra;
mod several;
mod sort;
mod stream;
mod stream_group;
mod text;
mod waiting;
mod waiting_many;
mod zset;
mod zset_algebra;
mod zset_more;

pub use any_key::ExpireWhen;
pub use bits::{BitOperation, Bits, Overflow};
pub use geo::{Geo, GeoMatch, GeoPoint, GeoSearch};
pub use hash::{Fields, Hash};
pub use hyperloglog::HyperLogLog;
pub use json::Json;
pub use keys::Keys;
pub use list::{Elements, List, ListEnd};
pub use set::{Set, SetMembers};
pub use sort::Sort;
pub use stream::{Entries, Stream, StreamInfo, StreamTrim};
pub use stream_group::{StreamGroup, StreamGroupInfo, StreamPending};
pub use waiting::Waiting;
pub use waiting_many::ZsetEnd;
pub use zset::{Members, Scored, Zset};
pub use zset_algebra::Aggregate;
pub use zset_more::ScoreWhen;

use crate::db::Db;
use crate::error::Result;
use crate::keyspace::direct::Direct;
use crate::keyspace::engine;
use crate::keyspace::quick::Quick;
use crate::keyspace::work::Work;

pub(crate) mod sealed {
    /// Keeps [`super::Target`] closed.
    pub trait Sealed {}
}

/// What a view works on: a database, or a transaction on it.
pub trait Target: sealed::Sealed {
    /// Runs `body` on `key`, in a commit of its own or in the transaction's.
    ///
    /// # Errors
    ///
    /// Those of `body` and of the commit.
    #[doc(hidden)]
    fn run<R>(
        &self,
        key: &[u8],
        grows: bool,
        body: impl FnMut(&mut Work<'_>) -> Result<R>,
    ) -> Result<R>;

    /// As `run` for a change of one collection, on the short way if there is one.
    #[doc(hidden)]
    fn run_quickly<'k, R>(
        &'k self,
        _key: &'k [u8],
        _body: impl FnOnce(&mut Quick<'k>) -> Result<R>,
    ) -> Result<Option<R>> {
        Ok(None)
    }
}

impl sealed::Sealed for Db {}

impl Target for Db {
    fn run<R>(
        &self,
        key: &[u8],
        grows: bool,
        body: impl FnMut(&mut Work<'_>) -> Result<R>,
    ) -> Result<R> {
        if grows {
            self.engine.check_room()?;
        }
        self.engine
            .run(self.index, self.level, engine::Keys::One(key), body)
    }

    fn run_quickly<'k, R>(
        &'k self,
        key: &'k [u8],
        body: impl FnOnce(&mut Quick<'k>) -> Result<R>,
    ) -> Result<Option<R>> {
        self.engine.check_room()?;
        let level = self.level;
        let caller = engine::Caller {
            level,
            ..self.caller()
        };
        match self.engine.change_directly(caller, key, body)? {
            Direct::Done(value) => Ok(Some(value)),
            Direct::Ordinary => Ok(None),
        }
    }
}
