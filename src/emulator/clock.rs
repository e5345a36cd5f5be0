//! The emulator's time: that of another clock, moved ahead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Sleep, SystemClock};

/// A clock that is ahead of another one. Ahead of the machine's, a wait takes no time and moves this clock; ahead of a clock of
/// the caller's, that one waits.
#[derive(Debug)]
pub(super) struct MovedClock {
    base: Arc<dyn Clock>,
    base_waits: bool,
    ahead: Arc<Mutex<Ahead>>,
}

/// How far the clock is ahead.
#[derive(Debug, Default)]
struct Ahead {
    /// In time of day.
    day: Duration,
    /// In monotonic time, which never goes back.
    monotonic: Duration,
}

impl MovedClock {
    pub(super) fn new(own: Option<Arc<dyn Clock>>) -> Self {
        let base_waits = own.is_some();
        let base = own.unwrap_or_else(|| Arc::new(SystemClock::default()));
        Self { base, base_waits, ahead: Arc::default() }
    }

    pub(super) fn advance(&self, duration: Duration) {
        advance(&self.ahead, duration);
    }

    /// Sets the time of day back to that of the other clock.
    pub(super) fn reset(&self) {
        lock(&self.ahead).day = Duration::ZERO;
    }

    /// Returns how far the time of day is ahead.
    pub(super) fn ahead(&self) -> Duration {
        lock(&self.ahead).day
    }
}

fn lock(ahead: &Mutex<Ahead>) -> MutexGuard<'_, Ahead> {
    ahead.lock().unwrap_or_else(PoisonError::into_inner)
}

fn advance(ahead: &Mutex<Ahead>, duration: Duration) {
    let mut ahead = lock(ahead);
    ahead.day = ahead.day.saturating_add(duration);
    ahead.monotonic = ahead.monotonic.saturating_add(duration);
}

impl Clock for MovedClock {
    fn now(&self) -> SystemTime {
        let now = self.base.now();
        now.checked_add(self.ahead()).unwrap_or(now)
    }

    fn monotonic(&self) -> Duration {
        self.base.monotonic().saturating_add(lock(&self.ahead).monotonic)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        if self.base_waits {
            return self.base.sleep(duration);
        }
        let ahead = Arc::clone(&self.ahead);
        Box::pin(async move { advance(&ahead, duration) })
    }
}

/// The last second that a `Date` header can express.
const LAST: u64 = 253_402_300_799;

/// Returns the time that is so many seconds after 1970, at most [`LAST`].
pub(super) fn from_unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

/// Returns the whole seconds since 1970, at most [`LAST`].
pub(super) fn to_unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().min(LAST))
}

/// Returns the day in UTC.
pub(super) fn day(time: SystemTime) -> time::Date {
    let seconds = i64::try_from(to_unix(time)).unwrap_or_default();
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH).date()
}

/// Returns the time as RFC 3339 writes it, in UTC and whole seconds. `offset` is how UTC is written: `Z` or `+00:00`.
pub(super) fn rfc3339(time: SystemTime, offset: &str) -> String {
    let seconds = i64::try_from(to_unix(time)).unwrap_or_default();
    let utc = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = utc.to_calendar_date();
    let (hour, minute, second) = utc.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}", u8::from(month))
}
