//! Tokens: one text that names a user and proves that its bearer may act as it.
//!
//! A token is base64url without padding of a version byte, the length of the user's name, the name, and a secret. It holds
//! if the user is on and either the secret or the whole token is one of its passwords. So a token ends with the password.

use super::user::{Hash, User, hash};

const VERSION: u8 = 1;
/// Random bytes of a secret that was not given.
const SECRET_BYTES: usize = 32;
/// Shortest secret that may be given, in bytes.
const GIVEN_BYTES_MIN: usize = 16;
/// Fewest different bytes in a secret that is given.
const GIVEN_DISTINCT_MIN: usize = 8;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 4 << 10;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The user and the secret that a token holds.
pub(crate) struct Token {
    pub(crate) user: String,
    secret: Hash,
    whole: Hash,
}

impl Token {
    /// Reads a token; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = decode(text)?;
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let [VERSION, length] = *head else {
            return None;
        };
        let (name, secret) = rest.split_at_checked(length.into())?;
        Some(Self {
            user: String::from_utf8(name.to_vec()).ok()?,
            secret: hash(secret),
            whole: hash(text.as_bytes()),
        })
    }

    /// Whether the token holds for its user. One that needs no password has no tokens.
    pub(crate) fn proves(&self, user: &User) -> bool {
        let secret = user.has_password(&self.secret);
        user.on && !user.no_password && (user.has_password(&self.whole) | secret)
    }
}

/// The token of a user with a secret; `None` if it would be too long.
pub(crate) fn token(user: &str, secret: &[u8]) -> Option<String> {
    let length = u8::try_from(user.len()).ok()?;
    let bytes = [&[VERSION, length], user.as_bytes(), secret].concat();
    let text = encode(&bytes);
    (text.len() <= TOKEN_BYTES_MAX).then_some(text)
}

/// Whether a secret is too easy to guess.
pub(crate) fn is_weak(secret: &[u8]) -> bool {
    let mut distinct = secret.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    secret.len() < GIVEN_BYTES_MIN || distinct.len() < GIVEN_DISTINCT_MIN
}

/// Random bytes that nobody can guess from others; `None` if the operating system has none.
pub(crate) fn secret_bytes(count: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A secret that nobody chose.
pub(crate) fn new_secret() -> Option<Vec<u8>> {
    secret_bytes(SECRET_BYTES)
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=chunk.len() {
            let index = group >> (18 - 6 * digit) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for digit in chunk {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            group = group << 6 | u32::try_from(value).ok()?;
        }
        group <<= 6 * (4 - chunk.len());
        let [_, first, second, third] = group.to_be_bytes();
        let (kept, cut) = match chunk.len() {
            4 => (&[first, second, third][..], 0),
            3 => (&[first, second][..], third),
            2 => (&[first][..], second | third),
            _ => return None,
        };
        // One token has one text.
        if cut != 0 {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_text() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xff\xfe\xfd", "__79"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes));
        }
        for bad in ["Z", "Zh", "Zm9", "Zg==", "Z g", "Zm9vY"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_holds_as_long_as_the_password() {
        let mut user = User::new(false);
        let text = token("ada", b"the secret of ada").expect("short");
        let parsed = Token::parse(&text).expect("a token");
        assert_eq!(parsed.user, "ada");
        assert!(!parsed.proves(&user));
        user.apply(b">the secret of ada", false).expect("a rule");
        assert!(!parsed.proves(&user), "the user is off");
        user.apply(b"on", false).expect("a rule");
        assert!(parsed.proves(&user));
        user.apply(b"resetpass", false).expect("a rule");
        assert!(!parsed.proves(&user));
        user.apply(format!(">{text}").as_bytes(), false)
            .expect("a rule");
        assert!(parsed.proves(&user), "the token is the password");
        user.apply(b"nopass", false).expect("a rule");
        assert!(!parsed.proves(&user), "anybody could make such a token");
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let long = "A".repeat(TOKEN_BYTES_MAX + 4);
        for text in [
            "",
            "AQ",
            "AQM",
            "AQNhYg",
            "AgNhZGE",
            "AQH_",
            &long,
            "\u{e9}\u{e9}",
        ] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
        assert_eq!(token(&"x".repeat(256), b"secret"), None);
    }

    #[test]
    fn short_and_uniform_secrets_are_weak() {
        assert!(is_weak(b"hunter2"));
        assert!(is_weak(&[b'a'; 100]));
        assert!(!is_weak(b"correct horse battery"));
        let secret = new_secret().expect("the system has random bytes");
        assert_ne!(Some(secret), new_secret());
    }
}
