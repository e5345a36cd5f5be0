//! Reads JSON values as servers write them: a number in quotes, a boolean in words.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) fn from_raw<'a, T: Deserialize<'a>>(value: &'a RawValue) -> serde_json::Result<T> {
    serde_json::from_str(value.get())
}

/// A string with all escapes undone. Half of a surrogate pair becomes U+FFFD: rejecting the string would leave a secret in it
/// escaped, where no search finds it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lenient;

        impl Visitor<'_> for Lenient {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            /// Reads a string that serde_json passes as bytes: UTF-8, in which half of a pair is encoded likewise (WTF-8).
            fn visit_bytes<E>(self, text: &[u8]) -> Result<Text, E> {
                let mut string = String::with_capacity(text.len());
                for chunk in text.utf8_chunks() {
                    string.push_str(chunk.valid());
                    // Half of a pair has three bytes. None of them is UTF-8.
                    if !chunk.invalid().is_empty() && !string.ends_with(char::REPLACEMENT_CHARACTER) {
                        string.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Text(string))
            }
        }

        deserializer.deserialize_bytes(Lenient)
    }
}

/// A JSON value that fits in one word: a boolean, a number or a string.
pub(crate) enum Word {
    Flag(bool),
    Number(String),
    Text(String),
    Other,
}

impl Word {
    /// Returns the value as an error code: a number other than 0, or a text.
    pub(crate) fn code(self) -> Option<String> {
        match self {
            Self::Number(code) | Self::Text(code) if !matches!(code.as_str(), "" | "0") => Some(code),
            _ => None,
        }
    }

    pub(crate) fn of(value: &RawValue) -> Self {
        let json = value.get();
        match json.bytes().next() {
            Some(b't' | b'f') => Self::Flag(json == "true"),
            // The text as sent: not every number of JSON fits a number type.
            Some(b'-' | b'0'..=b'9') => Self::Number(json.to_owned()),
            Some(b'"') => from_raw(value).map_or(Self::Other, |Text(text)| Self::Text(text)),
            _ => Self::Other,
        }
    }
}

/// Reads the `success` of an envelope, as a boolean, a number or a word. `None` for any other value.
pub(crate) fn yes_or_no(value: &RawValue) -> Option<bool> {
    match Word::of(value) {
        Word::Flag(success) => Some(success),
        Word::Number(success) | Word::Text(success) => match success.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" | "" => Some(false),
            _ => None,
        },
        Word::Other => None,
    }
}

/// Returns a string that is not blank.
pub(crate) fn text(value: &RawValue) -> Option<String> {
    match Word::of(value) {
        Word::Text(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

/// A time in whole seconds since 1970, as Openapi.it writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct UnixSeconds(u64);

/// The last second of the year 9999. Usual date formats cannot express a later one.
const LAST: u64 = 253_402_300_799;

impl UnixSeconds {
    /// Drops the fraction of a second. `None` for a time before 1970.
    pub(crate) fn new(moment: SystemTime) -> Option<Self> {
        moment.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| Self(since.as_secs()))
    }

    /// Returns the time. One after the year 9999 becomes its end, so that a token with such an end is not lost.
    pub(crate) fn moment(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.min(LAST))
    }
}

impl<'de> Deserialize<'de> for UnixSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer).map(Self)
    }
}

/// Reads a number that is not negative, from a number as documented or from a string, which some servers send. A number that is too
/// large becomes the largest.
pub(crate) fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        _ => return Err(not_a("a whole number")),
    };
    parse_whole(&text).ok_or_else(|| not_a("a whole number"))
}

/// Parses a number that is not negative. Drops a fraction; a number that is too large becomes the largest.
pub(crate) fn parse_whole(text: &str) -> Option<u64> {
    let text = text.trim();
    // Rejects what `parse` would also accept: a sign, a fraction alone, `inf` and `nan`.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    // With a fraction or an exponent, or too large; `as` takes the nearest integer.
    let otherwise = || text.parse::<f64>().map(|number| number as u64);
    text.parse().or_else(|_| otherwise()).ok()
}

/// Returns the error for an unexpected value. It does not show the value.
pub(crate) fn not_a<E: de::Error>(expected: &'static str) -> E {
    E::invalid_type(Unexpected::Other("something else"), &expected)
}
