//! Whether a user may run a command with its arguments, and what it is told if not.

use super::access;
use super::user::User;
use crate::command::Command;
use crate::command::row::NOAUTH;
use crate::error::Error;

/// What a user has no right to; positions are those of arguments. In the order in which reasons are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Denied {
    Command,
    Key(usize),
    Channel(usize),
}

/// Positions of channels among the arguments, and whether they are patterns.
fn channels(command: &Command, args: &[&[u8]]) -> (std::ops::Range<usize>, bool) {
    match command.name {
        "publish" | "spublish" => (1..args.len().min(2), false),
        "subscribe" | "ssubscribe" => (1..args.len(), false),
        "psubscribe" => (1..args.len(), true),
        _ => (0..0, false),
    }
}

impl User {
    /// Whether the user may run a command: one of its sets of rights has to allow all of it.
    ///
    /// # Complexity
    ///
    /// Patterns times keys times their lengths.
    pub(crate) fn check(&self, command: &Command, args: &[&[u8]]) -> Result<(), Denied> {
        if self.is_unrestricted() {
            return Ok(());
        }
        let mut keys = command.key_positions(args);
        keys.sort_unstable();
        let (to_first, to_others) = access::of(command, args);
        let (channels, are_patterns) = channels(command, args);
        let mut denied = Denied::Command;
        for selector in self.selectors() {
            let found = if !selector.allows_command(command, args) && !command.has(NOAUTH) {
                Some(Denied::Command)
            } else {
                let bad_key = keys.iter().enumerate().find(|(order, at)| {
                    let access = if *order == 0 { to_first } else { to_others };
                    !selector.allows_key(args[**at], access)
                });
                let bad_channel = || {
                    let mut channels = channels.clone();
                    channels.find(|at| !selector.allows_channel(args[*at], are_patterns))
                };
                let bad_key = bad_key.map(|(_, at)| Denied::Key(*at));
                bad_key.or_else(|| bad_channel().map(Denied::Channel))
            };
            match found {
                None => return Ok(()),
                Some(found) => denied = denied.max(found),
            }
        }
        Err(denied)
    }
}

impl Denied {
    /// The word for it in the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key(_) => "key",
            Self::Channel(_) => "channel",
        }
    }

    /// What was refused.
    pub(crate) fn object(self, command: &Command, args: &[&[u8]]) -> Box<[u8]> {
        match self {
            Self::Command => command.name.as_bytes().into(),
            Self::Key(at) | Self::Channel(at) => args.get(at).copied().unwrap_or_default().into(),
        }
    }

    /// What the user itself is told, which names no key.
    pub(crate) fn error(self, user: &str, command: &Command) -> Error {
        match self {
            Self::Command => Error::refused_with(format!(
                "NOPERM User {user} has no permissions to run the '{}' command",
                command.name
            )),
            Self::Key(_) => Error::refused("NOPERM No permissions to access a key"),
            Self::Channel(_) => Error::refused("NOPERM No permissions to access a channel"),
        }
    }

    /// What an administrator is told.
    pub(crate) fn explain(self, user: &str, command: &Command, args: &[&[u8]]) -> String {
        let object = self.object(command, args);
        let object = String::from_utf8_lossy(&object);
        match self {
            Self::Command => {
                format!("User {user} has no permissions to run the '{object}' command")
            }
            Self::Key(_) => format!("User {user} has no permissions to access the '{object}' key"),
            Self::Channel(_) => {
                format!("User {user} has no permissions to access the '{object}' channel")
            }
        }
    }
}
