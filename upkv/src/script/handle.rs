//! Scripts for programs: loaded once, run with keys and arguments.

use std::sync::Arc;

use super::cache::Cached;
use super::flags::KEY_LOCKING;
use super::run::{Job, Program, check, run};
use crate::command::Reply;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::Keys;

/// A script that is compiled once and can be run from any thread.
///
/// # Examples
///
/// ```
/// use upkv::{Db, Reply, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// let take = db.script(
///     "#!lua flags=allow-key-locking
///     local left = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
///     if left == 0 then return 0 end
///     redis.call('SET', KEYS[1], left - 1)
///     return 1",
/// )?;
/// assert_eq!(take.eval(["stock"], ["1"])?, Reply::Int(1));
/// assert_eq!(take.eval(["stock"], ["1"])?, Reply::Int(0));
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Script {
    db: Db,
    script: Arc<Cached>,
}

impl Db {
    /// Loads a script in Lua 5.1, as `SCRIPT LOAD`; [`Script::eval`] runs it.
    ///
    /// Unless its first line is `#!lua flags=allow-key-locking`, a run locks the whole database.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: it does not compile, or its first line is malformed.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let script = db.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")?;
    /// assert_eq!(script.eval(["visits"], ["5"])?, upkv::Reply::Int(5));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn script(&self, body: impl AsRef<[u8]>) -> Result<Script> {
        let script = Cached::new(body.as_ref())?;
        let scripts = &self.engine.scripts;
        check(&script, scripts.limits.memory_bytes)?;
        scripts.cache().put(&script, true);
        Ok(Script {
            db: self.clone(),
            script,
        })
    }
}

impl Script {
    /// SHA-1 of the script in hexadecimal digits, by which `EVALSHA` knows it.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let script = db.script("return 1")?;
    /// assert_eq!(db.command(["EVALSHA", script.sha1(), "0"])?, upkv::Reply::Int(1));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn sha1(&self) -> &str {
        &self.script.name
    }

    /// Runs the script with `KEYS` and `ARGV`; everything it does is one commit.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the line that a server would send if the script raises or returns an error: what it wrote
    /// before stays, as in Redis. [`Error::Aborted`] if it was stopped at a limit or killed: nothing stays.
    ///
    /// # Blocking
    ///
    /// While other scripts, or writers of the same keys, run: each for at most the time limit of scripts.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let script = db.script("redis.call('SET', KEYS[1], 'x') error('late')")?;
    /// let error = script.eval(["a"], [""; 0]).unwrap_err();
    /// assert!(error.to_string().starts_with("ERR user_script:1: late script: "));
    /// assert!(db.exists("a")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn eval<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Reply> {
        let (keys, args): (Vec<K>, Vec<A>) =
            (keys.into_iter().collect(), args.into_iter().collect());
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        let values: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
        let job = Job {
            program: Program::Script(&self.script),
            keys: &keys,
            argv: &values,
            read_only: false,
            command: &[],
        };
        let locks = if self.script.flags & KEY_LOCKING == 0 {
            Keys::All
        } else {
            Keys::Many(&keys)
        };
        let db = &self.db;
        let reply = db
            .engine
            .run(db.index, db.level, locks, |work| run(work, &job))?;
        match reply {
            Reply::Error(line) => Err(Error::refused_with(line)),
            reply => Ok(reply),
        }
    }
}
