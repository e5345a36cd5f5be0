//! Types that replace generated ones in request and response bodies, mostly to keep secrets from being printed.

use std::borrow::Cow;

use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use zeroize::Zeroizing;

use crate::json::{raw, yes_or_no};
use crate::secret::Secret;
use crate::token::{AccessToken, RefreshToken, check_sendable, is_usable_refresh_token};

/// A secret in a request. The generated types need `Serialize`, which a public [`Secret`] must not implement.
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

/// A value of a response. The generated types need `Serialize`, but this one is never written: many values hold a secret.
#[derive(Debug, Clone)]
pub(crate) struct Received<T>(pub T);

impl<T> Serialize for Received<T> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("a response is never serialized"))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Received<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// The `success` of a response. Reading one that is false fails, so that the client searches the response for the failure.
#[derive(Debug, Clone)]
pub(crate) struct Success;

impl<'de> Deserialize<'de> for Success {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match yes_or_no(&raw(deserializer)?) {
            Some(false) => Err(de::Error::custom("the service reports a failure")),
            _ => Ok(Self),
        }
    }
}

/// Reads the access token of a response. Rejects one that cannot be sent.
pub(crate) fn sendable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccessToken, D::Error> {
    let token = AccessToken::deserialize(deserializer)?;
    check_sendable(token.expose()).map_err(de::Error::custom)?;
    Ok(token)
}

/// Reads the refresh token of a response. One that cannot be used counts as absent, so that the access token beside it is kept.
pub(crate) fn usable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RefreshToken>, D::Error> {
    let token = wiped(raw(deserializer)?, |json| serde_json::from_str::<RefreshToken>(json).ok());
    Ok(token.filter(|token| is_usable_refresh_token(token.expose())))
}

/// Reads JSON with a secret, and wipes it if it is a copy: a reader, unlike memory, makes one.
pub(crate) fn wiped<T>(json: Cow<'_, str>, read: impl FnOnce(&str) -> T) -> T {
    match json {
        Cow::Borrowed(json) => read(json),
        Cow::Owned(json) => read(&Zeroizing::new(json)),
    }
}
