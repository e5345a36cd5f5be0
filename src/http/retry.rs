//! Decides whether and when a call is retried.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::{Error, Kind};

/// The rules for retrying a call.
///
/// By default the client sends a call up to four times within its [timeout](crate::Builder::timeout), but only if that can do no harm:
///
/// - reading, deleting, and giving a cached token another lifetime: after no connection, a 429, a 502, 503 or 504, a maintenance page, a lost
///   response, or none in time;
/// - replacing, updating and the password grant: the same, but not after a lost response or none in time;
/// - creating a token, and exchanging a refresh token: only after no connection or a 429. The service has not carried out the call then.
///
/// A failed TLS handshake, for example because of an untrusted certificate, does not count as no connection: the client does not retry it.
///
/// The waits double from 0.2 s to 5 s, and each gets a random part of at most its own length added. If the service asks for a longer wait
/// with `Retry-After`, the client waits that long. If it asks for more than [`max_retry_after`](Self::max_retry_after), or more than the
/// time that the call has left, the call fails at once, and [`Error::retry_after`] returns the time.
///
/// The guide gives the [reasons](crate::guide::errors#retries).
///
/// ```
/// use std::time::Duration;
/// use gettone::Retry;
///
/// let retry = Retry::default().max_attempts(2).max_retry_after(Duration::from_secs(5));
/// # let _ = retry;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    max_attempts: u32,
    max_retry_after: Duration,
    attempt_timeout: Duration,
}

impl Default for Retry {
    /// Returns the default rules, with four attempts.
    fn default() -> Self {
        Self { max_attempts: 4, max_retry_after: Duration::from_secs(30), attempt_timeout: Duration::from_secs(20) }
    }
}

impl Retry {
    /// Returns rules with one attempt, so that no call is retried.
    #[must_use]
    pub fn none() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// Sets how many times a request is sent at most. 0 counts as 1. Default: 4.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the longest `Retry-After` that the client waits for. Default: 30 s.
    #[must_use]
    pub fn max_retry_after(mut self, wait: Duration) -> Self {
        self.max_retry_after = wait;
        self
    }

    /// Sets how long an attempt may take, if the call can be retried without a response (the first line of the list above). All other attempts, and
    /// the last one, have all the time that the call has left. Not zero. Default: 20 s.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    pub(crate) fn longest_attempt(&self) -> Duration {
        self.attempt_timeout
    }

    /// Returns the pause that a service asks for after a failure. `None` if it is longer than the client waits.
    pub(crate) fn rest(&self, error: &Error) -> Option<Duration> {
        let asked = error.retry_after().unwrap_or_default();
        (asked <= self.max_retry_after).then_some(asked)
    }

    /// Returns the longest pause that [`rest`](Self::rest) can return.
    pub(crate) fn longest_rest(&self) -> Duration {
        self.max_retry_after
    }

    pub(crate) fn delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(usize::try_from(self.max_attempts.max(1) - 1).unwrap_or(usize::MAX))
            .with_jitter()
            .build()
    }
}

/// The safety of retrying an operation: a line of the list of [`Retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetrySafety {
    /// A second request changes nothing (RFC 9110, section 9.2.2).
    Idempotent,
    /// A second request does no harm if the service says that it did not process the first.
    Repeatable,
    /// The request must not be sent again once the service may have processed it.
    AtMostOnce,
}

impl RetrySafety {
    fn allows(self, error: &Error) -> bool {
        match (self, error.kind()) {
            (_, Kind::Connect { .. } | Kind::RateLimited) => true,
            (Self::Idempotent | Self::Repeatable, Kind::Unavailable) => true,
            (_, Kind::Timeout | Kind::Interrupted) => self == Self::Idempotent,
            _ => false,
        }
    }

    /// Returns the time limit of an attempt.
    pub(crate) fn attempt_timeout(self, retry: &Retry, attempt: u32, left: Duration) -> Duration {
        match self {
            Self::Idempotent if attempt < retry.max_attempts => left.min(retry.attempt_timeout),
            _ => left,
        }
    }

    /// Returns how long to wait before the next attempt. `None` if the call must not be retried.
    pub(crate) fn delay(
        self,
        error: &Error,
        delays: &mut ExponentialBackoff,
        retry: &Retry,
        left: Duration,
    ) -> Option<Duration> {
        if !self.allows(error) {
            return None;
        }
        let delay = delays.next()?.max(retry.rest(error)?);
        (delay < left).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_has_all_the_time_that_is_left() {
        let (retry, left) =
            (Retry::default().max_attempts(3).attempt_timeout(Duration::from_secs(7)), Duration::from_secs(50));
        for (safety, attempt, expected) in [
            (RetrySafety::Idempotent, 1, 7),
            (RetrySafety::Idempotent, 2, 7),
            (RetrySafety::Idempotent, 3, 50),
            (RetrySafety::Repeatable, 1, 50),
            (RetrySafety::AtMostOnce, 1, 50),
        ] {
            assert_eq!(
                safety.attempt_timeout(&retry, attempt, left),
                Duration::from_secs(expected),
                "{safety:?} {attempt}"
            );
        }
        assert_eq!(RetrySafety::Idempotent.attempt_timeout(&Retry::none(), 1, left), left);
        let short = Duration::from_secs(1);
        assert_eq!(RetrySafety::Idempotent.attempt_timeout(&retry, 1, short), short);
    }
}
