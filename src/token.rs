use std::time::{Duration, SystemTime};

use serde::de::{self, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

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

/// The longest token that is accepted, in bytes. Servers refuse a longer line of a request (nginx and Apache by default take 8 KiB),
/// so it could never be used, not even to delete it.
const LONGEST: usize = 8 * 1024;

const EMPTY: &str = "the token is empty";
const TOO_LONG: &str = "the token is longer than 8 KiB";
const NO_HEADER: &str = "the token has a character that no header can have";
const NO_PATH: &str = "the token cannot stand in a path";

/// All that [`check_sendable`] says. None of it holds a value.
pub(crate) const RULES: [&str; 4] = [EMPTY, TOO_LONG, NO_HEADER, NO_PATH];

/// Checks that an access token from a service or a store can be sent: as `Authorization: Bearer`, and as one segment of a path,
/// where Openapi.it wants it. Returns the rule that it breaks.
///
/// RFC 6750, section 2.1, allows fewer characters; all that are visible ASCII do no harm in a header (RFC 9110, section 5.5).
pub(crate) fn check_sendable(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err(EMPTY),
        _ if token.len() > LONGEST => Err(TOO_LONG),
        _ if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err(NO_HEADER),
        _ if misread_in_path(token).is_some() => Err(NO_PATH),
        _ => Ok(()),
    }
}

/// Returns whether a refresh token from a service or a store can be sent. It goes into a form, where any character can stand.
pub(crate) fn is_usable_refresh_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= LONGEST
}

/// Returns why a text is not read as one segment of a path, although it is percent-encoded (URL standard, section 4.4).
pub(crate) fn misread_in_path(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("empty"),
        "." | ".." => Some("`.` and `..` cannot stand in a path"),
        _ if text.contains('\\') => Some("a backslash cannot stand in a path"),
        _ => None,
    }
}

/// Reads the access token of an answer, which is refused if it cannot be sent.
pub(crate) fn sendable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccessToken, D::Error> {
    let token = AccessToken::deserialize(deserializer)?;
    check_sendable(token.expose()).map_err(de::Error::custom)?;
    Ok(token)
}

/// Reads the refresh token of an answer. One that is of no use counts as absent: it must not cost the access token beside it.
pub(crate) fn usable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RefreshToken>, D::Error> {
    // As text, which can be wiped.
    let text = Zeroizing::new(String::from(Box::<str>::from(Box::<RawValue>::deserialize(deserializer)?)));
    let token: Option<RefreshToken> = serde_json::from_str(&text).ok();
    Ok(token.filter(|token| is_usable_refresh_token(token.expose())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_can_be_sent_breaks_no_rule() {
        let longest = "a".repeat(LONGEST);
        for token in
            ["t", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "a-._~+/=", "...", "!\"#$%&'()*,:;<>?@[]^`{|}", &longest]
        {
            assert_eq!(check_sendable(token), Ok(()), "{token}");
        }
        let too_long = "a".repeat(LONGEST + 1);
        for (token, rule) in [
            ("", EMPTY),
            (too_long.as_str(), TOO_LONG),
            ("a b", NO_HEADER),
            (" ", NO_HEADER),
            ("a\n", NO_HEADER),
            ("a\r\nx: y", NO_HEADER),
            ("\u{7f}", NO_HEADER),
            ("\0", NO_HEADER),
            ("\u{e8}", NO_HEADER),
            (".", NO_PATH),
            ("..", NO_PATH),
            ("a\\b", NO_PATH),
        ] {
            assert_eq!(check_sendable(token), Err(rule), "{token:?}");
            assert!(RULES.contains(&rule));
        }
    }
}
