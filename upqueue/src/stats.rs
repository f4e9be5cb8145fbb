//! What one queue holds.

/// Counts of one queue at one moment.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Messages that the next receive would get.
    pub ready: u64,
    /// Messages that wait for their time: delayed, or resting between two deliveries.
    pub delayed: u64,
    /// Messages that a consumer holds.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether receiving is paused.
    pub paused: bool,
}
