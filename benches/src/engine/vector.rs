//! Vector indexes: vectors of length one in, the nearest by cosine out.

#[cfg(feature = "peers-vector")]
pub mod hnsw_rs;
pub mod upvector;
#[cfg(feature = "peers-vector")]
pub mod usearch;

use crate::Result;
use crate::workload::Vectors;

/// An index of vectors, each known by its number.
pub trait VectorEngine: Sync {
    /// Engine and settings, as the row shows them.
    fn name(&self) -> String;

    /// Puts all of `base` into the empty index with all cores, until searches see it.
    fn build(&mut self, base: &Vectors) -> Result<()>;

    /// Puts the numbers of about the `k` nearest of `query` into `out`. A larger `effort` looks at more of the index.
    fn search(&self, query: &[f32], k: usize, effort: usize, out: &mut Vec<u64>) -> Result<()>;
}

/// Runs `insert(i)` for `0..count` on all cores, each taking what is next.
pub fn on_all_cores(count: usize, insert: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if i >= count {
                            return Ok(());
                        }
                        insert(i)?;
                    }
                })
            })
            .collect();
        for thread in running {
            thread
                .join()
                .map_err(|_| "an inserting thread panicked")??;
        }
        Ok(())
    })
}
