//! The lifetime of a token of Openapi.it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::Error;

/// The lifetime of a token: 1 second to 365 days, in whole seconds.
///
/// The vendor documents at most one year for both versions, and calls a shorter lifetime safer.
///
/// ```
/// use gettone::openapi::Ttl;
///
/// assert_eq!(Ttl::days(30)?.as_secs(), 2_592_000);
/// assert_eq!(Ttl::hours(1)?.to_string(), "3600 s");
/// assert!(Ttl::days(366).unwrap_err().is_invalid_input());
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Ttl(u32);

const HOUR: u32 = 60 * 60;
const DAY: u32 = 24 * HOUR;

impl Ttl {
    /// The shortest lifetime: 1 second.
    pub const MIN: Self = Self(1);
    /// One day.
    pub(crate) const DAY: Self = Self(DAY);
    /// The longest lifetime: 365 days.
    pub const MAX: Self = Self(365 * DAY);

    /// Creates a lifetime from seconds.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the number is not in 1 to 31,536,000.
    pub fn seconds(seconds: u32) -> Result<Self, Error> {
        let ttl = Self(seconds);
        if (Self::MIN..=Self::MAX).contains(&ttl) {
            Ok(ttl)
        } else {
            Err(Error::invalid_input(format!("ttl of {seconds} s: expected 1 s to 365 days")))
        }
    }

    /// Creates a lifetime from hours.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the number is not in 1 to 8,760.
    pub fn hours(hours: u16) -> Result<Self, Error> {
        match hours {
            1..=8_760 => Ok(Self(u32::from(hours) * HOUR)),
            _ => Err(Error::invalid_input(format!("ttl of {hours} hours: expected 1 s to 365 days"))),
        }
    }

    /// Creates a lifetime from days.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the number is not in 1 to 365.
    pub fn days(days: u16) -> Result<Self, Error> {
        match days {
            1..=365 => Ok(Self(u32::from(days) * DAY)),
            _ => Err(Error::invalid_input(format!("ttl of {days} days: expected 1 s to 365 days"))),
        }
    }

    /// Returns the lifetime in seconds.
    #[must_use]
    pub fn as_secs(self) -> u32 {
        self.0
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = Error;

    /// Converts a duration of whole seconds.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the duration is not a whole number of seconds, is shorter than 1 second, or is
    ///   longer than 365 days.
    fn try_from(duration: Duration) -> Result<Self, Error> {
        if duration.subsec_nanos() != 0 {
            return Err(Error::invalid_input(format!("ttl of {duration:?}: expected whole seconds")));
        }
        Self::seconds(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
    }
}

impl From<Ttl> for Duration {
    fn from(ttl: Ttl) -> Self {
        Self::from_secs(ttl.0.into())
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::seconds(u32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Ttl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ttl".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": Self::MIN.0, "maximum": Self::MAX.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_a_second_to_a_year() {
        assert_eq!(Ttl::seconds(1).unwrap(), Ttl::MIN);
        assert_eq!(
            (Ttl::seconds(31_536_000).unwrap(), Ttl::days(365).unwrap(), Ttl::hours(8_760).unwrap()),
            (Ttl::MAX, Ttl::MAX, Ttl::MAX)
        );
        assert_eq!((Ttl::hours(1).unwrap().as_secs(), Ttl::days(1).unwrap().as_secs()), (3_600, 86_400));
        for wrong in
            [Ttl::seconds(0), Ttl::seconds(31_536_001), Ttl::days(0), Ttl::days(366), Ttl::hours(0), Ttl::hours(8_761)]
        {
            let error = wrong.unwrap_err();
            assert!(error.is_invalid_input() && error.to_string().ends_with("expected 1 s to 365 days"), "{error}");
        }
        assert_eq!(Ttl::try_from(Duration::from_millis(2_000)).unwrap().as_secs(), 2);
        assert!(Ttl::try_from(Duration::ZERO).is_err() && Ttl::try_from(Duration::MAX).is_err());
        assert!(Ttl::try_from(Duration::from_secs(u64::from(u32::MAX) + 2)).is_err());
        for (wrong, said) in [
            (Duration::from_millis(1_500), "1.5s"),
            (Duration::from_millis(999), "999ms"),
            (Duration::new(60, 1), "60.000000001s"),
        ] {
            let error = Ttl::try_from(wrong).unwrap_err();
            assert!(error.is_invalid_input());
            assert_eq!(error.to_string(), format!("ttl of {said}: expected whole seconds"));
        }
        assert_eq!((Duration::from(Ttl::MIN), Ttl::MIN.to_string()), (Duration::from_secs(1), "1 s".to_owned()));
        assert_eq!(serde_json::from_str::<Ttl>("60").unwrap().as_secs(), 60);
        for json in ["0", "31536001", "-1", "\"60\""] {
            assert!(serde_json::from_str::<Ttl>(json).is_err(), "{json}");
        }
    }
}
