//! Users from the host's side: who may log in, what they may do, and where they are kept.

use std::io;
use std::sync::Arc;

use crate::command::Session;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::Engine;

/// Rights of a user that only reads, without the commands that look at everything.
///
/// # Examples
///
/// ```
/// use upkv::{Db, READ_ONLY_RULES, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// db.acl().set_user("default_ro", ["on", ">the password"])?;
/// db.acl().set_user("default_ro", READ_ONLY_RULES)?;
/// let mut session = db.session();
/// session.log_in("default_ro", "the password")?;
/// session.command(["GET", "a"])?;
/// assert!(session.command(["SET", "a", "1"]).is_err());
/// assert!(session.command(["KEYS", "*"]).is_err());
/// # Ok::<(), upkv::Error>(())
/// ```
pub const READ_ONLY_RULES: [&str; 12] = [
    "allkeys",
    "allchannels",
    "nocommands",
    "+@read",
    "+@connection",
    "+@transaction",
    "+subscribe",
    "+psubscribe",
    "+unsubscribe",
    "+punsubscribe",
    "-@dangerous",
    "-scan",
];

/// Where the users of a database are kept as text: what `ACL SAVE` writes and `ACL LOAD` reads.
pub trait AclStore: Send + Sync + std::fmt::Debug {
    /// The text that was saved last.
    ///
    /// # Errors
    ///
    /// The text cannot be read; no user changes then.
    fn load(&self) -> io::Result<String>;

    /// Keeps a text, whole or not at all.
    ///
    /// # Errors
    ///
    /// The text cannot be kept.
    fn save(&self, text: &str) -> io::Result<()>;
}

/// The users of a database; see [`Db::acl`].
///
/// They are kept in memory: [`Acl::lines`] and [`Acl::load`] carry them over a restart, or an [`AclStore`] does. Calls of
/// the database itself, such as [`Db::command`], are not checked; sessions are.
///
/// # Examples
///
/// ```
/// use upkv::{Db, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// db.acl().set_user("ada", ["on", ">secret", "~ada:*", "+@all"])?;
/// let mut session = db.session();
/// session.command(["AUTH", "ada", "secret"])?;
/// session.command(["SET", "ada:1", "x"])?;
/// let error = session.command(["SET", "bob:1", "x"]).unwrap_err();
/// assert_eq!(error.to_string(), "NOPERM No permissions to access a key");
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Acl {
    engine: Arc<Engine>,
}

impl Db {
    /// The users that sessions of this database log in as.
    pub fn acl(&self) -> Acl {
        Acl {
            engine: Arc::clone(&self.engine),
        }
    }
}

impl Acl {
    /// Creates a user, or changes it by further rules, in the words of `ACL SETUSER`.
    ///
    /// Sessions of the user have the new rights from their next command on; those that are subscribed to what it may no
    /// longer hear are closed.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: a name or a rule is malformed; nothing changes then.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on", ">secret", "~ada:*", "+@read"])?;
    /// db.acl().set_user("ada", ["%W~log", "+append"])?;
    /// assert!(db.acl().set_user("ada", ["+nonsense"]).is_err());
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_user<R: AsRef<[u8]>>(
        &self,
        name: &str,
        rules: impl IntoIterator<Item = R>,
    ) -> Result<()> {
        let owned: Vec<R> = rules.into_iter().collect();
        let rules: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        self.engine.server.set_user(name.as_bytes(), &rules, 0)
    }

    /// Deletes a user and closes its sessions; whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: the user `default` cannot be deleted.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on"])?;
    /// assert!(db.acl().delete_user("ada")?);
    /// assert!(!db.acl().delete_user("ada")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn delete_user(&self, name: &str) -> Result<bool> {
        self.engine.server.delete_user(name.as_bytes(), 0)
    }

    /// The names of the users, sorted.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// assert_eq!(db.acl().users(), ["default"]);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn users(&self) -> Vec<String> {
        self.engine.server.acl.names()
    }

    /// The users as text, one line for each, in the form of Redis' ACL files. Passwords are in it as digests only.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on", "nopass", "~ada:*", "+get"])?;
    /// let lines = db.acl().lines();
    /// assert_eq!(lines[0], "user ada on nopass ~ada:* resetchannels -@all +get");
    ///
    /// let other = Db::mount(&Store::memory()?, "cache")?;
    /// other.acl().load(&lines.join("\n"))?;
    /// assert_eq!(other.acl().lines(), lines);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn lines(&self) -> Vec<String> {
        self.engine.server.acl.lines()
    }

    /// Replaces all users by those of a text. Sessions of users that are gone or have changed are closed; without a line
    /// about `default` that user may do everything.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: what is wrong with which lines; nothing changes then.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.acl().load("# who may do what\nuser ada on nopass ~* +@all\n")?;
    /// assert_eq!(db.acl().users(), ["ada", "default"]);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn load(&self, text: &str) -> Result<()> {
        self.engine.server.load_users(text, 0)
    }

    /// Sets the password of the user `default`, as `requirepass` does; with an empty one it needs none.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.acl().set_default_password("secret");
    /// let mut session = db.session();
    /// assert!(session.command(["GET", "a"]).is_err());
    /// session.command(["AUTH", "secret"])?;
    /// session.command(["GET", "a"])?;
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_default_password(&self, password: &str) {
        self.engine.server.acl.set_default_password(password);
    }

    /// The name of the user that a token stands for; `None` if it stands for none. [`Acl::token`] and `ACL GENTOKEN` make
    /// tokens.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on", ">a long enough secret", "~*", "+@all"])?;
    /// let token = db.acl().token("ada", "a long enough secret")?;
    /// assert_eq!(db.acl().authenticate(&token).as_deref(), Some("ada"));
    /// assert_eq!(db.acl().authenticate("nonsense"), None);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn authenticate(&self, token: &str) -> Option<String> {
        let account = self.engine.server.acl.bearer(token)?;
        Some((*account.name).into())
    }

    /// A token that holds as long as the user has this password. The password can be read from it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: there is no such user, it is off, it needs no password, or has another one.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on", ">a long enough secret"])?;
    /// let token = db.acl().token("ada", "a long enough secret")?;
    /// db.acl().set_user("ada", ["resetpass"])?;
    /// assert_eq!(db.acl().authenticate(&token), None);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn token(&self, user: &str, password: &str) -> Result<String> {
        let (acl, user) = (&self.engine.server.acl, user.as_bytes());
        let token = acl.token_for(user, password.as_bytes());
        token.ok_or_else(|| no_token(user))
    }

    /// Sets where `ACL SAVE` and `ACL LOAD` keep users; without one they are refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io, sync::{Arc, Mutex}};
    /// use upkv::{AclStore, Db, Store};
    ///
    /// #[derive(Debug, Default)]
    /// struct Kept(Mutex<String>);
    /// impl AclStore for Kept {
    ///     fn load(&self) -> io::Result<String> {
    ///         Ok(self.0.lock().expect("no panic").clone())
    ///     }
    ///     fn save(&self, text: &str) -> io::Result<()> {
    ///         *self.0.lock().expect("no panic") = text.into();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.acl().set_store(Some(Arc::new(Kept::default())));
    /// db.session().command(["ACL", "SAVE"])?;
    /// db.acl().set_user("ada", ["on"])?;
    /// db.session().command(["ACL", "LOAD"])?;
    /// assert_eq!(db.acl().users(), ["default"]);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_store(&self, store: Option<Arc<dyn AclStore>>) {
        self.engine.server.acl.set_store(store);
    }
}

/// A token that cannot be given.
#[cold]
pub(crate) fn no_token(user: &[u8]) -> Error {
    let user = String::from_utf8_lossy(user);
    Error::refused_with(format!(
        "ERR Wrong password or user \"{user}\" does not exist"
    ))
}

impl Session {
    /// Logs in with a password, as `AUTH` does.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: no such user, it is off, or has another password; the session stays as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on", ">secret"])?;
    /// let mut session = db.session();
    /// assert!(session.log_in("ada", "wrong").is_err());
    /// session.log_in("ada", "secret")?;
    /// assert_eq!(session.user(), Some("ada"));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn log_in(&mut self, user: &str, password: &str) -> Result<()> {
        self.login(b"AUTH", user.as_bytes(), password.as_bytes())
    }

    /// Logs in with a token; see [`Acl::authenticate`].
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: the token stands for no user; the session stays as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on", ">a long enough secret", "~*", "+@all"])?;
    /// let token = db.acl().token("ada", "a long enough secret")?;
    /// let mut session = db.session();
    /// session.log_in_with_token(&token)?;
    /// assert_eq!(session.user(), Some("ada"));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn log_in_with_token(&mut self, token: &str) -> Result<()> {
        let account = self.db.engine.server.acl.bearer(token);
        let account = account.ok_or_else(crate::command::wrong_password)?;
        self.enter(account)
    }

    /// Acts as a user from now on, for a host that knows by other means who it serves.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: there is no such user, or it is off; the session stays as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.acl().set_user("ada", ["on", "~*", "+get"])?;
    /// let mut session = db.session();
    /// session.act_as("ada")?;
    /// session.command(["GET", "a"])?;
    /// assert!(session.command(["SET", "a", "1"]).is_err());
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn act_as(&mut self, user: &str) -> Result<()> {
        let account = self.db.engine.server.acl.enabled(user);
        self.enter(account.ok_or_else(crate::command::wrong_password)?)
    }

    /// The name of the user; `None` before a login that is needed.
    pub fn user(&self) -> Option<&str> {
        self.account.as_ref().map(|account| &*account.name)
    }
}
