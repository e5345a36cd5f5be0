//! The scopes that a service lists.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Scope;
use crate::answer::yes_or_no;

/// The scopes that an answer lists, in its order.
///
/// An entry that is not a scope does not spoil the others: it is kept as it came, in [`unrecognized`](Self::unrecognized).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline, with = "Vec<Scope>"))]
pub struct ScopeList {
    scopes: Vec<Scope>,
    unrecognized: Vec<String>,
}

impl ScopeList {
    /// The entries that are not scopes.
    #[must_use]
    pub fn unrecognized(&self) -> &[String] {
        &self.unrecognized
    }

    fn push(&mut self, entry: Entry) {
        match entry.0 {
            Ok(scope) => self.scopes.push(scope),
            Err(text) => self.unrecognized.push(text),
        }
    }
}

impl Deref for ScopeList {
    type Target = [Scope];

    fn deref(&self) -> &[Scope] {
        &self.scopes
    }
}

impl IntoIterator for ScopeList {
    type Item = Scope;
    type IntoIter = std::vec::IntoIter<Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.scopes.into_iter()
    }
}

impl<'a> IntoIterator for &'a ScopeList {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.scopes.iter()
    }
}

impl FromIterator<Scope> for ScopeList {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self { scopes: scopes.into_iter().collect(), unrecognized: Vec::new() }
    }
}

impl<'de> Deserialize<'de> for ScopeList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = ScopeList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of scopes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<ScopeList, A::Error> {
                let mut list = ScopeList::default();
                while let Some(entry) = entries.next_element()? {
                    list.push(entry);
                }
                Ok(list)
            }

            /// A null where the list should be spoils no more than the list.
            fn visit_unit<E>(self) -> Result<ScopeList, E> {
                Ok(ScopeList::default())
            }
        }

        deserializer.deserialize_any(Entries)
    }
}

/// An entry of a list: a scope, or what stands there instead.
struct Entry(Result<Scope, String>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => text.parse().map_err(|_| text),
            other => Err(other.to_string()),
        }))
    }
}

/// A map keyed by scope, in its order; what is not understood of it apart. PHP writes an empty map as an empty array.
pub(crate) struct ScopeEntries<T> {
    pub(crate) known: Vec<(Scope, T)>,
    pub(crate) unrecognized: Vec<(String, Value)>,
}

pub(crate) fn read_scope_entries<'de, D, T>(deserializer: D) -> Result<ScopeEntries<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Entries<T>(ScopeEntries<T>);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Entries<T> {
        type Value = ScopeEntries<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map keyed by scope")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                let value = map.next_value::<Value>()?;
                if key == "success" && yes_or_no(&value) == Some(false) {
                    return Err(serde::de::Error::custom("the service says no"));
                }
                match (key.parse(), T::deserialize(&value)) {
                    (Ok(scope), Ok(entry)) => self.0.known.push((scope, entry)),
                    _ => self.0.unrecognized.push((key, value)),
                }
            }
            Ok(self.0)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            match seq.next_element::<IgnoredAny>()? {
                None => Ok(self.0),
                Some(_) => Err(serde::de::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
            }
        }
    }

    deserializer.deserialize_any(Entries(ScopeEntries { known: Vec::new(), unrecognized: Vec::new() }))
}
