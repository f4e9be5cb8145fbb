//! Telling a forked child from the process that opened the store, without a system call.
//!
//! Invariant: the mark is a page of its own that the kernel zeroes in a child; it is written once, before anybody else sees it.
//! Where the kernel offers no such page, the process id is asked each time.
#![expect(
    unsafe_code,
    reason = "advising a mapping is unsafe, and so is reading what the kernel may change; the fence is this module"
)]

use memmap2::MmapMut;

/// Any value but zero.
const MARK: u8 = 0x5A;
const PAGE: usize = 4096;

/// The process that made this.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    mark: Option<MmapMut>,
}

impl Process {
    /// The process that is running.
    pub(crate) fn current() -> Self {
        Self {
            id: std::process::id(),
            mark: page_wiped_on_fork(),
        }
    }

    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Whether the process that is running is still that one, not a child it forked.
    pub(crate) fn is_current(&self) -> bool {
        match &self.mark {
            // SAFETY: the pointer is to the first byte of a mapping that lives as long as `self`. Volatile, because the kernel
            // changes the byte behind the compiler's back when the process forks.
            Some(page) => unsafe { page.as_ptr().read_volatile() == MARK },
            None => std::process::id() == self.id,
        }
    }
}

#[cfg(target_os = "linux")]
fn page_wiped_on_fork() -> Option<MmapMut> {
    use rustix::mm::{Advice, madvise};
    let mut page = MmapMut::map_anon(PAGE).ok()?;
    page[0] = MARK;
    // SAFETY: the range is one whole private anonymous mapping owned here; the advice touches it only in forked children, whose
    // copy reads as zeros, which is what `is_current` looks for.
    unsafe { madvise(page.as_mut_ptr().cast(), PAGE, Advice::LinuxWipeOnFork) }.ok()?;
    Some(page)
}

#[cfg(not(target_os = "linux"))]
const fn page_wiped_on_fork() -> Option<MmapMut> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maker_is_current() {
        let process = Process::current();
        assert!(process.is_current(), "with the page, where there is one");
        let plain = Process {
            id: std::process::id(),
            mark: None,
        };
        assert!(plain.is_current(), "by its number");
        let other = Process { id: 0, mark: None };
        assert!(!other.is_current(), "no process has the number 0");
    }

    #[test]
    fn a_zeroed_mark_is_a_child() {
        let mut process = Process::current();
        if let Some(page) = &mut process.mark {
            page[0] = 0;
            assert!(!process.is_current());
        } else {
            eprintln!("skipped: this kernel has no pages that a fork wipes");
        }
    }
}
