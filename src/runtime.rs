//! Finds the tokio runtime of a call, and catches panics in code of the user.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::error::Error;

/// Returns the runtime of this call.
///
/// # Errors
///
/// [`is_invalid_input`](Error::is_invalid_input): the call is outside a runtime, or its runtime has no timers.
pub(crate) fn current() -> Result<Handle, Error> {
    let runtime = Handle::try_current().map_err(|_| {
        Error::invalid_input("no tokio runtime: call from inside one, for example with `Runtime::block_on`")
    })?;
    if has_timers() {
        Ok(runtime)
    } else {
        Err(Error::invalid_input("the tokio runtime has no timers: build it with `enable_all`"))
    }
}

/// Returns whether the runtime has timers. tokio (up to 1.54) has no method for this, but creating a timer panics if there are none. With
/// `panic = "abort"` that ends the process, with tokio's own message.
#[allow(clippy::disallowed_methods)]
fn has_timers() -> bool {
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// Returns the instant after a duration, or one in 30 years if the clock cannot express it.
pub(crate) fn after(duration: Duration) -> Instant {
    const YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(duration).unwrap_or_else(|| now + YEARS)
}

/// Waits for a future until an instant. Returns `None` if the future is not ready by then. Without timers it waits without a limit.
pub(crate) async fn until<T>(moment: Instant, awaited: impl Future<Output = T>) -> Option<T> {
    match current() {
        Ok(_) => tokio::time::timeout_at(moment, awaited).await.ok(),
        Err(_) => Some(awaited.await),
    }
}

/// A panic in code of the user.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs code of the user, and catches a panic.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // The user's code changes no state of this crate that a panic could leave half done.
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        // The payload is the user's too, and could panic when it is dropped.
        std::mem::forget(payload);
        Panicked
    })
}

/// Runs the future of the user that `call` makes, and catches a panic when it is made, polled or dropped.
pub(crate) fn caught_in<T, F: Future<Output = T>>(
    call: impl FnOnce() -> F,
) -> impl Future<Output = Result<T, Panicked>> {
    Caught(caught(|| Box::pin(call())).ok())
}

struct Caught<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err(Panicked)) };
        match caught(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

impl<F> Drop for Caught<F> {
    fn drop(&mut self) {
        let _ = caught(|| drop(self.0.take()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        #[allow(clippy::panic)]
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn what_a_panic_carries_does_no_harm() {
        assert!(caught(|| std::panic::panic_any(Bomb)).is_err());
    }
}
