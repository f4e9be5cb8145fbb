//! Live bytes per segment, counted by the engines as they retain and release records.
//!
//! Invariant: the counts are statistics of what the engines reference; they are rebuilt on every opening by the same calls, so they
//! cannot drift across restarts. Garbage collection unlinks a segment only at zero.

use std::sync::atomic::{AtomicU64, Ordering};

use super::address::Address;
use super::sync::RwLock;

/// Segments counted in one allocation. Numbers come from disk, too: a wrong one must not cost more than the list of pages.
const PAGE: usize = 1_024;

type Page = Box<[AtomicU64]>;

/// Live bytes of one mount, by segment number.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    pages: RwLock<Vec<Option<Page>>>,
}

fn place(segment: u32) -> (usize, usize) {
    let at = segment as usize;
    (at / PAGE, at % PAGE)
}

impl LiveTable {
    pub(crate) fn retain(&self, at: Address) {
        self.with(at.segment, |bytes| {
            // Relaxed: a count on its own; the collector re-reads it after the engines' locks have ordered the changes.
            bytes.fetch_add(at.log_bytes(), Ordering::Relaxed);
        });
    }

    pub(crate) fn release(&self, at: Address) {
        self.with(at.segment, |bytes| {
            let before = bytes.fetch_sub(at.log_bytes(), Ordering::Relaxed);
            debug_assert!(
                before >= at.log_bytes(),
                "released more than was retained in segment {}",
                at.segment
            );
        });
    }

    /// Live bytes in segment `id`.
    pub(crate) fn of(&self, id: u32) -> u64 {
        let (page, at) = place(id);
        let pages = self.pages.read();
        let page = pages.get(page).and_then(Option::as_ref);
        page.map_or(0, |page| page[at].load(Ordering::Relaxed))
    }

    /// All segments with live bytes.
    pub(crate) fn all(&self) -> Vec<(u32, u64)> {
        let pages = self.pages.read();
        let mut found = Vec::new();
        for (number, page) in pages.iter().enumerate() {
            for (at, bytes) in page.iter().flat_map(|page| page.iter().enumerate()) {
                let bytes = bytes.load(Ordering::Relaxed);
                if let (1.., Ok(id)) = (bytes, u32::try_from(number * PAGE + at)) {
                    found.push((id, bytes));
                }
            }
        }
        found
    }

    fn with(&self, segment: u32, change: impl FnOnce(&AtomicU64)) {
        let (page, at) = place(segment);
        {
            let pages = self.pages.read();
            if let Some(Some(page)) = pages.get(page) {
                return change(&page[at]);
            }
        }
        let mut pages = self.pages.write();
        if pages.len() <= page {
            pages.resize_with(page + 1, || None);
        }
        let new = || (0..PAGE).map(|_| AtomicU64::default()).collect();
        change(&pages[page].get_or_insert_with(new)[at]);
    }
}
