//! Reads the lists and maps of scopes that a service sends.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Index;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Scope;
use crate::json::{not_a, raw, yes_or_no};

/// The scopes that a response lists, in its order and with its duplicates.
///
/// The list keeps an entry that is not a scope apart from the others, in [`unrecognized`](Self::unrecognized).
/// [`Debug`](fmt::Debug) prints only the number of these entries.
///
/// To find out what the scopes cover, collect them into a [`ScopeSet`](crate::ScopeSet).
///
/// ```
/// use gettone::{Scope, ScopeList, ScopeSet};
///
/// let list: ScopeList = serde_json::from_str(r#"["GET:imprese.openapi.it/base", "new in 2031"]"#).unwrap();
/// assert_eq!((list.len(), list.unrecognized()), (1, &["new in 2031".to_owned()][..]));
///
/// let scope: Scope = "GET:imprese.openapi.it/base/12345670124".parse()?;
/// assert!(!list.contains(&scope) && list.iter().collect::<ScopeSet>().covers(&scope));
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(inline, with = "Vec<Scope>", description = "Scopes, as the service lists them.")
)]
pub struct ScopeList {
    scopes: Vec<Scope>,
    unrecognized: Vec<String>,
}

impl ScopeList {
    /// Iterates over the scopes, in the order of the response.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.scopes.iter()
    }

    /// Returns the scopes as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[Scope] {
        &self.scopes
    }

    /// Returns the number of scopes, duplicates included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scopes.len()
    }

    /// Returns whether there are no scopes. There may still be [`unrecognized`](Self::unrecognized) entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Returns whether the list has exactly this scope.
    #[must_use]
    pub fn contains(&self, scope: &Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Returns the entries that are not scopes. They contain whatever the service sent, which may be a secret of the
    /// request.
    #[must_use]
    pub fn unrecognized(&self) -> &[String] {
        &self.unrecognized
    }

    #[inline]
    fn push(&mut self, entry: Entry) {
        match entry.0 {
            Ok(scope) => self.scopes.push(scope),
            Err(text) => self.unrecognized.push(text),
        }
    }
}

impl fmt::Debug for ScopeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeList")
            .field("scopes", &self.scopes)
            .field("unrecognized", &Entries(self.unrecognized.len()))
            .finish()
    }
}

/// Prints the number of entries in place of their text.
pub(crate) struct Entries(pub(crate) usize);

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 entry"),
            count => write!(f, "{count} entries"),
        }
    }
}

impl Index<usize> for ScopeList {
    type Output = Scope;

    fn index(&self, index: usize) -> &Scope {
        &self.scopes[index]
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
        struct List;

        impl<'de> Visitor<'de> for List {
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

            /// Takes null for an empty list.
            fn visit_unit<E>(self) -> Result<ScopeList, E> {
                Ok(ScopeList::default())
            }
        }

        deserializer.deserialize_any(List)
    }
}

/// An entry of a list: a scope, or any other text or JSON.
struct Entry(Result<Scope, String>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Raw, because a number such as 1e999, which has no value here, would otherwise fail the whole list.
        let entry = raw(deserializer)?;
        // No scope has an escape, so most can be parsed as they stand there.
        let plain = entry.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        Ok(Self(match plain.and_then(Scope::read) {
            Some(scope) => Ok(scope),
            None => match serde_json::from_str::<String>(&entry) {
                Ok(text) => Scope::read(&text).ok_or(text),
                Err(_) => Err(entry.into_owned()),
            },
        }))
    }
}

/// A text, without a copy if possible.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Any JSON.
#[derive(Deserialize)]
#[serde(transparent)]
struct Raw<'a>(#[serde(borrow, deserialize_with = "raw")] Cow<'a, str>);

/// A map keyed by scope, in its order. Entries that are not a scope with its value are kept apart.
pub(crate) struct ScopeEntries<T> {
    pub(crate) known: Vec<(Scope, T)>,
    pub(crate) unrecognized: Vec<(String, Value)>,
}

impl<T> ScopeEntries<T> {
    pub(crate) fn empty() -> Self {
        Self { known: Vec::new(), unrecognized: Vec::new() }
    }
}

/// Reads a map from scopes to documented values, in one pass. Fails on anything else.
pub(crate) fn documented_scope_entries<'de, D, T>(deserializer: D) -> Result<Vec<(Scope, T)>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Map<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
        type Value = Vec<(Scope, T)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map keyed by scope")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some((Key(key), value)) = map.next_entry()? {
                entries.push((Scope::read(&key).ok_or_else(|| not_a("a scope"))?, value));
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Map(PhantomData))
}

/// Reads a map keyed by scope. PHP writes an empty map as an empty array.
pub(crate) fn read_scope_entries<'de, D, T>(deserializer: D) -> Result<ScopeEntries<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Map<T>(ScopeEntries<T>);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Map<T> {
        type Value = ScopeEntries<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map keyed by scope")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            while let Some((Key(key), Raw(value))) = map.next_entry()? {
                match (Scope::read(&key), serde_json::from_str(&value)) {
                    (Some(scope), Ok(entry)) => self.0.known.push((scope, entry)),
                    _ if key == "success" && yes_or_no(&value) == Some(false) => {
                        return Err(serde::de::Error::custom("the service says no"));
                    }
                    _ => {
                        // A number that is too large has no value.
                        let value = serde_json::from_str(&value).unwrap_or_else(|_| value.into());
                        self.0.unrecognized.push((key.into_owned(), value));
                    }
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

    deserializer.deserialize_any(Map(ScopeEntries::empty()))
}
