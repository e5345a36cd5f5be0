//! JSON values as servers write them: a number in quotes, a yes or no in words.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) fn from_raw<'a, T: Deserialize<'a>>(value: &'a RawValue) -> serde_json::Result<T> {
    serde_json::from_str(value.get())
}

/// A string, with everything unescaped that can be: half of a surrogate pair is no text, and no reason to show the rest as it was
/// sent, where a secret with escapes in it would not be found.
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

            /// What serde_json gives of a string that is asked for as bytes: UTF-8, and half of a pair likewise (WTF-8).
            fn visit_bytes<E>(self, text: &[u8]) -> Result<Text, E> {
                let mut string = String::with_capacity(text.len());
                for chunk in text.utf8_chunks() {
                    string.push_str(chunk.valid());
                    // Half of a pair has three bytes, none of which is UTF-8.
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

/// A value, as far as it can be said in a word.
pub(crate) enum Word {
    Flag(bool),
    Number(String),
    Text(String),
    Other,
}

impl Word {
    /// What may be a code: a number other than 0, or a text.
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
            // As it was sent: not every number of JSON is one here.
            Some(b'-' | b'0'..=b'9') => Self::Number(json.to_owned()),
            Some(b'"') => from_raw(value).map_or(Self::Other, |Text(text)| Self::Text(text)),
            _ => Self::Other,
        }
    }
}

/// The `success` of an envelope, as PHP and people write it; nothing if it is neither.
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

pub(crate) fn text(value: &RawValue) -> Option<String> {
    match Word::of(value) {
        Word::Text(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
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

/// Another value than was expected; the value itself is not said.
pub(crate) fn not_a<E: de::Error>(expected: &'static str) -> E {
    E::invalid_type(Unexpected::Other("something else"), &expected)
}
