//! What `build.rs` made of the specs. Nobody outside sees it.

use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::value::RawValue;

use crate::answer::yes_or_no;
use crate::{RefreshToken, Secret};

#[allow(clippy::all, clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, unused_qualifications)]
pub(crate) mod keliweb_fatture {
    include!(concat!(env!("OUT_DIR"), "/keliweb_fatture.rs"));
}

#[allow(clippy::all, clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, unused_qualifications)]
pub(crate) mod openapi_oauth {
    include!(concat!(env!("OUT_DIR"), "/openapi_oauth.rs"));
}

/// A secret in a request. The generator's types want `Serialize`; a public [`Secret`] must not have it.
#[derive(Debug, Clone)]
pub(crate) struct Sent<T>(pub T);

impl Serialize for Sent<Secret> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl Serialize for Sent<RefreshToken> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// A type that is only ever read, and has no `Serialize` because a secret is in it.
#[derive(Debug, Clone)]
pub(crate) struct Received<T>(pub T);

impl<T> Serialize for Received<T> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("an answer is only read"))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Received<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// The `success` of an answer, which cannot be read if it is a no: then what it says is asked.
#[derive(Debug, Clone)]
pub(crate) struct Success;

impl<'de> Deserialize<'de> for Success {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match yes_or_no(&Box::<RawValue>::deserialize(deserializer)?) {
            Some(false) => Err(de::Error::custom("the service says no")),
            _ => Ok(Self),
        }
    }
}
