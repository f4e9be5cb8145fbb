//! A user: whether it may log in, with which passwords, and what it may do then.
//!
//! Invariant: the line that is told, read again, gives the same user. Of passwords only digests are kept.

use sha2::{Digest, Sha256};

use super::selector::{BadRule, Selector};

/// A digest of a password.
pub(crate) type Hash = [u8; 32];

/// See the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) on: bool,
    /// Any password will do.
    pub(crate) no_password: bool,
    /// Whether what it restores is checked, if that was said.
    sanitizes: Option<bool>,
    passwords: Vec<Hash>,
    /// Rights of its own, then the alternatives.
    selectors: Vec<Selector>,
}

pub(crate) fn hash(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(digit).collect()
}

fn from_hex(text: &str) -> Option<Hash> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let byte = |[high, low]: &[u8; 2]| Some(nibble(*high)? << 4 | nibble(*low)?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes?.try_into().ok().filter(|_| rest.is_empty())
}

impl User {
    /// One that may do nothing.
    pub(crate) fn new(all_channels: bool) -> Self {
        Self {
            on: false,
            no_password: false,
            sanitizes: None,
            passwords: Vec::new(),
            selectors: vec![Selector::new(all_channels)],
        }
    }

    /// One that may do everything, without a password.
    pub(crate) fn everything() -> Self {
        Self {
            on: true,
            no_password: true,
            selectors: vec![Selector::everything()],
            ..Self::new(true)
        }
    }

    /// Whether no command has to be looked at.
    pub(crate) fn is_unrestricted(&self) -> bool {
        self.selectors.iter().any(Selector::allows_everything)
    }

    /// Rights of its own first.
    pub(crate) fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    fn root(&mut self) -> &mut Selector {
        &mut self.selectors[0]
    }

    /// Changes the user by one rule; `all_channels` is what new sets of rights start with.
    pub(crate) fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), BadRule> {
        match rule {
            [b'>', password @ ..] => {
                self.add_password(hash(password));
                return Ok(());
            }
            [b'<', password @ ..] => return self.remove_password(&hash(password)),
            _ => {}
        }
        let rule = str::from_utf8(rule).map_err(|_| BadRule::Syntax)?;
        match &rule.to_ascii_lowercase()[..] {
            "" => {}
            "on" => self.on = true,
            "off" => self.on = false,
            "nopass" => {
                self.no_password = true;
                self.passwords.clear();
            }
            "resetpass" => {
                self.no_password = false;
                self.passwords.clear();
            }
            "skip-sanitize-payload" => self.sanitizes = Some(false),
            "sanitize-payload" => self.sanitizes = Some(true),
            "clearselectors" => self.selectors.truncate(1),
            "reset" => {
                *self = Self {
                    sanitizes: Some(true),
                    ..Self::new(all_channels)
                };
            }
            _ => return self.apply_other(rule, all_channels),
        }
        Ok(())
    }

    fn apply_other(&mut self, rule: &str, all_channels: bool) -> Result<(), BadRule> {
        if let Some(digits) = rule.strip_prefix('#') {
            self.add_password(from_hex(digits).ok_or(BadRule::NotHash)?);
            return Ok(());
        }
        if let Some(digits) = rule.strip_prefix('!') {
            return self.remove_password(&from_hex(digits).ok_or(BadRule::NotHash)?);
        }
        let inner = rule
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'));
        if let Some(inner) = inner {
            let mut selector = Selector::new(all_channels);
            for rule in inner.split_ascii_whitespace() {
                // It would end the set when the line is read again.
                if rule.ends_with(')') {
                    return Err(BadRule::Syntax);
                }
                selector.apply(rule)?;
            }
            self.selectors.push(selector);
            return Ok(());
        }
        self.root().apply(rule)
    }

    /// Leaves one password, or none at all if it is empty.
    pub(crate) fn set_only_password(&mut self, password: &[u8]) {
        self.passwords.clear();
        self.no_password = password.is_empty();
        if !password.is_empty() {
            self.passwords.push(hash(password));
        }
    }

    fn add_password(&mut self, hash: Hash) {
        self.no_password = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    fn remove_password(&mut self, hash: &Hash) -> Result<(), BadRule> {
        let at = self.passwords.iter().position(|known| known == hash);
        self.passwords.remove(at.ok_or(BadRule::NoSuchPassword)?);
        Ok(())
    }

    /// Whether a digest is that of a password; takes as long whichever it is.
    pub(crate) fn has_password(&self, hash: &Hash) -> bool {
        let differs = |known: &Hash| {
            let pairs = known.iter().zip(hash);
            std::hint::black_box(pairs.fold(0, |all, (a, b)| all | (a ^ b))) != 0
        };
        let equal = self.passwords.iter().filter(|known| !differs(known));
        equal.count() > 0
    }

    /// Digests of the passwords, in hexadecimal.
    pub(crate) fn show_passwords(&self) -> Vec<String> {
        self.passwords.iter().map(|hash| hex(hash)).collect()
    }

    /// Words about the user itself.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.on { "on" } else { "off" }];
        flags.extend(self.no_password.then_some("nopass"));
        flags.extend(self.sanitizes.map(|sanitizes| {
            if sanitizes {
                "sanitize-payload"
            } else {
                "skip-sanitize-payload"
            }
        }));
        flags
    }

    /// The user as rules.
    pub(crate) fn show(&self) -> String {
        let mut parts: Vec<String> = self.flags().into_iter().map(Into::into).collect();
        parts.extend(self.passwords.iter().map(|hash| format!("#{}", hex(hash))));
        for (at, selector) in self.selectors.iter().enumerate() {
            let shown = selector.show();
            parts.push(if at == 0 { shown } else { format!("({shown})") });
        }
        parts.join(" ")
    }
}
