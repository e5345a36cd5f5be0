//! What was called, and what of it was paid.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::json::whole_number;
use crate::scope::{Entries, Scope, ScopeEntries, read_scope_entries};

/// What was called in a period, scope by scope, in the service's order.
///
/// With serde it is a map keyed by scope, as the service sends it:
/// `{"GET:imprese.openapi.it/base": {"counter": 7, "paid": 2, "limit": 5}}`. Serializing writes each scope once, with the counter
/// that [`get`](Self::get) returns. It leaves the [unrecognized](Self::unrecognized) entries out: they hold whatever the service
/// sent, and a web handler would publish it. [`Debug`](fmt::Debug) prints only how many of them there are.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(inline, with = "std::collections::BTreeMap<String, Counter>")
)]
pub struct Counters {
    known: Vec<(Scope, Counter)>,
    unrecognized: Vec<(String, Value)>,
}

impl Counters {
    /// The counter of a scope; `None` if it was not called.
    #[must_use]
    pub fn get(&self, scope: &Scope) -> Option<Counter> {
        self.known.iter().find(|(known, _)| known == scope).map(|(_, counter)| *counter)
    }

    /// The scopes and their counters.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Scope, Counter)> {
        self.into_iter()
    }

    /// How many scopes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Returns the entries that are not a scope with its counter, as they came: one does not spoil the others. One that a [`Value`]
    /// cannot hold, such as the number `1e999`, is there as its text. They hold whatever the service sent, which may be a secret of
    /// the request.
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

/// What was called of one scope.
///
/// With serde it has the service's own form: `{"counter": 7, "paid": 2, "limit": 5}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline))]
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
    /// The number of requests in the period.
    #[must_use]
    pub fn requests(self) -> u64 {
        self.requests
    }

    /// How many of them were billed: those over the limit. What one costs the service does not say.
    #[must_use]
    pub fn paid(self) -> u64 {
        self.paid
    }

    /// How many requests of the period are free of charge.
    #[must_use]
    pub fn limit(self) -> CounterLimit {
        self.limit
    }
}

/// How many requests of a period are free of charge.
///
/// With serde it has the service's own form: a number, `false` for [`Unlimited`](Self::Unlimited), null for
/// [`Unknown`](Self::Unknown).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CounterLimit {
    /// So many; sent as a number.
    Limited(u64),
    /// All of them; sent as `false`.
    Unlimited,
    /// Sent as null, whose meaning the vendor does not document, or not at all, or as something that is not documented.
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
            // As other values of the vendor's are sent.
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
