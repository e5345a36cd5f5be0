use std::fmt;
use std::str::FromStr;

use time::{Date, Month};

use crate::Error;

/// A period that has counters: a day, a month, a year, or all time. It is a real one: there is no 30 February.
///
/// Displayed as the service writes it: `2022-01-01`, `2022-01`, `2022`, `total`.
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
pub(super) enum Span {
    Total,
    Year,
    Month,
    Day,
}

impl Period {
    /// All time.
    #[must_use]
    pub fn total() -> Self {
        Self { span: Span::Total, year: 0, month: 0, day: 0 }
    }

    /// A year, 1 to 9999.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if the year does not have one to four digits, or is 0.
    pub fn year(year: u16) -> Result<Self, Error> {
        match year {
            1..=9999 => Ok(Self { span: Span::Year, year, month: 0, day: 0 }),
            _ => Err(Error::invalid_input(format!("period {year}: expected a year from 1 to 9999"))),
        }
    }

    /// A month, 1 to 12.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if there is no such month or year.
    pub fn month(year: u16, month: u8) -> Result<Self, Error> {
        match month {
            1..=12 => Ok(Self { span: Span::Month, month, ..Self::year(year)? }),
            _ => Err(Error::invalid_input(format!("period {year:04}-{month:02}: there is no such month"))),
        }
    }

    /// A day, 1 to 31.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if there is no such day, month or year.
    pub fn day(year: u16, month: u8, day: u8) -> Result<Self, Error> {
        let period = Self { span: Span::Day, day, ..Self::month(year, month)? };
        let date = Month::try_from(month).and_then(|month| Date::from_calendar_date(year.into(), month, day));
        match date {
            Ok(_) => Ok(period),
            Err(_) => Err(Error::invalid_input(format!("period {year:04}-{month:02}-{day:02}: there is no such day"))),
        }
    }

    pub(super) fn span(self) -> Span {
        self.span
    }
}

impl FromStr for Period {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) for any other form, also one without leading zeros, and for what is not in
    /// the calendar.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || {
            Error::invalid_input(format!(
                "period {text:?}: expected YYYY-MM-DD, YYYY-MM, YYYY or `total`, with leading zeros"
            ))
        };
        if text == "total" {
            return Ok(Self::total());
        }
        let parts: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let numbers: Option<Vec<u16>> = parts
            .iter()
            .map(|part| if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None })
            .collect();
        // Of two digits, so that they fit.
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
}
