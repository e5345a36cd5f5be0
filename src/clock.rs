//! The time of day, monotonic time and waits, which a test can replace.
//!
//! The crate takes the time, and the waits between two attempts, from a [`Clock`]: [`SystemClock`] by default, [`ManualClock`] in a test.
//! Two things do not follow it:
//!
//! - time limits (of a response, a request for a token, a call of a store, a lock) and the latency of the emulator follow tokio's clock;
//! - the wait for the token file itself follows the machine's.
//!
//! The guide says how the client treats [clocks that are wrong](crate::guide::processes#clocks), and how to
//! [test with a clock](crate::guide::testing#mocks-and-clocks).

#![allow(clippy::disallowed_methods)]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The future that [`Clock::sleep`] returns.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time.
///
/// If a clock panics, the panic reaches the call that reads the clock. If it panics while the client requests a token in the background,
/// the callers that wait get a [transient](crate::Error::is_transient) error.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gettone::clock::{Clock, Sleep, SystemClock};
///
/// /// The machine's clock, some time ahead.
/// #[derive(Debug)]
/// struct Ahead(SystemClock, Duration);
///
/// impl Clock for Ahead {
///     fn now(&self) -> SystemTime {
///         self.0.now() + self.1
///     }
///
///     fn monotonic(&self) -> Duration {
///         self.0.monotonic()
///     }
///
///     fn sleep(&self, duration: Duration) -> Sleep {
///         self.0.sleep(duration)
///     }
/// }
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time of day, which may jump. The client compares it with the times that a service names.
    fn now(&self) -> SystemTime;

    /// Returns the time since some moment in the past, which never goes back. The client measures durations with it.
    fn monotonic(&self) -> Duration;

    /// Waits for a duration.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// Both times of a [`Clock`] at one moment.
///
/// Neither is enough to tell whether a token has expired: the time of day jumps when somebody corrects it, and monotonic time may stand
/// still while a machine sleeps. So a token has expired as soon as either has reached its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The time of [`Clock::now`].
    pub(crate) now: SystemTime,
    /// The time of [`Clock::monotonic`].
    pub(crate) monotonic: Duration,
}

/// The clock of a client: the machine's or one of the user. A client reads it each time it returns a cached token, so it reads the
/// machine's in the cheapest way.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    System(SystemClock),
    User(Arc<dyn Clock>),
}

impl Time {
    /// Returns both times. The machine's may be some milliseconds late.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        match self {
            Self::System(clock) => clock.coarse(),
            Self::User(clock) => one_moment(&**clock),
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

/// Reads both times of a clock at one moment, even if another thread moves the clock meanwhile: a jump between the two readings would
/// make a token older than it is.
fn one_moment(clock: &dyn Clock) -> Moment {
    const JUMP: Duration = Duration::from_millis(100);
    let mut before = clock.monotonic();
    // A clock that jumps at each reading is taken as it is.
    for _ in 0..8 {
        let (now, after) = (clock.now(), clock.monotonic());
        if after.saturating_sub(before) < JUMP {
            return Moment { now, monotonic: before };
        }
        before = after;
    }
    Moment { now: clock.now(), monotonic: before }
}

impl Moment {
    /// Returns whether both times are before those of another moment.
    #[inline]
    pub(crate) fn is_before(&self, end: &Self) -> bool {
        self.monotonic < end.monotonic && self.now < end.now
    }

    /// Returns the moment after a duration. If the operating system cannot express that time of day, it stays the same.
    pub(crate) fn after(&self, duration: Duration) -> Self {
        Self {
            now: self.now.checked_add(duration).unwrap_or(self.now),
            monotonic: self.monotonic.saturating_add(duration),
        }
    }
}

/// The clock of the operating system, with tokio's timer for waits. The default of every client.
///
/// ```
/// use std::time::SystemTime;
/// use gettone::clock::{Clock, SystemClock};
///
/// let clock = SystemClock::default();
/// assert!(clock.now() > SystemTime::UNIX_EPOCH);
/// assert!(clock.monotonic() <= clock.monotonic());
/// ```
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
    /// The same moment by the kernel's monotonic clock.
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

/// Reads a clock of the kernel. None of those that are read here is ever negative.
#[cfg(target_os = "linux")]
#[inline]
fn kernel(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

impl SystemClock {
    /// Returns both times by the kernel's coarse clocks. Reading both takes half as long as reading one exact clock.
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

/// A clock for tests, which stands still until the test moves it.
///
/// A wait takes no time: the clock moves ahead by the length of the wait, and records it.
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
    /// Creates a clock that stands at `now`.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(ManualState { now, elapsed: Duration::ZERO, waits: Vec::new() })))
    }

    /// Moves both times forward.
    pub fn advance(&self, duration: Duration) {
        lock(&self.0).advance(duration);
    }

    /// Sets the time of day alone, forward or back. That is what happens when somebody corrects the time, or when a machine wakes up whose
    /// monotonic time stood still while it slept.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use gettone::clock::{Clock, ManualClock};
    ///
    /// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    /// clock.set(SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// assert_eq!(clock.monotonic(), Duration::ZERO);
    /// ```
    pub fn set(&self, now: SystemTime) {
        lock(&self.0).now = now;
    }

    /// Returns all waits so far, in order.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        lock(&self.0).waits.clone()
    }
}

impl ManualState {
    /// Moves both times forward. If the operating system cannot express that time of day, it stays the same.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that somebody moves by an hour between the first two readings.
    #[derive(Debug)]
    struct Moved(ManualClock);

    impl Clock for Moved {
        fn now(&self) -> SystemTime {
            if self.monotonic() == Duration::ZERO {
                self.0.advance(Duration::from_secs(3600));
            }
            self.0.now()
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }

        fn sleep(&self, duration: Duration) -> Sleep {
            self.0.sleep(duration)
        }
    }

    #[test]
    fn a_moment_is_one_moment_although_the_clock_is_moved_meanwhile() {
        let clock = Moved(ManualClock::new(SystemTime::UNIX_EPOCH));
        let hour = Duration::from_secs(3600);
        let moment = Time::User(Arc::new(clock)).moment();
        assert_eq!(moment, Moment { now: SystemTime::UNIX_EPOCH + hour, monotonic: hour });
    }
}
