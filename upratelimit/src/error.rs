//! What can go wrong: parameters out of range, and a cost no wait can satisfy. A refusal is a value, not an error.

use std::fmt;

/// A result whose error is [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call could not be carried out. Nothing was changed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upratelimit::{Algorithm, Error, Parameter};
///
/// let error = Algorithm::try_fixed_window(0, Duration::from_secs(1)).unwrap_err();
/// assert!(matches!(error, Error::OutOfRange { parameter: Parameter::Limit, given: 0, .. }));
/// assert_eq!(error.to_string(), "limit is 0, must be 1 to 281474976710655");
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter of an algorithm or of the builder lies outside its range.
    #[error("{parameter} is {given}, must be 1 to {max}")]
    OutOfRange {
        /// Which parameter.
        parameter: Parameter,
        /// The value given; a span is in nanoseconds, `u64::MAX` for any longer one.
        given: u64,
        /// The largest value allowed, in the same unit.
        max: u64,
    },
    /// The cost is larger than the limit: no wait will make it pass.
    #[error("cost {given} exceeds the capacity of {max}")]
    ExceedsCapacity {
        /// The cost asked for.
        given: u64,
        /// The largest cost that can ever pass.
        max: u64,
    },
}

const _: () = assert!(size_of::<Error>() <= 32, "errors stay small");

/// The parameter an [`Error::OutOfRange`] speaks of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parameter {
    /// Units per window or period.
    Limit,
    /// The window, period or interval, in nanoseconds.
    Period,
    /// Units added per interval.
    Refill,
    /// The most units a bucket holds.
    Capacity,
    /// The nanoseconds an empty bucket needs to fill.
    FillTime,
    /// The most keys a limiter tracks.
    MaxKeys,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => "limit",
            Self::Period => "period in nanoseconds",
            Self::Refill => "refill",
            Self::Capacity => "capacity",
            Self::FillTime => "fill time in nanoseconds",
            Self::MaxKeys => "max_keys",
        })
    }
}

impl Error {
    /// Ends constant evaluation, or panics, with a text that names the parameter.
    #[cold]
    pub(crate) const fn raise(self) -> ! {
        match self {
            Self::OutOfRange {
                parameter: Parameter::Limit,
                ..
            } => panic!("limit out of range"),
            Self::OutOfRange {
                parameter: Parameter::Period,
                ..
            } => panic!("period out of range"),
            Self::OutOfRange {
                parameter: Parameter::Refill,
                ..
            } => panic!("refill out of range"),
            Self::OutOfRange {
                parameter: Parameter::Capacity,
                ..
            } => {
                panic!("capacity out of range")
            }
            Self::OutOfRange {
                parameter: Parameter::FillTime,
                ..
            } => {
                panic!("the bucket takes too long to fill")
            }
            Self::OutOfRange {
                parameter: Parameter::MaxKeys,
                ..
            } => {
                panic!("max_keys out of range")
            }
            Self::ExceedsCapacity { .. } => panic!("cost exceeds the capacity"),
        }
    }
}
