//! Finds what a response holds. The vendor's schemas put some objects at the root and others in `data`, and users see them wrapped
//! differently.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::page::Page;
use super::read::{self, word};
use super::stats::Stats;
use crate::http::body::Success;
use crate::json::{Text, from_raw, yes_or_no};
use crate::secret::Secret;

/// An object of a response.
pub(crate) trait Object: DeserializeOwned {
    /// The field that shows that an object is one of these.
    const KEY: &'static str;

    /// Reads an object as [`Entry::documented`] does.
    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

/// An entry of a list.
pub(crate) trait Entry: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// Reads an entry that is as documented, faster than [`read`](Self::read) does. May fail for any other.
    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(deserializer)
    }
}

impl<T: Object> Entry for T {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer)
    }

    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Documented<T>(T);

        impl<'de, T: Object> Deserialize<'de> for Documented<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <T as Object>::documented(deserializer).map(Self)
            }
        }

        object(deserializer).map(|Documented(entry)| entry)
    }
}

/// Reads an object. The derived reader alone would take an array for the fields in their order.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Fields<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    deserializer.deserialize_map(Fields(PhantomData))
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Whole<T: Entry>(#[serde(deserialize_with = "T::read", bound(deserialize = ""))] T);

#[derive(Deserialize)]
#[serde(transparent)]
struct DocumentedEntry<T: Entry>(#[serde(deserialize_with = "T::documented", bound(deserialize = ""))] T);

/// A response with a list as documented, in which all entries can be read.
#[derive(Deserialize)]
#[serde(bound = "")]
struct Documented<T: Entry> {
    data: Vec<DocumentedEntry<T>>,
    #[serde(rename = "success")]
    _success: Option<Success>,
}

/// A response with one object: at the root if its key has a value there, otherwise in `data`, perhaps as the only entry of an array.
#[derive(Debug, Clone)]
pub(crate) struct One<T>(pub(crate) T);

impl<'de, T: Object> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = <&RawValue>::deserialize(deserializer)?;
        let found = match Root::of::<D::Error>(root)? {
            Root::Fields(fields) => {
                fields.check()?;
                match (fields.value(T::KEY), fields.value("data")) {
                    (Some(_), _) => Some(root),
                    (None, Some(data)) if data.get().starts_with('[') => only(data),
                    (None, data) => data,
                }
            }
            Root::Array => only(root),
            Root::Null => None,
        };
        match found {
            Some(value) if value.get().starts_with('{') => {
                Fields::of::<D::Error>(value)?.check()?;
                from_raw(value).map(Self).map_err(de::Error::custom)
            }
            _ => Err(de::Error::missing_field(T::KEY)),
        }
    }
}

/// Returns the entry of an array of one.
fn only(array: &RawValue) -> Option<&RawValue> {
    let entries: Vec<&RawValue> = from_raw(array).ok()?;
    match entries.as_slice() {
        [entry] => Some(entry),
        _ => None,
    }
}

/// A response with a list.
#[derive(Debug, Clone)]
pub(crate) struct Many<T>(pub(crate) Page<T>);

/// Reads a list as documented, in one pass. Fails if any entry cannot be read.
impl<'de, T: Entry> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Documented::<T> { data, .. } = object(deserializer)?;
        let entries = data.into_iter().map(|DocumentedEntry(entry)| entry).collect();
        Ok(Self(Page { entries, ..Page::default() }))
    }
}

impl<T: Entry> Many<T> {
    /// Reads a list in any form: `data`, where one object is a list of one, and null or nothing is an empty list; or an array at the root.
    /// Keeps the entries that cannot be read.
    pub(super) fn in_any_form(body: &[u8]) -> serde_json::Result<Self> {
        let root = serde_json::from_slice(body)?;
        let list = match Root::of::<serde_json::Error>(root)? {
            Root::Fields(fields) => {
                fields.check()?;
                fields.data()?
            }
            Root::Array => Some(root),
            Root::Null => None,
        };
        let Some(list) = list else { return Ok(Self(Page::default())) };
        let entries: Vec<&RawValue> = match list.get().as_bytes().first() {
            Some(b'[') => from_raw(list)?,
            Some(b'{') => {
                Fields::of::<serde_json::Error>(list)?.check::<serde_json::Error>()?;
                vec![list]
            }
            _ => return Err(de::Error::custom("a response without a list")),
        };
        let mut page = Page::default();
        for value in entries {
            match from_raw(value) {
                Ok(Whole(entry)) => page.entries.push(entry),
                Err(_) => {
                    page.starts_unrecognized |= page.entries.is_empty();
                    page.unrecognized.push(Secret::new(value.get()));
                }
            }
        }
        Ok(Self(page))
    }
}

/// An address, as the service writes it.
#[derive(Debug, Clone)]
pub(crate) struct Address(pub(crate) String);

impl Entry for Address {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read::required_text(deserializer).map(Self)
    }
}

/// A response with figures for each domain, in its order.
#[derive(Debug, Clone)]
pub(crate) struct ByDomain(pub(crate) Vec<(String, Stats)>);

impl<'de> Deserialize<'de> for ByDomain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = <&RawValue>::deserialize(deserializer)?;
        let map = match Root::of::<D::Error>(root)? {
            Root::Fields(fields) => {
                fields.check()?;
                fields.data()?
            }
            Root::Array => Some(root),
            Root::Null => None,
        };
        let Some(map) = map.filter(|map| !is_empty_array(map)) else { return Ok(Self(Vec::new())) };
        let map = Fields::of::<D::Error>(map)?;
        map.check()?;
        let figures = |(Text(name), value): (Text<'_>, &RawValue)| match value.get().as_bytes().first() {
            Some(b'{') => Some((name.into_owned(), from_raw(value).unwrap_or_default())),
            // A domain without figures.
            Some(b'[' | b'n') => Some((name.into_owned(), Stats::default())),
            _ => None,
        };
        Ok(Self(map.0.into_iter().filter_map(figures).collect()))
    }
}

/// Returns whether a value is `[]`, which is also how PHP writes an empty map.
fn is_empty_array(value: &RawValue) -> bool {
    from_raw(value).is_ok_and(|entries: Vec<&RawValue>| entries.is_empty())
}

/// The response to a deletion: a message, and `data` without a type.
#[derive(Debug, Clone)]
pub(crate) struct Deleted;

impl<'de> Deserialize<'de> for Deleted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = <&RawValue>::deserialize(deserializer)?;
        if let Ok(fields) = Fields::of::<D::Error>(root) {
            fields.check()?;
            let says_so = || {
                fields
                    .value("message")
                    .and_then(|text| word(text.get()))
                    .is_some_and(|text| text.eq_ignore_ascii_case("deleted"))
            };
            // Another message alone is that of something in front of the service.
            if !says_so() {
                fields.data()?;
            }
        }
        Ok(Self)
    }
}

enum Root<'a> {
    Fields(Fields<'a>),
    Array,
    Null,
}

impl<'a> Root<'a> {
    fn of<E: de::Error>(value: &'a RawValue) -> Result<Self, E> {
        match value.get().as_bytes().first() {
            Some(b'{') => Fields::of(value).map(Self::Fields),
            Some(b'[') => Ok(Self::Array),
            Some(b'n') => Ok(Self::Null),
            _ => Err(E::custom("neither an object nor an array")),
        }
    }
}

/// The fields of an object, in their order and with their duplicates.
struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn of<E: de::Error>(value: &'a RawValue) -> Result<Self, E> {
        from_raw(value).map_err(E::custom)
    }

    /// Returns the value of a field. `None` also if it is null.
    fn value(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, value)| known.0 == name && value.get() != "null").map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known.0 == name)
    }

    /// Returns an error if the service reports a failure, so that the client searches the response for it.
    fn check<E: de::Error>(&self) -> Result<(), E> {
        let mut successes = self.0.iter().filter(|(name, _)| name.0 == "success");
        match successes.any(|(_, value)| yes_or_no(value.get()) == Some(false)) {
            true => Err(E::custom("the service reports a failure")),
            false => Ok(()),
        }
    }

    /// Returns `data`. Without it, a message alone is that of something in front of the service.
    fn data<E: de::Error>(&self) -> Result<Option<&'a RawValue>, E> {
        let is_blank = |value: &RawValue| matches!(value.get(), "null" | "\"\"" | "[]" | "{}" | "0" | "false");
        match self.value("data") {
            Some(data) => Ok(Some(data)),
            None if self.has("data") || self.has("success") => Ok(None),
            None if self.0.iter().all(|(_, value)| is_blank(value)) => Ok(None),
            None => Err(E::custom("missing field `data`")),
        }
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<'de>(PhantomData<&'de ()>);

        impl<'de> Visitor<'de> for Pairs<'de> {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Pairs(PhantomData))
    }
}
