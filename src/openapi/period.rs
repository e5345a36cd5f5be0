//! The periods that figures of use are read for: days, months, years, all time.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{Date, Month, OffsetDateTime};

use crate::error::Error;

/// A period of the calendar that has figures of use: a day, a month, a year, or all time.
///
/// [`Display`](fmt::Display) and serde write it as version 1 does: `2022-01-01`, `2022-01`, `2022`, `total`. Version 2 writes the first three
/// the same way, and has no word for all time.
///
/// Read the figures of this month and of the month before:
///
/// ```no_run
/// use std::time::SystemTime;
///
/// use gettone::openapi::Period;
///
/// # async fn run(oauth: gettone::openapi::v2::Oauth) -> Result<(), gettone::Error> {
/// let this_month = Period::month_containing(SystemTime::now())?;
/// let stats = oauth.stats(this_month).await?;
/// if let Some(last_month) = this_month.previous() {
///     let before = oauth.stats(last_month).await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Name a period:
///
/// ```
/// use gettone::openapi::Period;
///
/// assert_eq!(Period::month(2022, 1)?.to_string(), "2022-01");
/// assert_eq!(
///     Period::day(2022, 2, 29).unwrap_err().to_string(),
///     "period 2022-02-29: there is no such day"
/// );
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    span: Span,
    year: u16,
    month: u8,
    day: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Span {
    Total,
    Year,
    Month,
    Day,
}

impl Period {
    /// Returns all time.
    #[must_use]
    pub fn total() -> Self {
        Self { span: Span::Total, year: 0, month: 0, day: 0 }
    }

    /// Returns a year, 1 to 9999.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the year is 0, or greater than 9999.
    pub fn year(year: u16) -> Result<Self, Error> {
        match year {
            1..=9999 => Ok(Self { span: Span::Year, year, month: 0, day: 0 }),
            _ => Err(Error::invalid_input(format!("period {year}: expected a year from 1 to 9999"))),
        }
    }

    /// Returns a month, 1 to 12, of a year.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the calendar has no such month or year.
    pub fn month(year: u16, month: u8) -> Result<Self, Error> {
        match month {
            1..=12 => Ok(Self { span: Span::Month, month, ..Self::year(year)? }),
            _ => Err(Error::invalid_input(format!("period {year:04}-{month:02}: there is no such month"))),
        }
    }

    /// Returns a day, 1 to 31, of a month.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the calendar has no such day, month or year.
    pub fn day(year: u16, month: u8, day: u8) -> Result<Self, Error> {
        let period = Self { span: Span::Day, day, ..Self::month(year, month)? };
        match period.date() {
            Some(_) => Ok(period),
            None => Err(Error::invalid_input(format!("period {year:04}-{month:02}-{day:02}: there is no such day"))),
        }
    }

    /// Returns the day that contains a moment, in UTC.
    ///
    /// The vendor does not document the time zone of its days. If it is Italy's, the service counts a call in the first hour or
    /// two after midnight there for the day after the returned one.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the moment is outside the years 1 to 9999.
    pub fn day_containing(moment: SystemTime) -> Result<Self, Error> {
        let date = date_of(moment)?;
        Self::day(year_of(date)?, date.month().into(), date.day())
    }

    /// Returns the month that contains a moment, in UTC. See [`day_containing`](Self::day_containing) for the time zone.
    ///
    /// # Errors
    ///
    /// Those of [`day_containing`](Self::day_containing).
    pub fn month_containing(moment: SystemTime) -> Result<Self, Error> {
        let date = date_of(moment)?;
        Self::month(year_of(date)?, date.month().into())
    }

    /// Returns the year that contains a moment, in UTC. See [`day_containing`](Self::day_containing) for the time zone.
    ///
    /// # Errors
    ///
    /// Those of [`day_containing`](Self::day_containing).
    pub fn year_containing(moment: SystemTime) -> Result<Self, Error> {
        Self::year(year_of(date_of(moment)?)?)
    }

    /// Returns the period of the same length before this one; `None` for [`total`](Self::total), for the year 1, and for the first
    /// month and day of that year.
    ///
    /// ```
    /// use gettone::openapi::Period;
    ///
    /// assert_eq!(Period::day(2024, 3, 1)?.previous(), Some(Period::day(2024, 2, 29)?));
    /// assert_eq!(Period::month(2022, 1)?.previous(), Some(Period::month(2021, 12)?));
    /// assert_eq!(Period::total().previous(), None);
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        // There is no year 0.
        match (self.span, self.month) {
            (Span::Total, _) => None,
            (Span::Year, _) => Self::year(self.year.checked_sub(1)?).ok(),
            (Span::Month, 1) => Self::month(self.year.checked_sub(1)?, 12).ok(),
            (Span::Month, month) => Self::month(self.year, month.checked_sub(1)?).ok(),
            (Span::Day, _) => {
                let date = self.date()?.previous_day()?;
                Self::day(year_of(date).ok()?, date.month().into(), date.day()).ok()
            }
        }
    }

    fn date(self) -> Option<Date> {
        let month = Month::try_from(self.month).ok()?;
        Date::from_calendar_date(self.year.into(), month, self.day).ok()
    }

    pub(super) fn span(self) -> Span {
        self.span
    }
}

/// Returns the day of a moment, in UTC.
fn date_of(moment: SystemTime) -> Result<Date, Error> {
    let seconds = match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok(),
        Err(before) => {
            // Rounds down: a moment before midnight is in the day before.
            let before = before.duration();
            let whole = before.as_secs().checked_add(u64::from(before.subsec_nanos() > 0));
            whole.and_then(|seconds| i64::try_from(seconds).ok()).map(|seconds| -seconds)
        }
    };
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map(OffsetDateTime::date).ok_or_else(not_in_calendar)
}

fn year_of(date: Date) -> Result<u16, Error> {
    u16::try_from(date.year()).ok().filter(|year| *year > 0).ok_or_else(not_in_calendar)
}

fn not_in_calendar() -> Error {
    Error::invalid_input("period of a moment: expected one of the years 1 to 9999")
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a period: YYYY-MM-DD, YYYY-MM, YYYY or `total`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(total|[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?)$" })
    }
}

impl FromStr for Period {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the text has another form, such as one without leading zeros, or names a
    ///   period that the calendar does not have.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown =
            || Error::invalid_input("not a period: expected YYYY-MM-DD, YYYY-MM, YYYY or `total`, with leading zeros");
        if text == "total" {
            return Ok(Self::total());
        }
        let parts: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let numbers: Option<Vec<u16>> = parts
            .iter()
            .map(|part| if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None })
            .collect();
        // Numbers of two digits fit.
        let small = |number: u16| u8::try_from(number).unwrap_or(u8::MAX);
        match (lengths.as_slice(), numbers.as_deref()) {
            ([4], Some([year])) => Self::year(*year),
            ([4, 2], Some([year, month])) => Self::month(*year, small(*month)),
            ([4, 2, 2], Some([year, month, day])) => Self::day(*year, small(*month), small(*day)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { span, year, month, day } = self;
        match span {
            Span::Total => f.write_str("total"),
            Span::Year => write!(f, "{year:04}"),
            Span::Month => write!(f, "{year:04}-{month:02}"),
            Span::Day => write!(f, "{year:04}-{month:02}-{day:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_calendar_is_a_period() {
        for text in
            ["total", "2022", "0001", "2022-01", "2022-12", "2022-01-01", "2024-02-29", "2000-02-29", "9999-12-31"]
        {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "22",
            "02022",
            "2022-1",
            "2022-1-1",
            "2022-01-1",
            "2022-01-01-01",
            "2022/01",
            "2022-01-01T00",
            "+022",
            "２０２２",
            "Total",
            "0000",
            "2022-00",
            "2022-13",
            "2022-01-00",
            "2022-01-32",
            "2022-04-31",
            "2023-02-29",
            "1900-02-29",
            "../../scopes",
            "2022\n",
        ] {
            assert!(text.parse::<Period>().unwrap_err().is_invalid_input(), "{text:?}");
        }
        for (period, shown) in [
            (Period::year(1), "0001"),
            (Period::year(9999), "9999"),
            (Period::month(2022, 12), "2022-12"),
            (Period::day(2024, 2, 29), "2024-02-29"),
        ] {
            assert_eq!(period.unwrap().to_string(), shown);
        }
        for period in [
            Period::year(0),
            Period::year(10_000),
            Period::month(0, 1),
            Period::month(2022, 0),
            Period::month(2022, 13),
            Period::month(2022, 255),
            Period::day(2022, 2, 29),
            Period::day(2022, 4, 31),
            Period::day(2022, 1, 0),
            Period::day(2022, 1, 255),
            Period::day(2022, 13, 1),
            Period::day(10_000, 1, 1),
        ] {
            assert!(period.unwrap_err().is_invalid_input());
        }
    }

    fn at(seconds: i64, nanos: u32) -> SystemTime {
        let whole = std::time::Duration::from_secs(seconds.unsigned_abs());
        let moment = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
        moment + std::time::Duration::from_nanos(nanos.into())
    }

    #[test]
    fn a_moment_is_in_one_day_month_and_year() {
        for (moment, day) in [
            (at(0, 0), "1970-01-01"),
            (at(86_399, 999_999_999), "1970-01-01"),
            (at(86_400, 0), "1970-01-02"),
            (at(-1, 0), "1969-12-31"),
            (at(-1, 999_999_999), "1969-12-31"),
            (at(-86_400, 0), "1969-12-31"),
            (at(-86_401, 1), "1969-12-30"),
            (at(1_709_164_800, 0), "2024-02-29"),
            (at(1_767_225_599, 0), "2025-12-31"),
            (at(1_767_225_600, 0), "2026-01-01"),
            (at(-62_135_596_800, 0), "0001-01-01"),
            (at(253_402_300_799, 999_999_999), "9999-12-31"),
        ] {
            let periods = [Period::day_containing, Period::month_containing, Period::year_containing];
            for (containing, length) in periods.into_iter().zip([10, 7, 4]) {
                assert_eq!(containing(moment).unwrap().to_string(), day[..length]);
            }
        }
        for moment in
            [at(-62_135_596_801, 999_999_999), at(253_402_300_800, 0), at(i64::MAX / 2, 0), at(-i64::MAX / 2, 0)]
        {
            for containing in [Period::day_containing, Period::month_containing, Period::year_containing] {
                let error = containing(moment).unwrap_err();
                assert!(error.is_invalid_input());
                assert_eq!(error.to_string(), "period of a moment: expected one of the years 1 to 9999");
            }
        }
    }

    #[test]
    fn the_period_before_is_as_long_and_ends_where_this_one_begins() {
        let previous = |text: &str| text.parse::<Period>().unwrap().previous().map(|period| period.to_string());
        for (text, before) in [
            ("2022", Some("2021")),
            ("2022-02", Some("2022-01")),
            ("2022-01", Some("2021-12")),
            ("2024-03-01", Some("2024-02-29")),
            ("2023-03-01", Some("2023-02-28")),
            ("1900-03-01", Some("1900-02-28")),
            ("2022-01-01", Some("2021-12-31")),
            ("9999-12-31", Some("9999-12-30")),
            ("0002", Some("0001")),
            ("0001", None),
            ("0001-02", Some("0001-01")),
            ("0001-01", None),
            ("0001-01-02", Some("0001-01-01")),
            ("0001-01-01", None),
            ("total", None),
        ] {
            assert_eq!(previous(text).as_deref(), before, "{text}");
        }
        // Day by day through the calendar, and each is the day of its own noon.
        let mut day = Period::day(2024, 12, 31).unwrap();
        for number in (0..20_089).rev() {
            assert_eq!(Period::day_containing(at(number * 86_400 + 43_200, 0)).unwrap(), day);
            day = day.previous().unwrap();
        }
        assert_eq!(day.to_string(), "1969-12-31");
    }

    #[test]
    fn a_period_is_its_text_with_serde() {
        for text in ["total", "2022", "2022-01", "2024-02-29"] {
            let period: Period = text.parse().unwrap();
            let json = serde_json::to_string(&period).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Period>(&json).unwrap(), period);
            assert_eq!(serde_json::from_value::<Period>(text.into()).unwrap(), period);
        }
        for json in ["2022", "null", "\"2022-1\"", "\"2022-02-30\"", "\"\"", "[]"] {
            assert!(serde_json::from_str::<Period>(json).is_err(), "{json}");
        }
        let error = serde_json::from_str::<Period>("\"2022-02-30\"").unwrap_err().to_string();
        assert!(error.starts_with("period 2022-02-30: there is no such day"), "{error}");
    }
}
