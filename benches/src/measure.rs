//! Interleaved runs and their statistics.
//!
//! A contender is a closure that does one run and says what it measured. All contenders of a row take turns, so that a slow minute of
//! the machine hits each of them; our own is entered twice, and the gap between its two medians is the noise.

use std::time::{Duration, Instant};

use crate::Result;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Runs of each contender; at least five, so that a median means something.
    pub rounds: usize,
    /// Smaller sizes and shorter runs.
    pub quick: bool,
}

impl Effort {
    /// Five rounds, of small or of full size.
    pub const fn new(quick: bool) -> Self {
        Self { rounds: 5, quick }
    }

    /// `full`, or `quick` when in a hurry.
    pub const fn pick(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// How long a run that is bounded by time takes.
    pub const fn span(&self) -> Duration {
        Duration::from_millis(self.pick(1_000, 250))
    }
}

/// What the runs of one contender measured, in the unit of the row.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Takes the runs in any order.
    pub fn new(mut runs: Vec<f64>) -> Self {
        runs.sort_by(f64::total_cmp);
        Self(runs)
    }

    /// The value that `share` of the runs do not exceed (nearest rank); NaN without runs.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// The middle run.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Number of runs.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was measured.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One that takes part in a row.
pub struct Contender<'a> {
    name: String,
    run: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Contender").field(&self.name).finish()
    }
}

impl<'a> Contender<'a> {
    /// A contender whose every run answers a figure in the row's unit.
    pub fn new(name: impl Into<String>, run: impl FnMut() -> Result<f64> + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// The results of a row's contenders.
#[derive(Clone, Debug)]
pub struct Results {
    /// Ours, of both entries.
    pub ours: Samples,
    /// Gap between the medians of our two entries, as a share of the smaller.
    pub noise: f64,
    /// The others, in the order they were given.
    pub peers: Vec<(String, Samples)>,
}

/// Runs ours twice and every other once a round, after one round that does not count.
pub fn interleave(
    effort: Effort,
    ours: &mut Contender<'_>,
    peers: &mut [Contender<'_>],
) -> Result<Results> {
    let mut first = Vec::new();
    let mut second = Vec::new();
    let mut others = vec![Vec::new(); peers.len()];
    (ours.run)()?;
    for peer in &mut *peers {
        (peer.run)()?;
    }
    for _ in 0..effort.rounds {
        first.push((ours.run)()?);
        for (peer, runs) in peers.iter_mut().zip(&mut others) {
            runs.push((peer.run)()?);
        }
        second.push((ours.run)()?);
    }
    let medians = (
        Samples::new(first.clone()).median(),
        Samples::new(second.clone()).median(),
    );
    let noise = (medians.0 - medians.1).abs() / medians.0.min(medians.1);
    first.append(&mut second);
    Ok(Results {
        ours: Samples::new(first),
        noise,
        peers: peers
            .iter()
            .zip(others)
            .map(|(peer, runs)| (peer.name.clone(), Samples::new(runs)))
            .collect(),
    })
}

/// Nanoseconds per call of `operation`, called `count` times.
pub fn nanos_per(count: u64, mut operation: impl FnMut(u64) -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for i in 0..count {
        operation(i)?;
    }
    Ok(start.elapsed().as_nanos() as f64 / count as f64)
}

/// Calls per second that `threads` threads reach together, each calling `operation(thread, i)` until `span` is over.
pub fn rate_of(
    threads: usize,
    span: Duration,
    operation: impl Fn(usize, u64) -> Result<()> + Sync,
) -> Result<f64> {
    let barrier = std::sync::Barrier::new(threads);
    let counted = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, operation) = (&barrier, &operation);
                scope.spawn(move || -> Result<(u64, f64)> {
                    barrier.wait();
                    let start = Instant::now();
                    let mut done = 0;
                    while start.elapsed() < span {
                        operation(thread, done)?;
                        done += 1;
                    }
                    Ok((done, start.elapsed().as_secs_f64()))
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a measuring thread panicked")?)
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(counted.iter().map(|(done, took)| *done as f64 / took).sum())
}

/// Operations per second that `threads` threads reach together with `count` calls each.
pub fn rate_of_counted(
    threads: u64,
    count: u64,
    operation: impl Fn(u64, u64) -> Result<()> + Sync,
) -> Result<f64> {
    let barrier = std::sync::Barrier::new(threads as usize + 1);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, operation) = (&barrier, &operation);
                scope.spawn(move || -> Result<()> {
                    barrier.wait();
                    (0..count).try_for_each(|i| operation(thread, i))
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for thread in running {
            thread.join().map_err(|_| "a measuring thread panicked")??;
        }
        Ok((threads * count) as f64 / start.elapsed().as_secs_f64())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_take_the_nearest_rank() {
        let samples = Samples::new(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((samples.median(), samples.quantile(0.99)), (3.0, 5.0));
        assert!(samples.quantile(0.0) < 1.5);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn contenders_take_turns_and_ours_runs_twice() {
        let order = std::cell::RefCell::new(Vec::new());
        let step = |who: char| {
            order.borrow_mut().push(who);
            Ok(1.0)
        };
        let mut ours = Contender::new("ours", || step('o'));
        let mut peers = [
            Contender::new("a", || step('a')),
            Contender::new("b", || step('b')),
        ];
        let effort = Effort {
            rounds: 2,
            quick: true,
        };
        let results = interleave(effort, &mut ours, &mut peers).unwrap();
        assert_eq!(results.ours.len(), 4);
        assert!(results.noise.abs() < 1e-12);
        let order: String = order.borrow().iter().collect();
        assert_eq!(order, "oaboabooabo");
    }

    #[test]
    fn a_failing_contender_ends_the_row() {
        let mut ours = Contender::new("ours", || Err("no".into()));
        let error = interleave(Effort::new(true), &mut ours, &mut []).unwrap_err();
        assert_eq!(error.to_string(), "no");
    }

    #[test]
    fn all_threads_count() {
        let calls = std::sync::atomic::AtomicU64::new(0);
        let rate = rate_of_counted(3, 10, |_, _| {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        });
        assert!(rate.unwrap() > 0.0);
        assert_eq!(calls.into_inner(), 30);
    }
}
