//! Finds what a response holds. The vendor's schemas put some objects at the root and others in `data`, and users see them wrapped
//! differently.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::page::Page;
use super::read::word;
use super::stats::Stats;
use crate::json::{Text, from_raw, yes_or_no};
use crate::secret::Secret;

/// An object of a response.
pub(crate) trait Object: DeserializeOwned {
    /// The field that shows that an object is one of these.
    const KEY: &'static str;
}

/// An entry of a list.
pub(crate) trait Entry: Sized {
    fn read(value: &RawValue) -> Option<Self>;
}

impl<T: Object> Entry for T {
    fn read(value: &RawValue) -> Option<Self> {
        // A derived reader would take an array for the fields in their order.
        value.get().starts_with('{').then(|| from_raw(value).ok())?
    }
}

/// A response with one object: at the root if its key is there, otherwise in `data`, perhaps as the only entry of an array.
#[derive(Debug, Clone)]
pub(crate) struct One<T>(pub(crate) T);

impl<'de, T: Object> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = wiped(deserializer)?;
        let object = |value: &RawValue| from_raw::<T>(value).map_err(de::Error::custom);
        let root: &RawValue = serde_json::from_str(&text).map_err(de::Error::custom)?;
        let found = match Root::of::<D::Error>(root)? {
            Root::Fields(fields) => {
                fields.check()?;
                match fields.get("data").filter(|_| fields.get(T::KEY).is_none()) {
                    Some(data) if data.get().starts_with('[') => only(data),
                    Some(data) => Some(data),
                    None => fields.get(T::KEY).map(|_| root),
                }
            }
            Root::Array => only(root),
            Root::Null => None,
        };
        match found {
            Some(value) if value.get().starts_with('{') => {
                Fields::of::<D::Error>(value)?.check()?;
                object(value).map(Self)
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

/// A response with a list: `data`, where one object is a list of one, and null or nothing is an empty list; or an array at the root.
#[derive(Debug, Clone)]
pub(crate) struct Many<T>(pub(crate) Page<T>);

impl<'de, T: Entry> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = wiped(deserializer)?;
        let root: &RawValue = serde_json::from_str(&text).map_err(de::Error::custom)?;
        let list = match Root::of::<D::Error>(root)? {
            Root::Fields(fields) => {
                fields.check()?;
                fields.data()?
            }
            Root::Array => Some(root),
            Root::Null => None,
        };
        let Some(list) = list else { return Ok(Self(Page::default())) };
        let entries: Vec<&RawValue> = match list.get().as_bytes().first() {
            Some(b'[') => from_raw(list).map_err(de::Error::custom)?,
            Some(b'{') => {
                Fields::of::<D::Error>(list)?.check()?;
                vec![list]
            }
            _ => return Err(de::Error::custom("a response without a list")),
        };
        let mut page = Page::default();
        for value in entries {
            match T::read(value) {
                Some(entry) => page.entries.push(entry),
                None => page.unrecognized.push(Secret::new(value.get())),
            }
        }
        Ok(Self(page))
    }
}

/// An address, as the service writes it.
#[derive(Debug, Clone)]
pub(crate) struct Address(pub(crate) String);

impl Entry for Address {
    fn read(value: &RawValue) -> Option<Self> {
        word(value).map(Self)
    }
}

/// A response with figures for each domain, in its order.
#[derive(Debug, Clone)]
pub(crate) struct ByDomain(pub(crate) Vec<(String, Stats)>);

impl<'de> Deserialize<'de> for ByDomain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root: Box<RawValue> = Box::deserialize(deserializer)?;
        let Root::Fields(fields) = Root::of::<D::Error>(&root)? else {
            return Err(de::Error::custom("a response without a map"));
        };
        fields.check()?;
        let Some(map) = fields.data()? else { return Ok(Self(Vec::new())) };
        if matches!(map.get(), "[]") {
            return Ok(Self(Vec::new()));
        }
        let map = Fields::of::<D::Error>(map)?;
        map.check()?;
        let figures = |(name, value): (Text, &RawValue)| Some((name.0, Stats::read(value)?));
        Ok(Self(map.0.into_iter().filter_map(figures).collect()))
    }
}

/// Reads a value as text that is wiped from memory.
fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    Ok(Zeroizing::new(String::from(Box::<str>::from(Box::<RawValue>::deserialize(deserializer)?))))
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
struct Fields<'a>(Vec<(Text, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn of<E: de::Error>(value: &'a RawValue) -> Result<Self, E> {
        from_raw(value).map_err(E::custom)
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known.0 == name).map(|(_, value)| *value)
    }

    /// Returns an error if the service reports a failure, so that the client searches the response for it.
    fn check<E: de::Error>(&self) -> Result<(), E> {
        let mut successes = self.0.iter().filter(|(name, _)| name.0 == "success");
        match successes.any(|(_, value)| yes_or_no(value) == Some(false)) {
            true => Err(E::custom("the service reports a failure")),
            false => Ok(()),
        }
    }

    /// Returns `data`. Without it, a message alone is that of something in front of the service.
    fn data<E: de::Error>(&self) -> Result<Option<&'a RawValue>, E> {
        match self.get("data") {
            Some(data) => Ok(Some(data).filter(|data| data.get() != "null")),
            None if self.get("success").is_none() && !self.0.is_empty() => Err(E::custom("missing field `data`")),
            None => Ok(None),
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
