//! Spans of calls and events of cached tokens, with the feature `tracing`. This file lists all that is recorded; nothing of it is secret.

use std::future::Future;
use std::time::Duration;

use reqwest::StatusCode;

use crate::error::{Error, Operation};

/// The span of one call.
pub(crate) struct Span {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

#[cfg(feature = "tracing")]
impl Span {
    pub(crate) fn new(operation: Operation) -> Self {
        use tracing::field::Empty;

        Self {
            span: tracing::info_span!(
                "gettone.call",
                service = operation.service,
                operation = operation.name,
                status = Empty,
                attempt = Empty,
                duration_ms = Empty,
            ),
        }
    }

    /// Runs a future inside the span.
    pub(crate) async fn of<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            // `Instrument` would enter a disabled span too, which takes time and records nothing.
            let _inside = (!self.span.is_disabled()).then(|| self.span.enter());
            future.as_mut().poll(context)
        })
        .await
    }

    /// Records that an attempt failed and the call will be retried.
    pub(crate) fn retrying(&self, attempt: u32, error: &Error, delay: Duration) {
        let status = error.status().map(|status| status.as_u16());
        tracing::debug!(attempt, kind = ?error.kind(), status, delay_ms = millis(delay), "retrying");
    }

    /// Records the end of the call, with the number of attempts.
    pub(crate) fn finish(&self, attempt: u32, status: Option<StatusCode>, duration: impl Fn() -> Duration) {
        if self.span.is_disabled() {
            return;
        }
        self.span.record("attempt", attempt);
        if let Some(status) = status {
            self.span.record("status", status.as_u16());
        }
        self.span.record("duration_ms", millis(duration()));
    }
}

#[cfg(feature = "tracing")]
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(not(feature = "tracing"))]
impl Span {
    pub(crate) fn new(_: Operation) -> Self {
        Self {}
    }

    pub(crate) fn of<F: Future>(&self, future: F) -> F {
        future
    }

    pub(crate) fn retrying(&self, _: u32, _: &Error, _: Duration) {}

    pub(crate) fn finish(&self, _: u32, _: Option<StatusCode>, _: impl Fn() -> Duration) {}
}

/// Emits an event of the cache. Expands to nothing without the feature.
macro_rules! event {
    ($level:ident, $($said:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::$level!(target: "gettone::cache", $($said)*)
    };
}

/// The events of cached tokens. The key is the scopes or the account of a token.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(crate) mod cache {
    use std::error::Error as StdError;
    use std::fmt::Display;
    use std::path::Path;
    use std::time::Duration;

    use crate::error::Error;

    pub(crate) fn hit(key: &impl Display) {
        event!(trace, %key, "token returned from the cache");
    }

    pub(crate) fn fetching(key: &impl Display, renewal: bool) {
        event!(debug, %key, refresh = renewal, "requesting a token");
    }

    pub(crate) fn obtained(key: &impl Display, left: Duration) {
        event!(info, %key, expires_in = left.as_secs(), "token received");
    }

    pub(crate) fn loaded(key: &impl Display, left: Duration) {
        event!(debug, %key, expires_in = left.as_secs(), "token loaded from the store");
    }

    pub(crate) fn borrowed(key: &impl Display) {
        event!(debug, %key, "using a broader token");
    }

    pub(crate) fn adopted(key: &impl Display) {
        event!(info, %key, "reusing a token of the account");
    }

    pub(crate) fn expanded(key: &impl Display, count: usize, scopes: &impl Display) {
        event!(debug, %key, count, %scopes, "wildcards expanded");
    }

    pub(crate) fn not_looked(key: &impl Display, error: &Error) {
        event!(warn, %key, %error, "the account's tokens could not be listed");
    }

    pub(crate) fn failed(key: &impl Display, error: &Error, usable: bool) {
        event!(warn, %key, %error, has_valid_token = usable, "token request failed");
    }

    pub(crate) fn backing_off(key: &impl Display, left: Duration) {
        event!(debug, %key, retry_after = left.as_secs(), "backing off");
    }

    pub(crate) fn invalidated(key: &impl Display, kept: bool) {
        event!(info, %key, kept, "token invalidated");
    }

    pub(crate) fn cleared(key: &impl Display) {
        event!(info, %key, "token cleared");
    }

    pub(crate) fn store_failed(action: &'static str, error: &(dyn StdError + 'static)) {
        event!(warn, action, error, "token store failed");
    }

    /// Records that a token file was damaged and renamed.
    pub(crate) fn set_aside(path: &Path, to: &Path) {
        event!(warn, path = %path.display(), to = %to.display(), "damaged token file renamed");
    }

    /// Records that the record of a name in a token file is damaged.
    pub(crate) fn no_token(path: &Path, name: &str, error: &Error) {
        event!(warn, path = %path.display(), name, %error, "damaged record ignored");
    }
}
