//! Scripts by their digest.
//!
//! Scripts that were loaded stay; those that were only run give way to newer ones. Invariant: `order` holds the digests of
//! the latter, oldest first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::flags;
use crate::error::Result;
use crate::sha1::{hex, sha1};

/// Scripts kept that were only run.
const UNLOADED_MAX: usize = 512;

/// A script that compiled.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) digest: [u8; 20],
    pub(crate) name: String,
    pub(crate) body: Box<[u8]>,
    pub(crate) flags: u8,
}

impl Cached {
    pub(crate) fn new(body: &[u8]) -> Result<Arc<Self>> {
        let digest = sha1(body);
        Ok(Arc::new(Self {
            digest,
            name: hex(&digest),
            body: body.into(),
            flags: flags::of_script(body)?,
        }))
    }
}

/// The digest that 40 hexadecimal digits are.
pub(crate) fn digest_of(text: &[u8]) -> Option<[u8; 20]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let text: &[u8; 40] = text.try_into().ok()?;
    let mut digest = [0; 20];
    for (out, [high, low]) in digest.iter_mut().zip(text.as_chunks::<2>().0) {
        *out = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(digest)
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    scripts: HashMap<[u8; 20], (Arc<Cached>, bool)>,
    order: VecDeque<[u8; 20]>,
}

impl Cache {
    pub(crate) fn get(&self, digest: &[u8; 20]) -> Option<Arc<Cached>> {
        let (script, _) = self.scripts.get(digest)?;
        Some(Arc::clone(script))
    }

    /// Keeps a script; `loaded` ones for as long as the cache is not flushed.
    pub(crate) fn put(&mut self, script: &Arc<Cached>, loaded: bool) {
        let digest = script.digest;
        if let Some((_, stays)) = self.scripts.get_mut(&digest) {
            if loaded && !*stays {
                *stays = true;
                self.order.retain(|other| *other != digest);
            }
            return;
        }
        self.scripts.insert(digest, (Arc::clone(script), loaded));
        if loaded {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > UNLOADED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.scripts.remove(&oldest);
        }
    }

    /// Number of scripts, and bytes of their texts.
    pub(crate) fn size(&self) -> (usize, usize) {
        let bytes = self.scripts.values().map(|(script, _)| script.body.len());
        (self.scripts.len(), bytes.sum())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_scripts_stay_and_others_give_way() {
        let script = |at: usize| Cached::new(at.to_string().as_bytes()).expect("no first line");
        let mut cache = Cache::default();
        cache.put(&script(0), false);
        cache.put(&script(0), true);
        cache.put(&script(1), true);
        for at in 2..2 * UNLOADED_MAX {
            cache.put(&script(at), false);
        }
        assert_eq!(cache.scripts.len(), UNLOADED_MAX + 2);
        assert_eq!(cache.order.len(), UNLOADED_MAX);
        assert!(cache.get(&script(0).digest).is_some());
        assert!(cache.get(&script(2).digest).is_none());
        let name = script(1).name.to_ascii_uppercase();
        assert_eq!(digest_of(name.as_bytes()), Some(script(1).digest));
        assert_eq!(digest_of(b"abc"), None);
        assert_eq!(digest_of(&[b'g'; 40]), None);
    }
}
