//! Deadlines of single fields, on the hash view.

use std::time::Duration;

use super::{Hash, Target};
use crate::db::Ttl;
use crate::error::Result;
use crate::ops::field_ttl::{
    self, FieldDeadline, FieldExpired, SetIf, Touch, check_deadline, expire_at,
};
use crate::ops::keys::ExpireIf;
use crate::options::{Condition, Deadline, SetOptions, millis};
use crate::storage::Timestamp;
use crate::value::owned::Value;

impl<T: Target> Hash<'_, T> {
    /// Lets a field disappear after `span`; whether it exists. A span of zero removes it, and the key
    /// with its last field.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`]; [`crate::Error::Refused`] for a deadline of 2^46 ms since the epoch or later.
    ///
    /// # Complexity
    ///
    /// O(log n) in the fields with deadlines.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upkv::{Db, Store, Ttl};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// let user = db.hash("user:1");
    /// user.set_many([("name", "ada"), ("otp", "9134")])?;
    /// assert!(user.expire("otp", Duration::from_secs(60))?);
    /// assert!(matches!(user.ttl("otp")?, Ttl::Left(_)));
    /// assert_eq!(user.ttl("name")?, Ttl::Forever);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn expire(&self, field: impl AsRef<[u8]>, span: Duration) -> Result<bool> {
        let span = millis(span);
        self.expire_when(field.as_ref(), |now| now.checked_add(span))
    }

    /// Lets a field disappear at `deadline`; whether it exists. A deadline that has passed removes it.
    ///
    /// # Errors
    ///
    /// As [`Hash::expire`].
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store, Timestamp};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// let user = db.hash("user:1");
    /// user.set("otp", "9134")?;
    /// assert!(user.expire_at("otp", Timestamp::from_millis(1))?);
    /// assert!(user.is_empty()?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn expire_at(&self, field: impl AsRef<[u8]>, deadline: Timestamp) -> Result<bool> {
        self.expire_when(field.as_ref(), |_| Some(deadline.as_millis()))
    }

    fn expire_when(&self, field: &[u8], at: impl Fn(u64) -> Option<u64>) -> Result<bool> {
        self.target.run(&self.key, false, |work| {
            let at = check_deadline(at(work.now), "hpexpire")?;
            let done = expire_at(work, &self.key, &[field], at, ExpireIf::default())?;
            Ok(done != [FieldExpired::NoField])
        })
    }

    /// Removes a field's deadline; whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let user = db.hash("user:1");
    /// user.set("name", "ada")?;
    /// user.expire("name", Duration::from_secs(60))?;
    /// assert!(user.persist("name")?);
    /// assert!(!user.persist("name")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn persist(&self, field: impl AsRef<[u8]>) -> Result<bool> {
        let field = field.as_ref();
        self.target.run(&self.key, false, |work| {
            let before = field_ttl::persist(work, &self.key, &[field])?;
            Ok(matches!(before[..], [Some(at)] if at != 0))
        })
    }

    /// How long a field has left.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store, Ttl};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// assert_eq!(db.hash("user:1").ttl("name")?, Ttl::Missing);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn ttl(&self, field: impl AsRef<[u8]>) -> Result<Ttl> {
        let field = field.as_ref();
        self.target.run(&self.key, false, |work| {
            let now = work.now;
            let found = field_ttl::deadlines(work, &self.key, &[field])?;
            Ok(match found[..] {
                [Some(0)] => Ttl::Forever,
                [Some(at)] => Ttl::Left(Duration::from_millis(at - now)),
                _ => Ttl::Missing,
            })
        })
    }

    /// Sets fields under a condition and with a deadline, all or none; whether they were set.
    /// [`SetOptions::if_absent`] asks that none of the fields exists, [`SetOptions::if_present`] that all do.
    ///
    /// # Errors
    ///
    /// As [`Hash::set`]; [`crate::Error::Refused`] for a time to live of zero or a deadline of 2^46 ms since
    /// the epoch or later.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upkv::{Db, SetOptions, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// let user = db.hash("user:1");
    /// let once = SetOptions::new().if_absent().expire_in(Duration::from_secs(60));
    /// assert!(user.set_with([("otp", "9134"), ("tries", "0")], once)?);
    /// assert!(!user.set_with([("otp", "0000")], once)?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_with<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (F, V)>,
        options: SetOptions,
    ) -> Result<bool> {
        let owned: Vec<(F, V)> = pairs.into_iter().collect();
        let when = match options.condition {
            Condition::Always => SetIf::Always,
            Condition::IfAbsent => SetIf::AllAbsent,
            Condition::IfPresent => SetIf::AllPresent,
        };
        self.target.run(&self.key, true, |work| {
            let deadline = match options.deadline {
                Deadline::Clear => FieldDeadline::Clear,
                Deadline::Keep => FieldDeadline::Keep,
                Deadline::In(0) => FieldDeadline::At(check_deadline(None, "hsetex")?),
                Deadline::In(span) => {
                    let at = work.now.checked_add(span);
                    FieldDeadline::At(check_deadline(at, "hsetex")?)
                }
                Deadline::At(at) => FieldDeadline::At(check_deadline(Some(at), "hsetex")?),
            };
            let pairs = owned
                .iter()
                .map(|(field, value)| (field.as_ref(), value.as_ref()));
            field_ttl::set_ex(work, &self.key, pairs, when, deadline)
        })
    }

    /// Reads a field and lets it disappear after `span`.
    ///
    /// # Errors
    ///
    /// As [`Hash::expire`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let user = db.hash("user:1");
    /// user.set("session", "abc")?;
    /// let session = user.get_and_expire("session", Duration::from_secs(60))?;
    /// assert_eq!(session.expect("set above"), "abc");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn get_and_expire(&self, field: impl AsRef<[u8]>, span: Duration) -> Result<Option<Value>> {
        let (field, span) = (field.as_ref(), millis(span));
        self.target.run(&self.key, false, |work| {
            let at = check_deadline(work.now.checked_add(span), "hgetex")?;
            let found = field_ttl::get_ex(work, &self.key, &[field], Touch::At(at))?;
            Ok(found.into_iter().flatten().next().map(Value::from))
        })
    }

    /// Reads a field and removes it. The key disappears with its last field.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let user = db.hash("user:1");
    /// user.set("otp", "9134")?;
    /// assert_eq!(user.take("otp")?.expect("set above"), "9134");
    /// assert!(user.take("otp")?.is_none());
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn take(&self, field: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let field = field.as_ref();
        self.target.run(&self.key, false, |work| {
            let found = field_ttl::get_del(work, &self.key, &[field])?;
            Ok(found.into_iter().flatten().next().map(Value::from))
        })
    }
}
