//! The emulator's time: another clock's, moved ahead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Sleep, SystemClock};
use rust_decimal::Decimal;

/// Without a clock of the caller's own it runs with the machine's, and a wait by it moves it ahead at once: a test waits for
/// nothing. With one, that clock waits.
#[derive(Debug)]
pub(super) struct MovedClock {
    base: Arc<dyn Clock>,
    waits_by_base: bool,
    ahead: Arc<Mutex<Duration>>,
}

impl MovedClock {
    pub(super) fn new(own: Option<Arc<dyn Clock>>) -> Self {
        let waits_by_base = own.is_some();
        let base = own.unwrap_or_else(|| Arc::new(SystemClock::default()));
        Self { base, waits_by_base, ahead: Arc::default() }
    }

    pub(super) fn advance(&self, duration: Duration) {
        advance(&self.ahead, duration);
    }

    fn ahead(&self) -> Duration {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn advance(ahead: &Mutex<Duration>, duration: Duration) {
    let mut ahead = ahead.lock().unwrap_or_else(PoisonError::into_inner);
    *ahead = ahead.saturating_add(duration);
}

impl Clock for MovedClock {
    fn now(&self) -> SystemTime {
        let now = self.base.now();
        now.checked_add(self.ahead()).unwrap_or(now)
    }

    /// Both moved by the same.
    fn monotonic(&self) -> Duration {
        self.base.monotonic().saturating_add(self.ahead())
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        if self.waits_by_base {
            return self.base.sleep(duration);
        }
        let ahead = Arc::clone(&self.ahead);
        Box::pin(async move { advance(&ahead, duration) })
    }
}

const LAST: u64 = 253_402_300_799;

/// The moment of so many seconds since 1970, up to the same last one.
pub(super) fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

/// Whole seconds since 1970, as the services tell a moment, up to the last one that a `Date` header can name.
pub(super) fn unix(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().min(LAST))
}

/// The day of a moment, in UTC.
pub(super) fn day(moment: SystemTime) -> time::Date {
    let seconds = i64::try_from(unix(moment)).unwrap_or_default();
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH).date()
}

/// A decimal number that is written out in the source.
pub(super) fn decimal(digits: i64, places: u32) -> Decimal {
    Decimal::try_new(digits, places).unwrap_or_default()
}
