//! The number of calls for each scope, and how many of them were billed.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::generated::types::CountersAnswer;
use crate::http::body::{Received, Success};
use crate::json::whole_number;
use crate::scope::{Entries, Scope, ScopeEntries, documented_scope_entries, read_scope_entries};

/// The number of calls in a period for each scope, in the service's order.
///
/// Serde reads and writes a map by scope, as the service does. It writes each scope once, with the counter that [`get`](Self::get) returns.
/// It leaves out the [unrecognized](Self::unrecognized) entries, because they contain whatever the service sent, and a web handler would
/// publish it. [`Debug`](fmt::Debug) prints only the number of these.
///
/// ```
/// use gettone::openapi::v1::{CounterLimit, Counters};
///
/// let json = r#"{"GET:imprese.openapi.it/base":{"counter":7,"paid":2,"limit":5}}"#;
/// let counters: Counters = serde_json::from_str(json)?;
/// let counter = counters.get(&"GET:imprese.openapi.it/base".parse()?).unwrap();
/// assert_eq!((counter.requests(), counter.paid(), counter.limit()), (7, 2, CounterLimit::Limited(5)));
/// assert_eq!(serde_json::to_string(&counters)?, json);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(inline, with = "std::collections::BTreeMap<String, Counter>", transform = crate::json::first_paragraph)
)]
pub struct Counters {
    known: Vec<(Scope, Counter)>,
    unrecognized: Vec<(String, Value)>,
}

impl Counters {
    /// Returns the counter of a scope, or `None` if the response has none for it.
    #[must_use]
    pub fn get(&self, scope: &Scope) -> Option<Counter> {
        self.known.iter().find(|(known, _)| known == scope).map(|(_, counter)| *counter)
    }

    /// Returns an iterator over the scopes and their counters.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Scope, Counter)> {
        self.into_iter()
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Returns the entries that are not a scope with its counter, as the service sent them: perhaps with a secret of the request. An entry
    /// that a [`Value`] cannot represent, such as the number `1e999`, is its text.
    #[must_use]
    pub fn unrecognized(&self) -> &[(String, Value)] {
        &self.unrecognized
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters")
            .field("known", &self.known)
            .field("unrecognized", &Entries(self.unrecognized.len()))
            .finish()
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seen = HashSet::new();
        serializer.collect_map(self.iter().filter(|(scope, _)| seen.insert(*scope)))
    }
}

type Pair<'a> = fn(&'a (Scope, Counter)) -> (&'a Scope, Counter);

impl<'a> IntoIterator for &'a Counters {
    type Item = (&'a Scope, Counter);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (Scope, Counter)>, Pair<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.known.iter().map(|(scope, counter)| (scope, *counter))
    }
}

impl IntoIterator for Counters {
    type Item = (Scope, Counter);
    type IntoIter = std::vec::IntoIter<(Scope, Counter)>;

    fn into_iter(self) -> Self::IntoIter {
        self.known.into_iter()
    }
}

impl<'de> Deserialize<'de> for Counters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ScopeEntries { known, unrecognized } = read_scope_entries(deserializer)?;
        Ok(Self { known, unrecognized })
    }
}

/// The counters of a response that is as documented, read in one pass. Reading any other fails: then it is read [again](in_any_form).
#[derive(Debug, Clone)]
pub(crate) struct Documented(pub(super) Counters);

impl<'de> Deserialize<'de> for Documented {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let known = documented_scope_entries(deserializer)?;
        Ok(Self(Counters { known, unrecognized: Vec::new() }))
    }
}

/// Reads a response in any form.
pub(super) fn in_any_form(body: &[u8]) -> serde_json::Result<CountersAnswer> {
    #[derive(Deserialize)]
    struct AnyForm {
        data: Counters,
        #[serde(rename = "success")]
        _success: Option<Success>,
    }

    let AnyForm { data, .. } = serde_json::from_slice(body)?;
    Ok(CountersAnswer { data: Received(Documented(data)), error: None, message: None, success: None })
}

/// The number of calls for one scope in a period.
///
/// Serde reads and writes the service's form: `{"counter": 7, "paid": 2, "limit": 5}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline, transform = crate::json::first_paragraph))]
pub struct Counter {
    #[serde(rename = "counter", deserialize_with = "whole_number")]
    requests: u64,
    #[serde(deserialize_with = "whole_number")]
    paid: u64,
    #[serde(default)]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    limit: CounterLimit,
}

impl Counter {
    /// Returns the number of requests in the period.
    #[must_use]
    pub fn requests(self) -> u64 {
        self.requests
    }

    /// Returns how many of them the vendor bills: those over the limit. The service does not return their price.
    #[must_use]
    pub fn paid(self) -> u64 {
        self.paid
    }

    /// Returns how many requests of the period are free of charge.
    #[must_use]
    pub fn limit(self) -> CounterLimit {
        self.limit
    }
}

/// The number of requests in a period that are free of charge.
///
/// Serde reads and writes the service's form: a number, `false` for [`Unlimited`](Self::Unlimited), null for
/// [`Unknown`](Self::Unknown).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CounterLimit {
    /// This many requests are free. The service sends a number.
    Limited(u64),
    /// All requests are free. The service sends `false`.
    Unlimited,
    /// The service sends null, whose meaning the vendor does not document, or nothing, or something undocumented.
    #[default]
    Unknown,
}

impl fmt::Display for CounterLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(requests) => requests.fmt(f),
            Self::Unlimited => f.pad("unlimited"),
            Self::Unknown => f.pad("unknown"),
        }
    }
}

impl Serialize for CounterLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Limited(requests) => serializer.serialize_u64(*requests),
            Self::Unlimited => serializer.serialize_bool(false),
            Self::Unknown => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for CounterLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_u64().map_or(Self::Unknown, Self::Limited),
            Value::Bool(false) => Self::Unlimited,
            // The vendor sends other values as text.
            Value::String(text) if text == "false" => Self::Unlimited,
            Value::String(text) => text.parse().map_or(Self::Unknown, Self::Limited),
            _ => Self::Unknown,
        })
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for CounterLimit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CounterLimit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [{ "type": "integer", "minimum": 0 }, { "type": "boolean", "enum": [false] }, { "type": "null" }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_as_documented_is_the_same_in_any_form() {
        let mut count = 0;
        for key in ["GET:h.it/a", "get:h.it/b", "*:h.it/*", "success", "x", "", r"\u0041", r"\ud800", r"GET:h.it\/b"] {
            for value in ["null", "false", "true", "7", "-7", "1.5", "1e3", "1e999", r#""7""#, r#""false""#, "[]", "{}"]
            {
                for entry in [
                    value.to_owned(),
                    format!(r#"{{"counter":{value},"paid":2,"limit":3}}"#),
                    format!(r#"{{"counter":1,"paid":{value}}}"#),
                    format!(r#"{{"counter":1,"paid":2,"limit":{value}}}"#),
                    format!(r#"{{"counter":1,"paid":2,"limit":3,"new":{value}}}"#),
                ] {
                    let json = format!(r#"{{"GET:h.it/a":{{"counter":7,"paid":0}},"{key}":{entry}}}"#);
                    if let Ok(Documented(read)) = serde_json::from_str(&json) {
                        assert_eq!(read, serde_json::from_str::<Counters>(&json).unwrap(), "{json}");
                        count += 1;
                    }
                }
            }
        }
        assert!(count > 80, "{count}");
    }
}
