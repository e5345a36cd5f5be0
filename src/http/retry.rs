//! When a call is retried.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::{Error, Kind};

/// When a call is tried again, and after which wait.
///
/// Only what cannot do harm is repeated:
///
/// | after | reading and deleting | replacing, updating, password grant | creating a token, refresh |
/// |---|---|---|---|
/// | no connection | again | again | again |
/// | 429 | again | again | again |
/// | 502, 503, 504, a maintenance page | again | again | never |
/// | a lost answer, or none in time | again | never | never |
///
/// A refresh token works once, and a token that was created twice lives on unseen: so the last column is never repeated
/// once the request may have been carried out, which 408 and every 5xx leave open. A password grant that was
/// carried out twice leaves an access token behind that nobody knows and that ends after an hour.
///
/// A failed TLS handshake, such as with a certificate that is not trusted, is not "no connection": it is not repeated.
///
/// The waits double from 0.2 s to 5 s, with as much again by chance at the most. A `Retry-After` that is longer is waited
/// for; if it is beyond [`max_retry_after`](Self::max_retry_after), or beyond the time that the call has left, the error is
/// returned at once, with [`Error::retry_after`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    max_attempts: u32,
    max_retry_after: Duration,
    attempt_timeout: Duration,
}

impl Default for Retry {
    /// Four attempts.
    fn default() -> Self {
        Self { max_attempts: 4, max_retry_after: Duration::from_secs(30), attempt_timeout: Duration::from_secs(20) }
    }
}

impl Retry {
    /// One attempt.
    #[must_use]
    pub fn none() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// How many times a request is sent at the most. 0 counts as 1. Default: 4.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The longest `Retry-After` that is waited for. Default: 30 s.
    #[must_use]
    pub fn max_retry_after(mut self, wait: Duration) -> Self {
        self.max_retry_after = wait;
        self
    }

    /// How long an attempt may take after which there can be another even without an answer (the first column above). All
    /// other attempts, and the last one, have all the time that the call has left. Not zero. Default: 20 s.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    pub(crate) fn longest_attempt(&self) -> Duration {
        self.attempt_timeout
    }

    /// How long a service wants to be left alone after a failure, if that is waited for.
    pub(crate) fn rest(&self, error: &Error) -> Option<Duration> {
        let asked = error.retry_after().unwrap_or_default();
        (asked <= self.max_retry_after).then_some(asked)
    }

    /// The most that [`rest`](Self::rest) comes to.
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

/// How safe it is to send an operation's request again: a column of the table of [`Retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetrySafety {
    /// Again changes nothing (RFC 9110, section 9.2.2).
    Idempotent,
    /// Again does no harm if the service says that it did not process the request.
    Repeatable,
    /// Never again once the service may have processed the request.
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

    pub(crate) fn attempt_timeout(self, retry: &Retry, attempt: u32, left: Duration) -> Duration {
        match self {
            Self::Idempotent if attempt < retry.max_attempts => left.min(retry.attempt_timeout),
            _ => left,
        }
    }

    /// How long to wait before the next attempt; `None` if there is to be none.
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
        for (repeat, attempt, expected) in [
            (RetrySafety::Idempotent, 1, 7),
            (RetrySafety::Idempotent, 2, 7),
            (RetrySafety::Idempotent, 3, 50),
            (RetrySafety::Repeatable, 1, 50),
            (RetrySafety::AtMostOnce, 1, 50),
        ] {
            assert_eq!(
                repeat.attempt_timeout(&retry, attempt, left),
                Duration::from_secs(expected),
                "{repeat:?} {attempt}"
            );
        }
        assert_eq!(RetrySafety::Idempotent.attempt_timeout(&Retry::none(), 1, left), left);
        let short = Duration::from_secs(1);
        assert_eq!(RetrySafety::Idempotent.attempt_timeout(&retry, 1, short), short);
    }
}
