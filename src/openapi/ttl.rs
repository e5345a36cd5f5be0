use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::Error;

/// The lifetime of a token: 1 second to 365 days, in whole seconds.
///
/// The vendor documents "up to one year"; of a shorter life it says that it is safer.
///
/// ```
/// use gettone::openapi::Ttl;
///
/// assert_eq!(Ttl::days(30)?.as_secs(), 2_592_000);
/// assert!(Ttl::days(366).unwrap_err().is_invalid_input());
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Ttl(u32);

const DAY: u32 = 24 * 60 * 60;

impl Ttl {
    /// 1 second.
    pub const MIN: Self = Self(1);
    /// 365 days.
    pub const MAX: Self = Self(365 * DAY);

    /// A lifetime in seconds.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) outside 1 to 31,536,000.
    pub fn seconds(seconds: u32) -> Result<Self, Error> {
        let ttl = Self(seconds);
        if (Self::MIN..=Self::MAX).contains(&ttl) {
            Ok(ttl)
        } else {
            Err(Error::invalid_input(format!("ttl of {seconds} s: expected 1 s to 365 days")))
        }
    }

    /// A lifetime in days.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) outside 1 to 365.
    pub fn days(days: u16) -> Result<Self, Error> {
        match days {
            1..=365 => Ok(Self(u32::from(days) * DAY)),
            _ => Err(Error::invalid_input(format!("ttl of {days} days: expected 1 s to 365 days"))),
        }
    }

    /// The lifetime in seconds.
    #[must_use]
    pub fn as_secs(self) -> u32 {
        self.0
    }
}

/// What is under a second is cut off.
impl TryFrom<Duration> for Ttl {
    type Error = Error;

    fn try_from(duration: Duration) -> Result<Self, Error> {
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
