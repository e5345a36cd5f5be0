//! A span for each call, if the feature `tracing` is on. What is recorded is listed here, and none of it is a secret.

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
        std::future::poll_fn(|context| self.span.in_scope(|| future.as_mut().poll(context))).await
    }

    /// An attempt failed, and there will be another.
    pub(crate) fn again(&self, attempt: u32, error: &Error, delay: Duration) {
        let status = error.status().map(|status| status.as_u16());
        tracing::debug!(attempt, kind = ?error.kind(), status, delay_ms = millis(delay), "trying again");
    }

    /// The call is over, with this attempt.
    pub(crate) fn finish(&self, attempt: u32, status: Option<StatusCode>, duration: Duration) {
        self.span.record("attempt", attempt);
        if let Some(status) = status {
            self.span.record("status", status.as_u16());
        }
        self.span.record("duration_ms", millis(duration));
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

    pub(crate) async fn of<F: Future>(&self, future: F) -> F::Output {
        future.await
    }

    pub(crate) fn again(&self, _: u32, _: &Error, _: Duration) {}

    pub(crate) fn finish(&self, _: u32, _: Option<StatusCode>, _: Duration) {}
}
