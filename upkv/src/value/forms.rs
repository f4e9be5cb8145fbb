//! How large the small forms of values may become, which CONFIG sets.
//!
//! Invariant: whatever is set, no small form goes beyond [`Small::CAP`], so one that was made under other settings, as
//! in the log of an earlier run, is always readable, and a walk over it stays short.

use std::sync::atomic::{AtomicI64, Ordering};

/// Most elements of a small form, and most bytes of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Small {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

impl Small {
    /// No setting goes beyond this. Lengths up to it have one byte.
    pub(crate) const CAP: Self = Self {
        items: 2_048,
        bytes: 127,
    };
}

/// A number that CONFIG sets.
#[derive(Debug)]
pub(crate) struct Threshold(AtomicI64);

impl Threshold {
    const fn new(value: i64) -> Self {
        Self(AtomicI64::new(value))
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn up_to(&self, cap: usize) -> usize {
        usize::try_from(self.get()).map_or(0, |value| value.min(cap))
    }
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Forms {
    pub(crate) hash_items: Threshold,
    pub(crate) hash_bytes: Threshold,
    pub(crate) set_items: Threshold,
    pub(crate) set_bytes: Threshold,
    pub(crate) set_ints: Threshold,
    pub(crate) zset_items: Threshold,
    pub(crate) zset_bytes: Threshold,
    /// Elements of a listpack if positive, else which of five sizes it has.
    pub(crate) list_size: Threshold,
}

impl Default for Forms {
    fn default() -> Self {
        Self {
            hash_items: Threshold::new(512),
            hash_bytes: Threshold::new(64),
            set_items: Threshold::new(128),
            set_bytes: Threshold::new(64),
            set_ints: Threshold::new(512),
            zset_items: Threshold::new(128),
            zset_bytes: Threshold::new(64),
            list_size: Threshold::new(-2),
        }
    }
}

impl Forms {
    pub(crate) fn hash(&self) -> Small {
        Small {
            items: self.hash_items.up_to(Small::CAP.items),
            bytes: self.hash_bytes.up_to(Small::CAP.bytes),
        }
    }

    pub(crate) fn set(&self) -> Small {
        Small {
            items: self.set_items.up_to(Small::CAP.items),
            bytes: self.set_bytes.up_to(Small::CAP.bytes),
        }
    }

    /// Most members of a set of integers.
    pub(crate) fn ints(&self) -> usize {
        self.set_ints.up_to(Small::CAP.items)
    }

    pub(crate) fn zset(&self) -> Small {
        Small {
            items: self.zset_items.up_to(Small::CAP.items),
            bytes: self.zset_bytes.up_to(Small::CAP.bytes),
        }
    }

    /// Elements and bytes up to which a list counts as one listpack.
    pub(crate) fn list(&self) -> Small {
        /// What a listpack takes at most whose elements are counted.
        const COUNTED_BYTES: usize = 8 << 10;
        match self.list_size.get() {
            size @ 0.. => Small {
                items: usize::try_from(size).unwrap_or(usize::MAX).max(1),
                bytes: COUNTED_BYTES,
            },
            size => Small {
                items: usize::MAX,
                bytes: (2 << 10) << size.unsigned_abs().min(5),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_capped() {
        let forms = Forms::default();
        forms.hash_items.set(i64::MAX);
        forms.hash_bytes.set(0);
        assert_eq!(
            forms.hash(),
            Small {
                items: 2_048,
                bytes: 0
            }
        );
        for (size, expected) in [
            (-1, (usize::MAX, 4_096)),
            (-2, (usize::MAX, 8_192)),
            (-5, (usize::MAX, 65_536)),
            (i64::MIN, (usize::MAX, 65_536)),
            (0, (1, 8_192)),
            (7, (7, 8_192)),
        ] {
            forms.list_size.set(size);
            let Small { items, bytes } = forms.list();
            assert_eq!((items, bytes), expected, "{size}");
        }
    }
}
