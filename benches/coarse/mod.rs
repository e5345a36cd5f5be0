//! The two clocks that a client reads each time it returns a cached token.

use std::time::{Duration, SystemTime};

/// Returns the monotonic time and the time of day, as cheaply as the kernel returns them.
#[cfg(target_os = "linux")]
pub fn coarse() -> (Duration, SystemTime) {
    use rustix::time::{ClockId, clock_gettime};

    let read = |clock| {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
    };
    (read(ClockId::MonotonicCoarse), SystemTime::UNIX_EPOCH + read(ClockId::RealtimeCoarse))
}

/// Returns the monotonic time and the time of day.
#[cfg(not(target_os = "linux"))]
pub fn coarse() -> (Duration, SystemTime) {
    use std::sync::LazyLock;
    use std::time::Instant;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    (START.elapsed(), SystemTime::now())
}
