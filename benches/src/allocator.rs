//! The system's allocator, which can say how much of it is in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

static COUNTING: AtomicBool = AtomicBool::new(false);
static IN_USE: AtomicI64 = AtomicI64::new(0);

/// To be named as `#[global_allocator]`. It costs one predictable branch while nobody counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// What an allocation of `bytes` takes of the heap: with its header, in steps of 16 bytes, as the system's allocator on Linux gives it.
const fn chunk(bytes: usize) -> i64 {
    let taken = (bytes + 8 + 15) & !15;
    if taken < 32 {
        32
    } else {
        taken.cast_signed() as i64
    }
}

fn note(change: i64) {
    if COUNTING.load(Ordering::Relaxed) {
        IN_USE.fetch_add(change, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting beside it touches no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(chunk(layout.size()));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(chunk(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(-chunk(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(chunk(size) - chunk(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// By how many bytes the heap of this process grows while `work` runs and what it answers is kept.
pub fn growth<T>(work: impl FnOnce() -> T) -> (T, i64) {
    COUNTING.store(true, Ordering::SeqCst);
    let before = IN_USE.load(Ordering::SeqCst);
    let kept = work();
    let after = IN_USE.load(Ordering::SeqCst);
    COUNTING.store(false, Ordering::SeqCst);
    (kept, after - before)
}
