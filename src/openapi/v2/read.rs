//! Reads the fields of responses. The vendor's schemas require no field: a value that is missing, null or unreadable is `None`, and hides no
//! other value. [`documented`] reads documented values faster.

pub(super) mod documented;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use rust_decimal::Decimal;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::json::{Text, Word, not_a, parse_whole, raw, yes_or_no};
use crate::openapi::money;

/// Returns the text of a string that is not empty, or of a number.
pub(super) fn word(json: &str) -> Option<Cow<'_, str>> {
    Word::of(json).text().filter(|text| !text.is_empty())
}

/// Reads a text. A number counts as its text.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(word(&raw(deserializer)?).map(Cow::into_owned))
}

/// Reads a text that must not be missing.
pub(super) fn required_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer)?.ok_or_else(|| not_a("a text"))
}

/// Reads an array of texts.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let value = raw(deserializer)?;
    let entries: Vec<&RawValue> = serde_json::from_str(&value).unwrap_or_default();
    Ok(entries.into_iter().filter_map(|entry| word(entry.get()).map(Cow::into_owned)).collect())
}

/// Reads a whole number, which the service sends as an integer, as a number with a fraction of zero, or as a text.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(word(&raw(deserializer)?).as_deref().and_then(parse_whole))
}

/// Reads the status of a response, which the service sends as a number or as a text.
pub(super) fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    Ok(count(deserializer)?.and_then(|status| status.try_into().ok()))
}

/// Reads an amount of money, with all of its digits.
pub(super) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Ok(word(&raw(deserializer)?).as_deref().and_then(money::parse))
}

/// Reads an amount of money that must not be missing.
pub(super) fn required_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    amount(deserializer)?.ok_or_else(|| not_a("an amount"))
}

pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    raw(deserializer).map(|value| yes_or_no(&value))
}

/// Reads a time (RFC 3339, section 5.6), with any offset from UTC.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    Ok(word(&raw(deserializer)?).as_deref().and_then(moment))
}

/// Reads a time that must not be missing.
pub(super) fn required_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    time(deserializer)?.ok_or_else(|| not_a("a time"))
}

fn moment(text: &str) -> Option<SystemTime> {
    let parse = |text| OffsetDateTime::parse(text, &Rfc3339);
    let since = parse(text).or_else(|_| parse(text.trim())).ok()? - OffsetDateTime::UNIX_EPOCH;
    // Not every system can express the first year.
    match since.is_negative() {
        true => SystemTime::UNIX_EPOCH.checked_sub(since.unsigned_abs()),
        false => SystemTime::UNIX_EPOCH.checked_add(since.unsigned_abs()),
    }
}

/// Reads any JSON. What a [`Value`] cannot represent, such as a number that is too large, becomes a string with its JSON.
pub(super) fn json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let value = raw(deserializer)?;
    let value = serde_json::from_str(&value).unwrap_or_else(|_| Value::String(value.into_owned()));
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// Reads a map of any JSON. PHP writes an empty map as an empty array.
pub(super) fn json_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    Ok(json(deserializer)?.map(|value| if is_empty(&value) { Value::Object(Map::new()) } else { value }))
}

/// Reads an object that may have another form.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = raw(deserializer)?;
    // PHP writes an empty object as an array, which a derived reader would take for the fields in their order.
    Ok(if value.starts_with('{') { serde_json::from_str(&value).unwrap_or_default() } else { T::default() })
}

/// Reads a list of scopes that may be missing.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = raw(deserializer)?;
    Ok(if value == "null" { None } else { serde_json::from_str(&value).ok() })
}

/// Reads a map with free keys. An entry with an unreadable value is left out; PHP writes an empty map as an empty array.
fn map<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl Fn(&str) -> Option<T>,
) -> Result<BTreeMap<String, T>, D::Error> {
    let value = raw(deserializer)?;
    let entries: BTreeMap<Text, &RawValue> = serde_json::from_str(&value).unwrap_or_default();
    Ok(entries.into_iter().filter_map(|(Text(name), value)| Some((name.into_owned(), read(value.get())?))).collect())
}

pub(super) fn flags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, bool>, D::Error> {
    map(deserializer, yes_or_no)
}

pub(super) fn amounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Decimal>, D::Error> {
    map(deserializer, |value| word(value).as_deref().and_then(money::parse))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_has_any_offset_and_fraction() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_546_400);
        for text in [
            "2025-11-19T10:00:00Z",
            "2025-11-19T10:00:00+00:00",
            "2025-11-19T11:00:00+01:00",
            "2025-11-19T04:30:00-05:30",
            "2025-11-19t10:00:00z",
            "2025-11-19T10:00:00.000Z",
            " 2025-11-19T10:00:00Z ",
        ] {
            assert_eq!(moment(text), Some(noon), "{text}");
        }
        assert_eq!(moment("2025-11-19T10:00:00.25Z"), Some(noon + Duration::from_millis(250)));
        assert_eq!(moment("1969-12-31T23:59:59Z"), Some(SystemTime::UNIX_EPOCH - Duration::from_secs(1)));
        for text in ["", "2025-11-19", "2025-11-19T10:00:00", "2025-02-30T10:00:00Z", "soon", "1763546400"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
