//! Several commands that wait for the disk together.

use super::Reply;
use super::waiting::execute_as;
use crate::db::Db;
use crate::error::Result;
use crate::keyspace::engine::Caller;
use crate::storage::Durability;

impl Db {
    /// Runs commands one after the other, each a commit of its own, and then waits once until all of them are as
    /// durable as the handle's level says: what a client does that sends many requests before it reads the replies.
    ///
    /// Others may see the changes of a command before the last one has run. A command that fails does not keep the
    /// following ones from running; its error is its place in the answer. A blocking command waits as in
    /// [`Db::command`], and those before it are not held up by that: they are made durable first.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Storage`] if the commits cannot be made durable; what was written then is unknown, as after
    /// [`Db::command`].
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Reply, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// let replies = db.pipeline([&["SET", "a", "1"][..], &["INCR", "a"], &["LPUSH", "a", "x"]])?;
    /// assert!(matches!(replies[1], Ok(Reply::Int(2))));
    /// assert!(replies[2].is_err(), "a string is no list");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn pipeline<C, A>(
        &self,
        commands: impl IntoIterator<Item = C>,
    ) -> Result<Vec<Result<Reply>>>
    where
        C: IntoIterator<Item = A>,
        A: AsRef<[u8]>,
    {
        let caller = self.caller();
        let in_memory = Caller {
            level: Some(Durability::Memory),
            ..caller
        };
        let settle = || self.engine.settle_all(caller.level);
        let mut replies = Vec::new();
        for command in commands {
            let (owned, refs);
            owned = command.into_iter().collect::<super::Words<A>>();
            refs = owned
                .iter()
                .map(AsRef::as_ref)
                .collect::<super::Words<&[u8]>>();
            replies.push(execute_as(self, in_memory, &refs, settle));
        }
        settle()?;
        Ok(replies)
    }
}
