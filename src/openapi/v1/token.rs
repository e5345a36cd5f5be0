//! A token of the account, a list of them, and a change to one.

use std::fmt;
use std::ops::Index;
use std::time::SystemTime;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::http::body::{Success, sendable, wiped};
use crate::json::{UnixSeconds, raw};
use crate::openapi::ttl::Ttl;
use crate::scope::{Entries, ScopeList, ScopeSet};
use crate::secret::Secret;
use crate::token::AccessToken;

/// A token of the account, with its scopes and its expiration time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct Token {
    scopes: ScopeList,
    #[serde(rename = "expire", deserialize_with = "moment")]
    #[cfg_attr(feature = "schemars", schemars(with = "i64"))]
    expires_at: SystemTime,
    #[serde(deserialize_with = "sendable")]
    token: AccessToken,
}

impl Token {
    /// Returns what the token is good for. The service expands the requested scopes, and may grant fewer.
    #[must_use]
    pub fn scopes(&self) -> &ScopeList {
        &self.scopes
    }

    /// Returns when the token expires, by the service's clock, in whole seconds: at most the end of the year 9999.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Returns the token itself, for the header `Authorization: Bearer` of requests to the other services of Openapi.it.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    UnixSeconds::deserialize(deserializer).map(UnixSeconds::moment)
}

/// The tokens of a response, in the service's order.
///
/// Entries that the client cannot read are in [`unrecognized`](Self::unrecognized). [`Debug`](fmt::Debug) prints only the number
/// of these.
///
/// ```no_run
/// # async fn run(oauth: gettone::openapi::v1::Oauth) -> Result<(), gettone::Error> {
/// let tokens = oauth.list_tokens().await?;
/// println!("{} tokens", tokens.len());
/// for token in &tokens {
///     println!("{} scopes until {:?}", token.scopes().len(), token.expires_at());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenList {
    tokens: Vec<Token>,
    unrecognized: Vec<Secret>,
}

impl TokenList {
    /// Returns an iterator over the tokens.
    pub fn iter(&self) -> std::slice::Iter<'_, Token> {
        self.tokens.iter()
    }

    /// Returns the number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Returns the tokens as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[Token] {
        &self.tokens
    }

    /// Returns the entries that the client cannot read, as JSON: for example one without an expiration time, or with a token that a header
    /// cannot contain. Each may contain a token.
    #[must_use]
    pub fn unrecognized(&self) -> &[Secret] {
        &self.unrecognized
    }
}

impl fmt::Debug for TokenList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenList")
            .field("tokens", &self.tokens)
            .field("unrecognized", &Entries(self.unrecognized.len()))
            .finish()
    }
}

impl Index<usize> for TokenList {
    type Output = Token;

    fn index(&self, index: usize) -> &Token {
        &self.tokens[index]
    }
}

impl IntoIterator for TokenList {
    type Item = Token;
    type IntoIter = std::vec::IntoIter<Token>;

    fn into_iter(self) -> Self::IntoIter {
        self.tokens.into_iter()
    }
}

impl<'a> IntoIterator for &'a TokenList {
    type Item = &'a Token;
    type IntoIter = std::slice::Iter<'a, Token>;

    fn into_iter(self) -> Self::IntoIter {
        self.tokens.iter()
    }
}

impl FromIterator<ListedToken> for TokenList {
    fn from_iter<I: IntoIterator<Item = ListedToken>>(entries: I) -> Self {
        let mut list = Self::default();
        for ListedToken(entry) in entries {
            match entry {
                Ok(token) => list.tokens.push(token),
                Err(text) => list.unrecognized.push(text),
            }
        }
        list
    }
}

/// An entry of a list: a token, or the JSON of an entry that is not one.
#[derive(Debug, Clone)]
pub(crate) struct ListedToken(Result<Token, Secret>);

impl<'de> Deserialize<'de> for ListedToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |json: &str| serde_json::from_str(json).map_err(|_| Secret::new(json));
        Ok(Self(wiped(raw(deserializer)?, read)))
    }
}

/// A change to a token, for [`Oauth::update_token`](super::Oauth::update_token): other scopes, another lifetime, or both.
///
/// ```
/// use gettone::ScopeSet;
/// use gettone::openapi::{Ttl, v1::TokenUpdate};
///
/// let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"])?;
/// let update = TokenUpdate::new().scopes(&scopes).ttl(Ttl::days(1)?);
/// # let _ = update;
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct TokenUpdate {
    pub(super) scopes: Option<ScopeSet>,
    pub(super) ttl: Option<Ttl>,
}

impl TokenUpdate {
    /// Returns an update that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the scopes of the token.
    pub fn scopes(mut self, scopes: &ScopeSet) -> Self {
        self.scopes = Some(scopes.clone());
        self
    }

    /// Sets the lifetime of the token, counted from the change.
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = Some(ttl);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_none() && self.ttl.is_none()
    }
}

/// The `data` of `GET /scopes`: the list, or an object with the list in its own `data`.
#[derive(Debug, Clone)]
pub(crate) struct ScopesData(ScopeList);

impl<'de> Deserialize<'de> for ScopesData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = ScopeList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of scopes, or an object with one")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<ScopeList, A::Error> {
                ScopeList::deserialize(SeqAccessDeserializer::new(entries))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<ScopeList, A::Error> {
                Nested::deserialize(MapAccessDeserializer::new(fields)).map(|nested| nested.data)
            }

            fn visit_unit<E>(self) -> Result<ScopeList, E> {
                Ok(ScopeList::default())
            }
        }

        #[derive(Deserialize)]
        struct Nested {
            data: ScopeList,
            #[serde(rename = "success")]
            _success: Option<Success>,
        }

        deserializer.deserialize_any(Shape).map(Self)
    }
}

impl From<ScopesData> for ScopeList {
    fn from(data: ScopesData) -> Self {
        data.0
    }
}
