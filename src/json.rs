//! Reads JSON values as servers write them: a number in quotes, a boolean in words. Also what all JSON schemas share.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) fn from_raw<'a, T: Deserialize<'a>>(value: &'a RawValue) -> serde_json::Result<T> {
    serde_json::from_str(value.get())
}

/// The name by which serde_json recognizes its [`RawValue`], and which it gives the only field of one.
const RAW: &str = "$serde_json::private::RawValue";

/// Returns the JSON of any value, without a copy if it is read from memory. serde_json itself has a type for either case, but none for both:
/// `&RawValue` and `Box<RawValue>`.
pub(crate) fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    struct Raw;

    impl<'de> Visitor<'de> for Raw {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            match map.next_entry::<Borrowed, Borrowed>()? {
                Some((name, json)) if name.0 == RAW => Ok(json.0),
                _ => Err(de::Error::invalid_type(Unexpected::Map, &self)),
            }
        }

        /// Reads the value if serde_json does not know the name.
        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            Ok(Cow::Owned(Box::<str>::from(Box::<RawValue>::deserialize(deserializer)?).into()))
        }
    }

    deserializer.deserialize_newtype_struct(RAW, Raw)
}

/// A text, without a copy if possible.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Borrowed<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A string with all escapes undone. Half of a surrogate pair becomes U+FFFD: rejecting the string would leave a secret in it
/// escaped, where no search finds it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lenient;

        impl<'de> Visitor<'de> for Lenient {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(text.to_owned().into()))
            }

            /// Reads a string without escapes.
            fn visit_borrowed_bytes<E: de::Error>(self, text: &'de [u8]) -> Result<Text<'de>, E> {
                match std::str::from_utf8(text) {
                    Ok(text) => Ok(Text(text.into())),
                    Err(_) => self.visit_bytes(text),
                }
            }

            /// Reads a string that serde_json passes as bytes: UTF-8, in which half of a pair is encoded likewise (WTF-8).
            fn visit_bytes<E>(self, text: &[u8]) -> Result<Text<'de>, E> {
                let mut string = String::with_capacity(text.len());
                for chunk in text.utf8_chunks() {
                    string.push_str(chunk.valid());
                    // Half of a pair has three bytes. None of them is UTF-8.
                    if !chunk.invalid().is_empty() && !string.ends_with(char::REPLACEMENT_CHARACTER) {
                        string.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Text(string.into()))
            }
        }

        deserializer.deserialize_bytes(Lenient)
    }
}

/// A JSON value that is neither a list nor an object: a boolean, a number or a string. Anything else, and null, is `Other`.
pub(crate) enum Word<'a> {
    Flag(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    Other,
}

impl<'a> Word<'a> {
    /// Returns the value as an error code: a number other than 0, or a text.
    pub(crate) fn code(self) -> Option<String> {
        self.text().filter(|code| !matches!(&**code, "" | "0")).map(Cow::into_owned)
    }

    /// Returns the text of a string or of a number.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Number(text) => Some(text.into()),
            Self::Text(text) => Some(text),
            Self::Flag(_) | Self::Other => None,
        }
    }

    pub(crate) fn of(json: &'a str) -> Self {
        match json.as_bytes().first() {
            Some(b't' | b'f') => Self::Flag(json == "true"),
            // The text as sent: not every number of JSON fits a number type.
            Some(b'-' | b'0'..=b'9') => Self::Number(json),
            Some(b'"') => string(json).map_or(Self::Other, Self::Text),
            _ => Self::Other,
        }
    }
}

/// Returns the text of a JSON string. Few have an escape, and only those are copied.
fn string(json: &str) -> Option<Cow<'_, str>> {
    match json.strip_prefix('"')?.strip_suffix('"')? {
        text if !text.contains('\\') => Some(text.into()),
        _ => serde_json::from_str(json).ok().map(|Text(text)| text),
    }
}

/// Reads the `success` of an envelope, as a boolean, a number or a word. `None` for any other value.
pub(crate) fn yes_or_no(json: &str) -> Option<bool> {
    match Word::of(json) {
        Word::Flag(success) => Some(success),
        word => match word.text()?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" | "" => Some(false),
            _ => None,
        },
    }
}

/// Returns a string that is not blank.
pub(crate) fn text(json: &str) -> Option<String> {
    string(json).filter(|text| !text.trim().is_empty()).map(Cow::into_owned)
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
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64().or_else(|| parse_whole(&number.to_string())),
        Value::String(text) => parse_whole(&text),
        _ => None,
    };
    number.ok_or_else(|| not_a("a whole number"))
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

/// Shortens the description of a schema to the first paragraph of the type's documentation: the rest has links and examples for
/// programmers in Rust.
#[cfg(feature = "schemars")]
pub(crate) fn first_paragraph(schema: &mut schemars::Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_memory_is_not_copied() {
        let text = r#"{"a":["\ud800",1e999]}"#;
        let json = raw(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert!(matches!(json, Cow::Borrowed(json) if json == text));
        let json = raw(&mut serde_json::Deserializer::from_reader(text.as_bytes())).unwrap();
        assert!(matches!(json, Cow::Owned(json) if json == text));
    }
}
