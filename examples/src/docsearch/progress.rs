//! The progress bar on standard error: nothing is drawn where that is no terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::text::{number, rate};

/// Shows how far the indexing is.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    from: Instant,
    chunks: u64,
}

impl Progress {
    /// A bar on standard error.
    pub fn stderr() -> Self {
        let template = "{elapsed_precise} {wide_bar} {pos}/{len} files, {msg}, {eta} left";
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(0);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("starting");
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self::with(bar)
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self::with(ProgressBar::hidden())
    }

    fn with(bar: ProgressBar) -> Self {
        Self {
            bar,
            from: Instant::now(),
            chunks: 0,
        }
    }

    /// One more file is done, with so many chunks, of `files` that are known so far.
    pub(crate) fn done(&mut self, chunks: u32, files: u64) {
        self.chunks += u64::from(chunks);
        self.bar.set_length(files.max(self.bar.position() + 1));
        self.bar.inc(1);
        let rate = rate(self.chunks, self.from.elapsed());
        self.bar.set_message(format!("{} chunks/s", number(rate)));
    }

    /// A line that stays.
    pub(crate) fn note(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
