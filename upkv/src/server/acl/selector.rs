//! One set of rights: commands, keys and channels.
//!
//! Invariant: the rules that are told, applied to a new set, give the same rights. Rules hold no white space.

use std::collections::BTreeMap;

use super::access::{Access, BOTH};
use super::category;
use crate::command::row::Handler;
use crate::command::{Command, sorted_rows};
use crate::glob;

/// See the module documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    commands: Commands,
    pub(crate) all_keys: bool,
    keys: Vec<(Access, Box<str>)>,
    pub(crate) all_channels: bool,
    channels: Vec<Box<str>>,
}

/// Which commands may be run.
#[derive(Clone, Debug, Default)]
struct Commands {
    /// A bit for each row of the command table; missing ones are not set.
    bits: Vec<u64>,
    /// All, those of later versions included.
    all: bool,
    /// Starts from all rather than from none.
    from_all: bool,
    /// Commands without subcommands that are allowed with some first arguments only, by row.
    first_arguments: BTreeMap<usize, Vec<Box<str>>>,
    /// What was said, but for what was said otherwise later.
    rules: Vec<(bool, String)>,
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRule {
    Syntax,
    Unknown,
    KeysAreAll,
    ChannelsAreAll,
    NoSuchPassword,
    NotHash,
    FirstArgumentOfSubcommand,
}

impl BadRule {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Syntax => "Syntax error",
            Self::Unknown => "Unknown command or category name in ACL",
            Self::KeysAreAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelsAreAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::NotHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::FirstArgumentOfSubcommand => {
                "Allowing first-arg of a subcommand is not supported"
            }
        }
    }
}

/// Position of a command's row.
fn row_of(name: &str) -> Option<usize> {
    sorted_rows()
        .binary_search_by(|row| row.name.cmp(name))
        .ok()
}

impl Commands {
    fn everything() -> Self {
        Self {
            bits: vec![u64::MAX; sorted_rows().len().div_ceil(64)],
            all: true,
            from_all: true,
            ..Self::default()
        }
    }

    fn bit(&self, row: usize) -> bool {
        let word = self.bits.get(row / 64).copied().unwrap_or(0);
        word >> (row % 64) & 1 == 1
    }

    fn set_bit(&mut self, row: usize, allow: bool) {
        if self.bits.len() <= row / 64 {
            self.bits.resize(row / 64 + 1, 0);
        }
        let mask = 1 << (row % 64);
        if allow {
            self.bits[row / 64] |= mask;
        } else {
            self.bits[row / 64] &= !mask;
            self.all = false;
        }
    }

    /// Allows or refuses a command with its subcommands.
    fn set(&mut self, row: usize, allow: bool) {
        self.set_bit(row, allow);
        self.first_arguments.remove(&row);
        let rows = sorted_rows();
        if matches!(rows[row].handler, Handler::Container) {
            let prefix = format!("{}|", rows[row].name);
            let subs = rows.iter().enumerate();
            for (sub, _) in subs.filter(|(_, sub)| sub.name.starts_with(&prefix)) {
                self.set_bit(sub, allow);
            }
        }
    }

    /// Notes a rule in place of those that it covers.
    fn note(&mut self, allow: bool, rule: String) {
        let covers = |before: &str| {
            let rest = before.strip_prefix(&rule[..]);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        };
        self.rules.retain(|(_, before)| !covers(before));
        self.rules.push((allow, rule));
    }

    fn change(&mut self, allow: bool, rule: &str) -> Result<(), BadRule> {
        let rule = rule.to_ascii_lowercase();
        if rule == "@all" {
            *self = if allow {
                Self::everything()
            } else {
                Self::default()
            };
            return Ok(());
        }
        if let Some(category) = rule.strip_prefix('@') {
            let bit = category::named(category.as_bytes()).ok_or(BadRule::Unknown)?;
            let rows = sorted_rows().iter().enumerate();
            for (at, _) in rows.filter(|(_, row)| category::of(row) & bit != 0) {
                self.set(at, allow);
            }
        } else if let Some(row) = row_of(&rule) {
            self.set(row, allow);
        } else {
            let (command, argument) = rule.rsplit_once('|').ok_or(BadRule::Unknown)?;
            let row = row_of(command).filter(|_| allow).ok_or(BadRule::Unknown)?;
            if command.contains('|') {
                return Err(BadRule::FirstArgumentOfSubcommand);
            }
            if argument.is_empty() {
                return Err(BadRule::Syntax);
            }
            if matches!(sorted_rows()[row].handler, Handler::Container) {
                return Err(BadRule::Unknown);
            }
            let known = self.first_arguments.entry(row).or_default();
            if !known.iter().any(|one| **one == *argument) {
                known.push(argument.into());
            }
        }
        self.note(allow, rule);
        Ok(())
    }

    fn allow(&self, command: &Command, args: &[&[u8]]) -> bool {
        if self.all {
            return true;
        }
        let Some(row) = row_of(command.name) else {
            return false;
        };
        let is_allowed = |first: &str| {
            args.get(1)
                .is_some_and(|given| given.eq_ignore_ascii_case(first.as_bytes()))
        };
        self.bit(row)
            || self
                .first_arguments
                .get(&row)
                .is_some_and(|allowed| allowed.iter().any(|first| is_allowed(first)))
    }
}

fn has_space(text: &str) -> bool {
    text.bytes()
        .any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
}

impl Selector {
    /// One that allows no command and no key.
    pub(crate) fn new(all_channels: bool) -> Self {
        Self {
            all_channels,
            ..Self::default()
        }
    }

    /// One that allows everything.
    pub(crate) fn everything() -> Self {
        Self {
            commands: Commands::everything(),
            all_keys: true,
            all_channels: true,
            ..Self::default()
        }
    }

    pub(crate) fn allows_everything(&self) -> bool {
        self.commands.all && self.all_keys && self.all_channels
    }

    /// Changes rights by one rule; nothing changes if it is refused.
    pub(crate) fn apply(&mut self, rule: &str) -> Result<(), BadRule> {
        match &rule.to_ascii_lowercase()[..] {
            "allkeys" | "~*" => {
                self.all_keys = true;
                self.keys.clear();
                return Ok(());
            }
            "resetkeys" => {
                self.all_keys = false;
                self.keys.clear();
                return Ok(());
            }
            "allchannels" | "&*" => {
                self.all_channels = true;
                self.channels.clear();
                return Ok(());
            }
            "resetchannels" => {
                self.all_channels = false;
                self.channels.clear();
                return Ok(());
            }
            "allcommands" => return self.commands.change(true, "@all"),
            "nocommands" => return self.commands.change(false, "@all"),
            _ => {}
        }
        let mut rest = rule.chars();
        match (rest.next(), rest.as_str()) {
            (Some('~'), pattern) => self.add_keys(BOTH, pattern),
            (Some('%'), rest) => {
                let (letters, pattern) = rest.split_once('~').ok_or(BadRule::Syntax)?;
                let access = match &letters.to_ascii_uppercase()[..] {
                    "R" => super::access::READS,
                    "W" => super::access::WRITES,
                    "RW" | "WR" => BOTH,
                    _ => return Err(BadRule::Syntax),
                };
                self.add_keys(access, pattern)
            }
            (Some('&'), pattern) => {
                if self.all_channels {
                    return Err(BadRule::ChannelsAreAll);
                }
                if has_space(pattern) {
                    return Err(BadRule::Syntax);
                }
                if !self.channels.iter().any(|known| **known == *pattern) {
                    self.channels.push(pattern.into());
                }
                Ok(())
            }
            (Some('+'), rule) => self.commands.change(true, rule),
            (Some('-'), rule) => self.commands.change(false, rule),
            _ => Err(BadRule::Syntax),
        }
    }

    fn add_keys(&mut self, access: Access, pattern: &str) -> Result<(), BadRule> {
        if self.all_keys {
            return Err(BadRule::KeysAreAll);
        }
        if has_space(pattern) {
            return Err(BadRule::Syntax);
        }
        if let Some((known, _)) = self.keys.iter_mut().find(|(_, known)| **known == *pattern) {
            known.read |= access.read;
            known.write |= access.write;
        } else {
            self.keys.push((access, pattern.into()));
        }
        Ok(())
    }

    pub(crate) fn allows_command(&self, command: &Command, args: &[&[u8]]) -> bool {
        self.commands.allow(command, args)
    }

    pub(crate) fn allows_key(&self, key: &[u8], access: Access) -> bool {
        let fits = |(known, pattern): &(Access, Box<str>)| {
            (known.read || !access.read)
                && (known.write || !access.write)
                && glob::matches(pattern.as_bytes(), key)
        };
        self.all_keys || self.keys.iter().any(fits)
    }

    /// Whether every key may be read.
    pub(crate) fn reads_all_keys(&self) -> bool {
        let is_all = |(access, pattern): &(Access, Box<str>)| access.read && &**pattern == "*";
        self.all_keys || self.keys.iter().any(is_all)
    }

    /// Whether a channel may be used; a pattern of channels has to be given as such.
    pub(crate) fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        let fits = |pattern: &str| {
            if is_pattern {
                pattern.as_bytes() == name
            } else {
                glob::matches(pattern.as_bytes(), name)
            }
        };
        self.all_channels || self.channels.iter().any(|pattern| fits(pattern))
    }

    /// The commands, as rules.
    pub(crate) fn show_commands(&self) -> String {
        let base = if self.commands.from_all {
            "+@all"
        } else {
            "-@all"
        };
        let mut shown = base.to_owned();
        for (allow, rule) in &self.commands.rules {
            shown.extend([if *allow { " +" } else { " -" }, rule]);
        }
        shown
    }

    /// The keys, as rules; empty if there are none.
    pub(crate) fn show_keys(&self) -> String {
        if self.all_keys {
            return "~*".into();
        }
        let shown = self.keys.iter().map(|(access, pattern)| {
            let letters = match (access.read, access.write) {
                (true, false) => "%R",
                (false, true) => "%W",
                _ => "",
            };
            format!("{letters}~{pattern}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// The channels, as rules; empty if there are none.
    pub(crate) fn show_channels(&self) -> String {
        if self.all_channels {
            return "&*".into();
        }
        let shown = self.channels.iter().map(|pattern| format!("&{pattern}"));
        shown.collect::<Vec<_>>().join(" ")
    }

    /// All rights, as rules.
    pub(crate) fn show(&self) -> String {
        let mut parts = vec![self.show_keys()];
        if !self.all_channels {
            parts.push("resetchannels".into());
        }
        parts.extend([self.show_channels(), self.show_commands()]);
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    }
}
