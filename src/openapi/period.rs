use std::fmt;

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
