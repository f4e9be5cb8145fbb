//! Settings of a database and of single writes.

use std::time::Duration;

use crate::profile::{Limits, Profile, Rules};
use crate::storage::{Durability, Timestamp};

/// Settings of a mounted database. Every field has a default.
///
/// # Examples
///
/// ```
/// use upkv::{Db, DbOptions, Store};
/// let store = Store::memory()?;
/// let options = DbOptions::new().memory_limit_bytes(64 << 20);
/// let db = Db::mount_with(&store, "cache", options)?;
/// db.set("a", "1")?;
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DbOptions {
    pub(crate) memory_limit_bytes: Option<u64>,
    pub(crate) max_memory_bytes: Option<u64>,
    pub(crate) eviction: Eviction,
    pub(crate) eviction_samples: Option<usize>,
    pub(crate) durability: Option<Durability>,
    pub(crate) shards: Option<usize>,
    pub(crate) rules: Rules,
    #[cfg(feature = "lua")]
    pub(crate) script_limits: crate::script::ScriptLimits,
}

/// What happens when a write would exceed `max_memory_bytes`; named as in Redis' `maxmemory-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Eviction {
    /// Writes that may grow the data are refused with [`crate::Error::OutOfMemory`].
    #[default]
    NoEviction,
    /// The key that was not used for the longest time goes.
    AllkeysLru,
    /// The key that is used least often goes.
    AllkeysLfu,
    /// Any key goes.
    AllkeysRandom,
    /// As `AllkeysLru`, among keys with a deadline.
    VolatileLru,
    /// As `AllkeysLfu`, among keys with a deadline.
    VolatileLfu,
    /// Any key with a deadline goes.
    VolatileRandom,
    /// The key with the nearest deadline goes.
    VolatileTtl,
    /// Any key with a deadline goes, and any other key once there is none.
    OptimisticVolatile,
}

impl Eviction {
    /// In the order of their numbers.
    pub(crate) const ALL: &[Self] = &[
        Self::NoEviction,
        Self::AllkeysLru,
        Self::AllkeysLfu,
        Self::AllkeysRandom,
        Self::VolatileLru,
        Self::VolatileLfu,
        Self::VolatileRandom,
        Self::VolatileTtl,
        Self::OptimisticVolatile,
    ];

    /// The name that Redis' `maxmemory-policy` takes, or Upstash's.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::Eviction;
    /// assert_eq!(Eviction::AllkeysLru.name(), "allkeys-lru");
    /// assert_eq!(Eviction::from_name("allkeys-lru"), Some(Eviction::AllkeysLru));
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::NoEviction => "noeviction",
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysLfu => "allkeys-lfu",
            Self::AllkeysRandom => "allkeys-random",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileRandom => "volatile-random",
            Self::VolatileTtl => "volatile-ttl",
            Self::OptimisticVolatile => "optimistic-volatile",
        }
    }

    /// The policy of a name, in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::Eviction;
    /// assert_eq!(Eviction::from_name("Volatile-TTL"), Some(Eviction::VolatileTtl));
    /// assert_eq!(Eviction::from_name("biggest-first"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        let all = Self::ALL.iter().copied();
        all.into_iter()
            .find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    /// Whether keys without a deadline always stay.
    pub(crate) fn is_volatile_only(self) -> bool {
        matches!(
            self,
            Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl
        )
    }

    /// Whether it needs to know how often keys are used.
    pub(crate) fn is_lfu(self) -> bool {
        matches!(self, Self::AllkeysLfu | Self::VolatileLfu)
    }

    /// Whether it needs to know when or how often keys are used.
    pub(crate) fn tracks_use(self) -> bool {
        self.is_lfu() || matches!(self, Self::AllkeysLru | Self::VolatileLru)
    }
}

impl DbOptions {
    /// The defaults: no memory limit, `Interval(1 s)`, `max(16, 32 x cores)` shards.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of memory above which values are demoted: dropped from memory and read from the log when
    /// they are needed again. Nothing is lost and no write is refused. Default: no limit.
    ///
    /// Keys, deadlines and values under 64 bytes always stay in memory.
    #[must_use]
    pub fn memory_limit_bytes(mut self, bytes: u64) -> Self {
        self.memory_limit_bytes = Some(bytes);
        self
    }

    /// Bytes of memory above which the eviction policy applies, as Redis' `maxmemory`. Default: none.
    #[must_use]
    pub fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.max_memory_bytes = Some(bytes);
        self
    }

    /// What to do above `max_memory_bytes`. Default: [`Eviction::NoEviction`].
    #[must_use]
    pub fn eviction(mut self, policy: Eviction) -> Self {
        self.eviction = policy;
        self
    }

    /// Keys that are sampled to find the next one to evict, as Redis' `maxmemory-samples`: more is closer to the
    /// policy and slower. Default: 5.
    #[must_use]
    pub fn eviction_samples(mut self, count: usize) -> Self {
        self.eviction_samples = Some(count);
        self
    }

    /// What a write survives once it returns. Default: the store's level if it was given one, else
    /// `Interval(1 s)`.
    #[must_use]
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }

    /// Number of independently locked slices of the key space, rounded up to a power of two between 1
    /// and 4,096. Default: `max(16, 32 x cores)`.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = Some(count);
        self
    }

    /// Whose commands the database follows where Redis and Upstash differ. Default: [`Profile::Redis`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.rules = Rules::new(profile, self.rules.limits);
        self
    }

    /// How large requests and data may become. Default: [`Limits::new`], which limits nothing.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.rules = Rules::new(self.rules.profile(), limits);
        self
    }

    /// What one run of a script may use. Default: see [`crate::ScriptLimits::new`].
    #[cfg(feature = "lua")]
    #[must_use]
    pub fn script_limits(mut self, limits: crate::script::ScriptLimits) -> Self {
        self.script_limits = limits;
        self
    }
}

/// Conditions and deadline of one [`crate::Db::set_with`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upkv::{Db, SetOptions, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// let once = SetOptions::new().if_absent().expire_in(Duration::from_secs(60));
/// assert!(db.set_with("otp:1", "9134", once)?);
/// assert!(!db.set_with("otp:1", "0000", once)?);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    pub(crate) condition: Condition,
    pub(crate) deadline: Deadline,
}

/// When a SET takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    Always,
    IfAbsent,
    IfPresent,
}

/// The deadline a SET leaves on its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// None; the one there was is dropped.
    #[default]
    Clear,
    Keep,
    /// After this many ms.
    In(u64),
    /// At this time, in ms since the Unix epoch.
    At(u64),
}

impl SetOptions {
    /// Sets always, with no deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key disappears after `span`, which is at least one millisecond (`EX`, `PX`).
    #[must_use]
    pub fn expire_in(mut self, span: Duration) -> Self {
        self.deadline = Deadline::In(millis(span));
        self
    }

    /// The key disappears at `deadline` (`EXAT`, `PXAT`); at once if that has passed.
    #[must_use]
    pub fn expire_at(mut self, deadline: Timestamp) -> Self {
        self.deadline = Deadline::At(deadline.as_millis());
        self
    }

    /// The key keeps the deadline it has (`KEEPTTL`).
    #[must_use]
    pub fn keep_ttl(mut self) -> Self {
        self.deadline = Deadline::Keep;
        self
    }

    /// Only if the key does not exist (`NX`).
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::IfAbsent;
        self
    }

    /// Only if the key exists (`XX`).
    #[must_use]
    pub fn if_present(mut self) -> Self {
        self.condition = Condition::IfPresent;
        self
    }
}

/// A span in whole ms, rounded up so that a positive span is never zero.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
