//! The threads that build and reload, which belong to the index; without the feature `parallel` the caller's own.
//!
//! Invariant: the host's global pool is never used, and results come in the order of the items.

/// Items from which on other threads are woken for them.
#[cfg(feature = "parallel")]
const WORTHWHILE: usize = 4;

/// Threads for work that is done item by item.
#[derive(Debug)]
pub(crate) struct Workers {
    #[cfg(feature = "parallel")]
    pool: std::sync::OnceLock<Option<rayon::ThreadPool>>,
}

impl Workers {
    /// Starts no thread before there is work.
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "parallel")]
            pool: std::sync::OnceLock::new(),
        }
    }

    /// `work` on every item, on as many threads as the machine has cores.
    #[cfg_attr(
        not(feature = "parallel"),
        expect(clippy::unused_self, reason = "there are no threads to ask")
    )]
    pub(crate) fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> R + Send + Sync,
    ) -> Vec<R> {
        #[cfg(feature = "parallel")]
        if items.len() >= WORTHWHILE
            && let Some(pool) = self.pool()
        {
            use rayon::prelude::*;
            return pool.install(|| items.par_iter().map(work).collect());
        }
        items.iter().map(work).collect()
    }

    /// Both, at the same time where there are threads.
    #[cfg_attr(
        not(feature = "parallel"),
        expect(clippy::unused_self, reason = "there are no threads to ask")
    )]
    pub(crate) fn join<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        #[cfg(feature = "parallel")]
        if let Some(pool) = self.pool() {
            return pool.join(one, other);
        }
        (one(), other())
    }

    /// None where threads cannot be had; the caller works alone then.
    #[cfg(feature = "parallel")]
    fn pool(&self) -> Option<&rayon::ThreadPool> {
        let start = || {
            rayon::ThreadPoolBuilder::new()
                .thread_name(|n| format!("upvector-{n}"))
                .build()
                .ok()
        };
        self.pool.get_or_init(start).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = Workers::new().map(&items, |n| n * 2);
        assert!(doubled.iter().zip(&items).all(|(a, b)| *a == 2 * b));
        assert_eq!(Workers::new().map(&[7], |n| n + 1), [8]);
    }
}
