use std::time::{Duration, SystemTime};

use serde::de::{self, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Secret;

/// The two kinds of token have the same form and must not be taken for one another.
macro_rules! token_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
        #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline))]
        #[serde(transparent)]
        pub struct $type(Secret);

        impl $type {
            /// A token that was kept somewhere.
            #[must_use]
            pub fn new(token: impl Into<Secret>) -> Self {
                Self(token.into())
            }

            /// The token itself.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose()
            }
        }

        impl From<&str> for $type {
            fn from(token: &str) -> Self {
                Self::new(token)
            }
        }

        impl From<String> for $type {
            fn from(token: String) -> Self {
                Self::new(token)
            }
        }

        impl From<Secret> for $type {
            fn from(token: Secret) -> Self {
                Self(token)
            }
        }

        impl From<$type> for Secret {
            fn from(token: $type) -> Self {
                token.0
            }
        }
    };
}

token_type! {
    /// An access token: what a service wants to see as `Authorization: Bearer` (RFC 6750, section 2.1). Opaque.
    AccessToken
}

token_type! {
    /// A refresh token: what a service takes for a new access token (RFC 6749, section 1.5). Opaque.
    RefreshToken
}

/// A moment as Openapi.it writes it: whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct UnixSeconds(u64);

/// The last second of the year 9999: what comes after it is not a date that anything can write.
const LAST: u64 = 253_402_300_799;

impl UnixSeconds {
    /// What is under a second is cut off. `None` for a moment before 1970.
    pub(crate) fn new(moment: SystemTime) -> Option<Self> {
        moment.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| Self(since.as_secs()))
    }

    /// A moment after the year 9999 becomes its end: that a token lives so long is no reason to lose it.
    pub(crate) fn moment(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.min(LAST))
    }
}

impl<'de> Deserialize<'de> for UnixSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer).map(Self)
    }
}

/// A number that is not negative, as the number that is documented, or as the string that some servers send. One that is too
/// large becomes the largest.
pub(crate) fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        _ => return Err(not_a("a whole number")),
    };
    let text = text.trim();
    // What else can be parsed: a sign, a fraction alone, `inf` and `nan`.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(not_a("a whole number"));
    }
    // With a fraction or an exponent, or too large; `as` takes the nearest that there is.
    let otherwise = || text.parse::<f64>().map(|number| number as u64);
    text.parse().or_else(|_| otherwise()).map_err(|_| not_a("a whole number"))
}

/// A token of a type that is not known must not be used (RFC 6749, section 7.1). Token types are compared without regard to case.
pub(crate) fn bearer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "the token type `Bearer`";
    let kind = Value::deserialize(deserializer)?;
    let kind = kind.as_str().filter(|kind| kind.eq_ignore_ascii_case("bearer"));
    kind.map(str::to_owned).ok_or_else(|| not_a(expected))
}

/// Another value than was expected; the value itself is not said.
pub(crate) fn not_a<E: de::Error>(expected: &'static str) -> E {
    E::invalid_type(Unexpected::Other("something else"), &expected)
}
