//! What time it is, and how to wait: the only room that asks.
//!
//! Everything in this crate that depends on time takes it from a [`Clock`], so that a test can hold time still
//! ([`ManualClock`]). A program needs none of this: [`SystemClock`] is the default.

#![allow(clippy::disallowed_methods)]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The end of a wait.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day, which may jump. Moments that a service names are compared with it.
    fn now(&self) -> SystemTime;

    /// Time that only moves forward, since some moment in the past. Spans are measured with it.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The time of the operating system; waits with tokio's timer.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Time that stands still until somebody moves it, for tests.
///
/// A wait is over at once: it moves the time forward and is remembered.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gettone::clock::{Clock, ManualClock};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
/// clock.sleep(Duration::from_secs(3600)).await;
/// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(3600));
/// assert_eq!(clock.waits(), [Duration::from_secs(3600)]);
/// # });
/// ```
#[derive(Debug)]
pub struct ManualClock {
    start: SystemTime,
    state: Arc<Mutex<ManualState>>,
}

#[derive(Debug, Default)]
struct ManualState {
    elapsed: Duration,
    waits: Vec<Duration>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self { start: now, state: Arc::default() }
    }

    /// Moves the time forward.
    pub fn advance(&self, duration: Duration) {
        lock(&self.state).advance(duration);
    }

    /// The waits so far, in their order.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        lock(&self.state).waits.clone()
    }
}

impl ManualState {
    fn advance(&mut self, duration: Duration) {
        self.elapsed = self.elapsed.saturating_add(duration);
    }
}

fn lock(state: &Mutex<ManualState>) -> MutexGuard<'_, ManualState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock for ManualClock {
    /// The start again, should the operating system not be able to express the moment.
    fn now(&self) -> SystemTime {
        self.start.checked_add(self.monotonic()).unwrap_or(self.start)
    }

    fn monotonic(&self) -> Duration {
        lock(&self.state).elapsed
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let mut state = lock(&state);
            state.advance(duration);
            state.waits.push(duration);
        })
    }
}
