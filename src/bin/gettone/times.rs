//! Times and durations as text: RFC 3339 in UTC, `5m`, `in 23 h`.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// Returns a time in UTC, in whole seconds: `2026-11-25T19:31:59Z`.
pub fn utc(moment: SystemTime) -> String {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).ok();
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    // The largest time that the calendar has, for a time beyond it.
    let time = time.unwrap_or(time::PrimitiveDateTime::MAX.assume_utc());
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// Returns a duration in its largest unit, rounded down: `59 s`, `23 h`.
pub fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Reads a duration: a number of seconds, or a number with `s`, `m`, `h` or `d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with a unit, such as 30s, 5m, 2h or 1d".to_owned();
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    // A hundred years: sums of times stay far from their limits.
    seconds
        .filter(|seconds| *seconds <= 3_153_600_000)
        .map(Duration::from_secs)
        .ok_or_else(|| "too long; expected at most 36500d".to_owned())
}

/// Reads a duration that is not zero.
pub fn positive(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|duration| match duration {
        Duration::ZERO => Err("zero leaves no time for anything; choose a longer time".to_owned()),
        duration => Ok(duration),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_durations_have_units() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_099_119_999);
        assert_eq!(utc(moment), "2025-11-25T19:31:59Z");
        assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000)), "9999-12-31T23:59:59Z");
        for (text, seconds) in [("5m", 300), ("90", 90), ("1d", 86_400), ("2h", 7_200), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "5 m", "-5m", "1.5h", "99999999999999999999d", "5w", "5è"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive("0m").is_err());
        assert_eq!(
            [59, 300, 86_399, 864_000].map(|s| rough(Duration::from_secs(s))),
            ["59 s", "5 min", "23 h", "10 days"]
        );
    }
}
