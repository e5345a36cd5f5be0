//! A span for each call, and an event for what happens to a cached token, if the feature `tracing` is on. What is recorded is
//! listed here, and none of it is a secret.

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
    pub(crate) fn of<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        use tracing::Instrument;

        future.instrument(self.span.clone())
    }

    /// An attempt failed, and there will be another.
    pub(crate) fn again(&self, attempt: u32, error: &Error, delay: Duration) {
        let status = error.status().map(|status| status.as_u16());
        tracing::debug!(attempt, kind = ?error.kind(), status, delay_ms = millis(delay), "trying again");
    }

    /// The call is over, with this attempt.
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

    pub(crate) fn again(&self, _: u32, _: &Error, _: Duration) {}

    pub(crate) fn finish(&self, _: u32, _: Option<StatusCode>, _: impl Fn() -> Duration) {}
}

/// An event for what happens to a cached token; nothing without the feature.
macro_rules! event {
    ($level:ident, $($said:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::$level!(target: "gettone::cache", $($said)*)
    };
}

/// What happens to cached tokens. The key is what a token is for.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(crate) mod cache {
    use std::error::Error as StdError;
    use std::fmt::Display;
    use std::path::Path;
    use std::time::Duration;

    use crate::error::Error;

    pub(crate) fn hit(key: &impl Display) {
        event!(trace, %key, "handed out");
    }

    pub(crate) fn fetching(key: &impl Display, renewal: bool) {
        event!(debug, %key, renewal, "fetching");
    }

    pub(crate) fn obtained(key: &impl Display, left: Duration) {
        event!(info, %key, seconds = left.as_secs(), "obtained");
    }

    pub(crate) fn loaded(key: &impl Display, left: Duration) {
        event!(debug, %key, seconds = left.as_secs(), "taken from the store");
    }

    pub(crate) fn borrowed(key: &impl Display) {
        event!(debug, %key, "served by a broader token");
    }

    pub(crate) fn adopted(key: &impl Display) {
        event!(info, %key, "adopted a living token of the account");
    }

    pub(crate) fn not_looked(key: &impl Display, error: &Error) {
        event!(warn, %key, %error, "the account's tokens could not be looked through");
    }

    pub(crate) fn failed(key: &impl Display, error: &Error, usable: bool) {
        event!(warn, %key, %error, usable, "could not be fetched");
    }

    pub(crate) fn backing_off(key: &impl Display, left: Duration) {
        event!(debug, %key, seconds = left.as_secs(), "not tried again yet");
    }

    pub(crate) fn invalidated(key: &impl Display, kept: bool) {
        event!(info, %key, kept, "invalidated");
    }

    pub(crate) fn cleared(key: &impl Display) {
        event!(info, %key, "cleared");
    }

    pub(crate) fn store_failed(action: &'static str, error: &(dyn StdError + 'static)) {
        event!(warn, action, error, "the store of tokens failed");
    }

    /// A token file was damaged, and is kept under another name.
    pub(crate) fn set_aside(path: &Path, to: &Path) {
        event!(warn, path = %path.display(), to = %to.display(), "a damaged token file was set aside");
    }

    /// What a token file has under a name is no token.
    pub(crate) fn no_token(path: &Path, name: &str, error: &Error) {
        event!(warn, path = %path.display(), name, %error, "a damaged token was passed over");
    }
}
