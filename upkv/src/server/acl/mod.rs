//! Who may do what: users, and what was refused to them.
//!
//! A session holds the [`Account`] of its user. Invariant: there is always a user `default`; an account is what its name
//! stands for until the user is deleted, and then its sessions are closed. Changes are seen by the next command.

pub(crate) mod access;
pub(crate) mod category;
pub(crate) mod check;
pub(crate) mod log;
pub(crate) mod selector;
pub(crate) mod tokens;
pub(crate) mod user;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::log::Log;
use self::tokens::Token;
use self::user::{User, hash};
use super::Server;
use crate::acl::AclStore;
use crate::error::{Error, Result};
use crate::storage::sync::{AtomicBool, Ordering, RwLock};

/// The user that a connection is before it logs in.
pub(crate) const DEFAULT_USER: &str = "default";

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Acl {
    accounts: RwLock<BTreeMap<Box<str>, Arc<Account>>>,
    pub(crate) log: Log,
    store: RwLock<Option<Arc<dyn AclStore>>>,
    /// The password that `requirepass` was set to.
    default_password: RwLock<String>,
}

/// A user under its name.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: Box<str>,
    user: RwLock<Arc<User>>,
    /// Whether nothing has to be checked; read by every command.
    unrestricted: AtomicBool,
}

impl Account {
    fn new(name: &str, user: User) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            unrestricted: AtomicBool::new(user.is_unrestricted()),
            user: RwLock::new(Arc::new(user)),
        })
    }

    pub(crate) fn user(&self) -> Arc<User> {
        Arc::clone(&self.user.read())
    }

    fn set(&self, user: User) {
        let mut known = self.user.write();
        // Release pairs with the Acquire below: who reads `false` finds the new rights.
        self.unrestricted
            .store(user.is_unrestricted(), Ordering::Release);
        *known = Arc::new(user);
    }

    pub(crate) fn is_unrestricted(&self) -> bool {
        self.unrestricted.load(Ordering::Acquire)
    }
}

impl Default for Acl {
    fn default() -> Self {
        let account = Account::new(DEFAULT_USER, User::everything());
        let accounts = BTreeMap::from([(DEFAULT_USER.into(), account)]);
        Self {
            accounts: RwLock::new(accounts),
            log: Log::default(),
            store: RwLock::default(),
            default_password: RwLock::default(),
        }
    }
}

/// A name that no user can have.
#[cold]
fn bad_name() -> Error {
    Error::refused("ERR Usernames can't contain spaces or null characters")
}

fn name_of(name: &[u8]) -> Result<&str> {
    let is_bad = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b);
    if name.iter().any(is_bad) {
        return Err(bad_name());
    }
    str::from_utf8(name).map_err(|_| bad_name())
}

/// Puts the parts of sets of rights in parentheses together.
fn merged(rules: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
    let mut found: Vec<Vec<u8>> = Vec::with_capacity(rules.len());
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for rule in rules {
        let ends = rule.last() == Some(&b')');
        open = match open {
            Some((first, mut parts)) => {
                parts.push(b' ');
                parts.extend_from_slice(rule);
                if ends {
                    found.push(parts);
                    None
                } else {
                    Some((first, parts))
                }
            }
            None if rule.first() == Some(&b'(') && !ends => Some((rule, rule.to_vec())),
            None => {
                found.push(rule.to_vec());
                None
            }
        };
    }
    if let Some((first, _)) = open {
        let first = String::from_utf8_lossy(first);
        return Err(Error::refused_with(format!(
            "ERR Unmatched parenthesis in acl selector starting at '{first}'."
        )));
    }
    Ok(found)
}

/// A user changed by rules.
fn changed(mut user: User, rules: &[&[u8]], all_channels: bool) -> Result<User> {
    for rule in merged(rules)? {
        user.apply(&rule, all_channels).map_err(|why| {
            let (rule, why) = (String::from_utf8_lossy(&rule), why.text());
            Error::refused_with(format!("ERR Error in ACL SETUSER modifier '{rule}': {why}"))
        })?;
    }
    Ok(user)
}

impl Acl {
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.read().get(name).cloned()
    }

    /// The account of a client that has not logged in, if that may be used without a password.
    pub(crate) fn open_default(&self) -> Option<Arc<Account>> {
        let account = self.find(DEFAULT_USER)?;
        let user = account.user();
        (user.on && user.no_password).then_some(account)
    }

    /// Whether the default user takes any password.
    pub(crate) fn default_needs_no_password(&self) -> bool {
        let account = self.find(DEFAULT_USER);
        account.is_some_and(|account| account.user().no_password)
    }

    /// The account of a user that may log in.
    pub(crate) fn enabled(&self, name: &str) -> Option<Arc<Account>> {
        self.find(name).filter(|account| account.user().on)
    }

    /// The account that a name and a password stand for.
    pub(crate) fn log_in(&self, name: &[u8], password: &[u8]) -> Option<Arc<Account>> {
        let account = self.enabled(str::from_utf8(name).ok()?)?;
        let user = account.user();
        let right = user.no_password || user.has_password(&hash(password));
        right.then_some(account)
    }

    /// The account that a token stands for.
    pub(crate) fn bearer(&self, token: &str) -> Option<Arc<Account>> {
        let token = Token::parse(token)?;
        let account = self.find(&token.user)?;
        token.proves(&account.user()).then_some(account)
    }

    /// A token for a user whose password is given.
    pub(crate) fn token_for(&self, name: &[u8], password: &[u8]) -> Option<String> {
        let account = self.log_in(name, password)?;
        let no_password = account.user().no_password;
        if no_password {
            return None;
        }
        // A password may be a token already.
        let held = str::from_utf8(password)
            .ok()
            .filter(|text| Token::parse(text).is_some_and(|token| token.user == *account.name));
        held.map_or_else(
            || tokens::token(&account.name, password),
            |held| Some(held.into()),
        )
    }

    /// Names of the users, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.accounts
            .read()
            .keys()
            .map(|name| (**name).into())
            .collect()
    }

    /// The users as lines, sorted by name.
    pub(crate) fn lines(&self) -> Vec<String> {
        let accounts = self.accounts.read();
        let line =
            |account: &Arc<Account>| format!("user {} {}", account.name, account.user().show());
        accounts.values().map(line).collect()
    }

    pub(crate) fn default_password(&self) -> String {
        self.default_password.read().clone()
    }

    /// Makes the default user ask for a password; for none if it is empty.
    pub(crate) fn set_default_password(&self, password: &str) {
        *self.default_password.write() = password.into();
        // Nobody else may change the user between the look and the change.
        let accounts = self.accounts.write();
        if let Some(account) = accounts.get(DEFAULT_USER) {
            let mut user = User::clone(&account.user());
            user.set_only_password(password.as_bytes());
            account.set(user);
        }
    }

    pub(crate) fn set_store(&self, store: Option<Arc<dyn AclStore>>) {
        *self.store.write() = store;
    }

    /// Where users are kept.
    pub(crate) fn store(&self) -> Result<Arc<dyn AclStore>> {
        self.store.read().clone().ok_or_else(|| {
            Error::refused(
                "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
                 SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in \
                 order to store users in the Redis configuration.",
            )
        })
    }
}

/// Reads users from lines; what is wrong with all that are.
fn parse(text: &str, all_channels: bool) -> Result<BTreeMap<Box<str>, User>> {
    let mut users = BTreeMap::new();
    let mut wrong = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&[u8]> = line.split_ascii_whitespace().map(str::as_bytes).collect();
        let parsed = match &words[..] {
            [] => continue,
            [first, ..] if first.starts_with(b"#") => continue,
            [b"user", name, rules @ ..] => name_of(name).and_then(|name| {
                let user = changed(User::new(all_channels), rules, all_channels)?;
                match users.insert(name.into(), user) {
                    None => Ok(()),
                    Some(_) => Err(Error::refused_with(format!("ERR user '{name}' twice"))),
                }
            }),
            _ => Err(Error::refused(
                "ERR should start with user keyword followed by the username",
            )),
        };
        if let Err(error) = parsed {
            let why = error.to_string();
            let why = why
                .strip_prefix("ERR ")
                .unwrap_or(&why)
                .trim_end_matches('.');
            wrong.push(format!("line {}: {why}.", at + 1));
        }
    }
    if wrong.is_empty() {
        return Ok(users);
    }
    let wrong = wrong.join(" ");
    Err(Error::refused_with(format!(
        "ERR {wrong} WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    )))
}

impl Server {
    /// Creates or changes a user; `me` is the client that asks.
    pub(crate) fn set_user(&self, name: &[u8], rules: &[&[u8]], me: u64) -> Result<()> {
        let all_channels = self.config.new_users_hear_all();
        let name = name_of(name)?;
        let mut accounts = self.acl.accounts.write();
        let known = accounts.get(name).cloned();
        let before = known.as_ref().map_or_else(
            || User::new(all_channels),
            |account| User::clone(&account.user()),
        );
        let user = changed(before, rules, all_channels)?;
        let Some(account) = known else {
            accounts.insert(name.into(), Account::new(name, user));
            return Ok(());
        };
        account.set(user);
        drop(accounts);
        self.silence(&account, me);
        Ok(())
    }

    /// Deletes a user and closes its connections; whether there was one.
    pub(crate) fn delete_user(&self, name: &[u8], me: u64) -> Result<bool> {
        if name == DEFAULT_USER.as_bytes() {
            return Err(Error::refused("ERR The 'default' user cannot be removed"));
        }
        let Ok(name) = str::from_utf8(name) else {
            return Ok(false);
        };
        let found = self.acl.accounts.write().remove(name).is_some();
        if found {
            self.close_clients_of(name, me);
        }
        Ok(found)
    }

    fn close_clients_of(&self, name: &str, me: u64) {
        for client in self.clients.all() {
            if client.facts().user != name {
                continue;
            }
            if client.id() == me {
                client.close_after_reply();
            } else {
                client.close();
            }
        }
    }

    /// Closes connections of a user that are subscribed to what it may not hear any longer.
    fn silence(&self, account: &Account, me: u64) {
        let user = account.user();
        if user.is_unrestricted() {
            return;
        }
        for client in self.clients.all() {
            let facts = client.facts();
            let concerned = facts.user == *account.name && facts.subscriptions() > 0;
            drop(facts);
            let allowed = |(name, is_pattern): &(Box<[u8]>, bool)| {
                let mut selectors = user.selectors().iter();
                selectors.any(|selector| selector.allows_channel(name, *is_pattern))
            };
            if !concerned || self.channels.names_of(client.id()).iter().all(allowed) {
                continue;
            }
            if client.id() == me {
                client.close_after_reply();
            } else {
                client.close();
            }
        }
    }

    /// Replaces all users by those of a text; connections of users that are gone or changed are closed.
    pub(crate) fn load_users(&self, text: &str, me: u64) -> Result<()> {
        let all_channels = self.config.new_users_hear_all();
        let mut users = parse(text, all_channels)?;
        users
            .entry(DEFAULT_USER.into())
            .or_insert_with(User::everything);
        let mut accounts = self.acl.accounts.write();
        let gone = |name: &str| !users.contains_key(name);
        let mut ended: Vec<Box<str>> = accounts
            .keys()
            .filter(|name| gone(name.as_ref()))
            .cloned()
            .collect();
        accounts.retain(|name, _| users.contains_key(name));
        for (name, user) in users {
            match accounts.get(&name) {
                None => {
                    let account = Account::new(&name, user);
                    accounts.insert(name, account);
                }
                Some(account) if account.user().show() == user.show() => {}
                Some(account) => {
                    account.set(user);
                    if *name != *DEFAULT_USER {
                        ended.push(name);
                    }
                }
            }
        }
        drop(accounts);
        for name in &ended {
            self.close_clients_of(name, me);
        }
        if let Some(account) = self.acl.find(DEFAULT_USER) {
            self.silence(&account, me);
        }
        Ok(())
    }
}
