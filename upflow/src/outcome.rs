//! What a step or a run ends with: errors as values.
//!
//! Invariant: an error that was journaled comes back from replay with the same kind and text.

use std::any::Any;
use std::fmt::{self, Display};
use std::time::Duration;

use crate::error::Error;

/// Why an awaited operation, or the whole body, did not succeed. A value like any other: `?` and `match` are safe on it anywhere.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upflow::{StepError, StepErrorKind};
/// let error = StepError::retry_after(Duration::from_secs(5), "the bank is closed");
/// assert_eq!(error.kind(), StepErrorKind::RetryAfter(Duration::from_secs(5)));
/// assert_eq!(error.to_string(), "the bank is closed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    kind: StepErrorKind,
    message: Box<str>,
}

/// The kinds of [`StepError`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepErrorKind {
    /// An attempt failed and may be repeated; what every other error type of a step becomes.
    Retryable,
    /// The step fails now, whatever attempts are left.
    NonRetryable,
    /// As `Retryable`, and the next attempt is not made earlier than after this span.
    RetryAfter(Duration),
    /// An attempt took longer than the step's timeout.
    Timeout,
    /// The run was cancelled while the operation was pending.
    Cancelled,
    /// The attempt panicked; repeated like `Retryable`.
    Panicked,
}

impl StepErrorKind {
    pub(crate) fn code(self) -> (u8, u64) {
        match self {
            Self::Retryable => (0, 0),
            Self::NonRetryable => (1, 0),
            Self::RetryAfter(span) => (2, u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            Self::Timeout => (3, 0),
            Self::Cancelled => (4, 0),
            Self::Panicked => (5, 0),
        }
    }

    pub(crate) fn from_code(code: u8, detail: u64) -> Option<Self> {
        let kind = match code {
            0 => Self::Retryable,
            1 => Self::NonRetryable,
            2 => return Some(Self::RetryAfter(Duration::from_millis(detail))),
            3 => Self::Timeout,
            4 => Self::Cancelled,
            5 => Self::Panicked,
            _ => return None,
        };
        (detail == 0).then_some(kind)
    }
}

/// Longest error text that is journaled; the rest is cut off.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024;

impl StepError {
    /// An error of the given kind.
    pub fn new(kind: StepErrorKind, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        }
        Self {
            kind,
            message: message.into(),
        }
    }

    /// An error after which the step is attempted again.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::Retryable, message)
    }

    /// An error that ends the step now.
    pub fn non_retryable(message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::NonRetryable, message)
    }

    /// An error after which the step is attempted again, `span` later at the earliest.
    pub fn retry_after(span: Duration, message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::RetryAfter(span), message)
    }

    /// What kind of error it is.
    pub fn kind(&self) -> StepErrorKind {
        self.kind
    }

    /// Whether the run was cancelled while the operation was pending.
    pub fn is_cancelled(&self) -> bool {
        self.kind == StepErrorKind::Cancelled
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(StepErrorKind::Cancelled, "the run was cancelled")
    }

    /// What a step returned: its own [`StepError`] as it is, anything else as retryable text.
    pub(crate) fn from_user<E: Display + Any>(error: E) -> Self {
        match (&error as &dyn Any).downcast_ref::<Self>() {
            Some(own) => own.clone(),
            None => Self::retryable(error.to_string()),
        }
    }

    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no text");
        Self::new(StepErrorKind::Panicked, format!("panicked: {text}"))
    }
}

impl Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StepError {}

impl From<&str> for StepError {
    fn from(message: &str) -> Self {
        Self::retryable(message)
    }
}

impl From<String> for StepError {
    fn from(message: String) -> Self {
        Self::retryable(message)
    }
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(_) => Self::retryable(error.to_string()),
            other => Self::non_retryable(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_their_codes() {
        let kinds = [
            StepErrorKind::Retryable,
            StepErrorKind::NonRetryable,
            StepErrorKind::RetryAfter(Duration::from_millis(7)),
            StepErrorKind::Timeout,
            StepErrorKind::Cancelled,
            StepErrorKind::Panicked,
        ];
        for kind in kinds {
            let (code, detail) = kind.code();
            assert_eq!(StepErrorKind::from_code(code, detail), Some(kind));
        }
        assert_eq!(StepErrorKind::from_code(6, 0), None);
        assert_eq!(StepErrorKind::from_code(0, 1), None);
    }

    #[test]
    fn a_step_error_returned_by_a_step_keeps_its_kind() {
        let own = StepError::non_retryable("no");
        assert_eq!(StepError::from_user(own.clone()), own);
        assert_eq!(StepError::from_user("x").kind(), StepErrorKind::Retryable);
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let error = StepError::retryable("\u{e4}".repeat(MESSAGE_BYTES_MAX));
        assert!(error.message().len() <= MESSAGE_BYTES_MAX);
    }
}
