//! Interactive transactions: a closure, locks as it goes, undo, one commit.
//!
//! Lock order: the transaction's shards first, then enlisted engines in mount order, then the log. Shards
//! are locked as keys are met; one that cannot be had in order is only tried, and if that fails the
//! closure starts over with all shards locked. No other engine takes a shard lock while holding its own.

use std::cell::RefCell;
use std::fmt;

use crate::command::{self, Reply};
use crate::db::{Db, plain};
use crate::error::{Error, Result};
use crate::keyspace::engine::{Engine, Keys, Ran};
use crate::keyspace::work::{Pending, Work};
use crate::ops;
use crate::ops::keys::ExpireIf;
use crate::options::{SetOptions, millis};
use crate::storage::{self, Enlist, Hold, Store};
use crate::value::owned::Value;
use crate::view::{Bits, Geo, Hash, HyperLogLog, Json, List, Set, Stream, Target, Zset};

/// Starts over at most this often before cold values are read under the locks.
const RESTARTS_MAX: usize = 8;

/// What a [`Db::transaction`] closure works on.
pub struct Transaction<'a> {
    work: RefCell<Work<'a>>,
    others: storage::Transaction,
    store: &'a Store,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

pub(crate) fn run<T, E: From<Error>>(
    db: &Db,
    mut body: impl FnMut(&mut Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let engine = &*db.engine;
    let mut loaded = Vec::new();
    let mut all = false;
    for attempt in 0.. {
        let mut work = Work::new(
            engine,
            db.index,
            std::mem::take(&mut loaded),
            attempt >= RESTARTS_MAX,
        );
        Engine::lock(&mut work, if all { Keys::Every } else { Keys::Open })?;
        let mut tx = Transaction {
            work: RefCell::new(work),
            others: storage::Transaction::new(),
            store: &db.store,
        };
        // If this unwinds, dropping the work undoes what was done.
        let outcome = {
            let _hold = Hold::new();
            body(&mut tx)
        };
        let Transaction {
            work, mut others, ..
        } = tx;
        let mut work = work.into_inner();
        if let Some(pending) = work.take_pending() {
            drop(work);
            all |= matches!(pending, Pending::Locks);
            loaded = engine.load(pending)?;
            continue;
        }
        let value = outcome?;
        let commit = work.commit(Some(&mut others)).map_err(E::from)?;
        let told = work.tell();
        drop(work);
        let ran = Ran {
            value,
            commit,
            told,
        };
        let value = engine.finish(ran, db.level)?;
        others.committed();
        return Ok(value);
    }
    unreachable!("the loop ends by returning")
}

impl Transaction<'_> {
    /// Gives up: everything is undone and the call returns [`Error::Aborted`] with this reason.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn abort<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(Error::Aborted(reason.into().into_boxed_str()))
    }

    /// The staged operations of another engine on the same store; they commit with this transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the engine is mounted on another store.
    pub fn enlist<E: Enlist>(&mut self, engine: &E) -> Result<&mut E::Staged> {
        Ok(self.others.enlist(self.store, engine)?)
    }

    /// See [`Db::get`].
    ///
    /// # Errors
    ///
    /// As [`Db::get`]; [`Error::Restart`] must be passed on.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let value = ops::string::get(&mut self.work.borrow_mut(), key.as_ref())?;
        Ok(value.map(Value::from))
    }

    /// See [`Db::set`].
    ///
    /// # Errors
    ///
    /// As [`Db::set`]; [`Error::Restart`] must be passed on.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.set_with(key, value, SetOptions::new()).map(drop)
    }

    /// See [`Db::set_with`].
    ///
    /// # Errors
    ///
    /// As [`Db::set_with`]; [`Error::Restart`] must be passed on.
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<bool> {
        let how = plain(options, false);
        self.grow(|work| Ok(ops::string::set(work, key.as_ref(), value.as_ref(), how)?.written))
    }

    /// See [`Db::append`].
    ///
    /// # Errors
    ///
    /// As [`Db::append`]; [`Error::Restart`] must be passed on.
    pub fn append(&self, key: impl AsRef<[u8]>, suffix: impl AsRef<[u8]>) -> Result<usize> {
        self.grow(|work| ops::string::append(work, key.as_ref(), suffix.as_ref()))
    }

    /// See [`Db::incr`].
    ///
    /// # Errors
    ///
    /// As [`Db::incr`]; [`Error::Restart`] must be passed on.
    pub fn incr(&self, key: impl AsRef<[u8]>) -> Result<i64> {
        self.incr_by(key, 1)
    }

    /// See [`Db::decr`].
    ///
    /// # Errors
    ///
    /// As [`Db::incr`]; [`Error::Restart`] must be passed on.
    pub fn decr(&self, key: impl AsRef<[u8]>) -> Result<i64> {
        self.incr_by(key, -1)
    }

    /// See [`Db::incr_by`].
    ///
    /// # Errors
    ///
    /// As [`Db::incr`]; [`Error::Restart`] must be passed on.
    pub fn incr_by(&self, key: impl AsRef<[u8]>, change: i64) -> Result<i64> {
        self.grow(|work| ops::string::incr_by(work, key.as_ref(), change))
    }

    /// See [`Db::exists`].
    ///
    /// # Errors
    ///
    /// [`Error::Restart`] must be passed on.
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.work.borrow_mut().exists(key.as_ref())
    }

    /// See [`Db::delete`].
    ///
    /// # Errors
    ///
    /// [`Error::Restart`] must be passed on.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.work.borrow_mut().remove(key.as_ref())
    }

    /// See [`Db::expire`].
    ///
    /// # Errors
    ///
    /// [`Error::Restart`] must be passed on.
    pub fn expire(&self, key: impl AsRef<[u8]>, span: std::time::Duration) -> Result<bool> {
        let mut work = self.work.borrow_mut();
        let at = i64::try_from(work.now.saturating_add(millis(span))).unwrap_or(i64::MAX);
        ops::keys::expire_at(&mut work, key.as_ref(), at, ExpireIf::default())
    }

    /// See [`Db::bits`].
    pub fn bits(&self, key: impl AsRef<[u8]>) -> Bits<'_, Self> {
        Bits::new(self, key.as_ref())
    }

    /// See [`Db::geo`].
    pub fn geo(&self, key: impl AsRef<[u8]>) -> Geo<'_, Self> {
        Geo::new(self, key.as_ref())
    }

    /// See [`Db::hyperloglog`].
    pub fn hyperloglog(&self, key: impl AsRef<[u8]>) -> HyperLogLog<'_, Self> {
        HyperLogLog::new(self, key.as_ref())
    }

    /// See [`Db::hash`].
    pub fn hash(&self, key: impl AsRef<[u8]>) -> Hash<'_, Self> {
        Hash::new(self, key.as_ref())
    }

    /// See [`Db::json`].
    pub fn json(&self, key: impl AsRef<[u8]>) -> Json<'_, Self> {
        Json::new(self, key.as_ref())
    }

    /// See [`Db::list`].
    pub fn list(&self, key: impl AsRef<[u8]>) -> List<'_, Self> {
        List::new(self, key.as_ref())
    }

    /// See [`Db::members`].
    pub fn members(&self, key: impl AsRef<[u8]>) -> Set<'_, Self> {
        Set::new(self, key.as_ref())
    }

    /// See [`Db::stream`].
    pub fn stream(&self, key: impl AsRef<[u8]>) -> Stream<'_, Self> {
        Stream::new(self, key.as_ref())
    }

    /// See [`Db::zset`].
    pub fn zset(&self, key: impl AsRef<[u8]>) -> Zset<'_, Self> {
        Zset::new(self, key.as_ref())
    }

    /// See [`Db::command`].
    ///
    /// # Errors
    ///
    /// As [`Db::command`]; [`Error::Restart`] must be passed on.
    pub fn command<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> Result<Reply> {
        let owned: Vec<A> = args.into_iter().collect();
        let args: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        command::execute_in(&mut self.work.borrow_mut(), &args)
    }

    fn grow<R>(&self, body: impl FnOnce(&mut Work<'_>) -> Result<R>) -> Result<R> {
        let mut work = self.work.borrow_mut();
        work.engine.check_growth_inside()?;
        body(&mut work)
    }
}

impl crate::view::sealed::Sealed for Transaction<'_> {}

impl Target for Transaction<'_> {
    fn run<R>(
        &self,
        _key: &[u8],
        grows: bool,
        mut body: impl FnMut(&mut Work<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut work = self.work.borrow_mut();
        if grows {
            work.engine.check_growth_inside()?;
        }
        body(&mut work)
    }
}
