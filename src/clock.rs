//! Time, and waits: the only room that asks the machine what time it is.
//!
//! Everything in this crate that depends on what time it is takes it from a [`Clock`], and so do the waits between two tries: a test
//! can hold time still ([`ManualClock`]). Limits go by tokio's own time: those of reqwest for an answer, how long an exchange, a
//! store or a lock is waited for, and the latency of the emulator; only the wait for the file itself goes by the machine's. A program
//! needs none of this: [`SystemClock`] is the default.

#![allow(clippy::disallowed_methods)]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The end of a wait.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time.
///
/// A clock that panics does so in the call that asked it. If it panics while a token is fetched in the background, callers who wait get
/// an error that [may pass](crate::Error::is_transient).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day, which may jump. Moments that a service names are compared with it.
    fn now(&self) -> SystemTime;

    /// Time that only moves forward, since some moment in the past. Spans are measured with it.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// Both times of a [`Clock`] at one moment.
///
/// Neither alone tells whether a token has expired: the time of day jumps when somebody corrects it, and the other one may stand still
/// while a machine sleeps. So a token has expired as soon as one of them says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// As of [`Clock::now`].
    pub(crate) now: SystemTime,
    /// As of [`Clock::monotonic`].
    pub(crate) monotonic: Duration,
}

/// The clock of a client: its user's, or the machine's. Each time that a cached token is returned the clock is asked, so the machine's
/// is read in the cheapest way.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    System(SystemClock),
    User(Arc<dyn Clock>),
}

impl Time {
    /// Returns both times, those of the machine perhaps some milliseconds late.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        match self {
            Self::System(clock) => clock.coarse(),
            Self::User(clock) => Moment { now: clock.now(), monotonic: clock.monotonic() },
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::System(clock) => clock.now(),
            Self::User(clock) => clock.now(),
        }
    }

    pub(crate) fn monotonic(&self) -> Duration {
        match self {
            Self::System(clock) => clock.monotonic(),
            Self::User(clock) => clock.monotonic(),
        }
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        match self {
            Self::System(clock) => clock.sleep(duration),
            Self::User(clock) => clock.sleep(duration),
        }
    }
}

impl Moment {
    /// Whether neither time has come to this other moment.
    #[inline]
    pub(crate) fn is_before(&self, end: &Self) -> bool {
        self.monotonic < end.monotonic && self.now < end.now
    }

    /// A time of day that the operating system cannot express stays where it is.
    pub(crate) fn after(&self, duration: Duration) -> Self {
        Self {
            now: self.now.checked_add(duration).unwrap_or(self.now),
            monotonic: self.monotonic.saturating_add(duration),
        }
    }
}

/// The time of the operating system; waits with tokio's timer.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
    /// The same moment by the kernel's own count.
    #[cfg(target_os = "linux")]
    kernel_started: Duration,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            #[cfg(target_os = "linux")]
            kernel_started: kernel(rustix::time::ClockId::Monotonic),
        }
    }
}

/// None of the clocks that are read here is ever negative.
#[cfg(target_os = "linux")]
#[inline]
fn kernel(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

impl SystemClock {
    /// The kernel's coarse clocks, both of which are read in half the time that an exact one takes.
    #[cfg(target_os = "linux")]
    #[inline]
    fn coarse(&self) -> Moment {
        use rustix::time::ClockId;

        Moment {
            now: SystemTime::UNIX_EPOCH + kernel(ClockId::RealtimeCoarse),
            monotonic: kernel(ClockId::MonotonicCoarse).saturating_sub(self.kernel_started),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn coarse(&self) -> Moment {
        Moment { now: self.now(), monotonic: self.monotonic() }
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
pub struct ManualClock(Arc<Mutex<ManualState>>);

#[derive(Debug)]
struct ManualState {
    now: SystemTime,
    elapsed: Duration,
    waits: Vec<Duration>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(ManualState { now, elapsed: Duration::ZERO, waits: Vec::new() })))
    }

    /// Moves both times forward.
    pub fn advance(&self, duration: Duration) {
        lock(&self.0).advance(duration);
    }

    /// Moves the time of day alone, there or back: as when somebody corrects it, or when a machine wakes up whose other time
    /// stood still while it slept.
    pub fn set(&self, now: SystemTime) {
        lock(&self.0).now = now;
    }

    /// The waits so far, in their order.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        lock(&self.0).waits.clone()
    }
}

impl ManualState {
    /// The time of day stands still where the operating system cannot express a later one.
    fn advance(&mut self, duration: Duration) {
        self.elapsed = self.elapsed.saturating_add(duration);
        self.now = self.now.checked_add(duration).unwrap_or(self.now);
    }
}

fn lock(state: &Mutex<ManualState>) -> MutexGuard<'_, ManualState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        lock(&self.0).now
    }

    fn monotonic(&self) -> Duration {
        lock(&self.0).elapsed
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let mut state = lock(&state);
            state.advance(duration);
            state.waits.push(duration);
        })
    }
}
