//! A token of the account, a request for one, and a change to one.

use std::hash::Hash;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer};

use super::entries::Identified;
use super::envelope::Object;
use super::limits::TokenLimits;
use super::operations::is_sendable;
use super::read::{self, documented};
use super::stats::Stats;
use crate::error::Error;
use crate::http::body::{sendable, usable};
use crate::openapi::ttl::Ttl;
use crate::scope::{ScopeList, ScopePattern, ScopeSet};
use crate::token::{AccessToken, RefreshToken, is_usable_refresh_token};

/// A token of the account.
///
/// The vendor's schema requires none of its fields, and users report responses with only the token, its name, its creation and its
/// expiration time. So everything but the token and its expiration time may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct Token {
    #[serde(deserialize_with = "sendable")]
    token: AccessToken,
    #[serde(default, deserialize_with = "read::text")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    name: Option<String>,
    #[serde(default, deserialize_with = "read::time")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    created_at: Option<SystemTime>,
    #[serde(rename = "expireAt", deserialize_with = "read::required_time")]
    #[cfg_attr(feature = "schemars", schemars(with = "String"))]
    expires_at: SystemTime,
    #[serde(default, deserialize_with = "read::time")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    updated_at: Option<SystemTime>,
    #[serde(default, deserialize_with = "read::optional")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    scopes: Option<ScopeList>,
    #[serde(default, deserialize_with = "refreshing")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    refresh_token: Option<RefreshToken>,
    #[serde(default, deserialize_with = "read::lenient")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<TokenLimits>"))]
    limits: TokenLimits,
    #[serde(default, deserialize_with = "read::lenient")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<Stats>"))]
    stats: Stats,
}

impl Token {
    /// Returns the token itself, for the header `Authorization: Bearer` of requests to the other services of Openapi.it.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// Returns the token's label.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns when the token was created.
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_at
    }

    /// Returns when the token expires, by the service's clock.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Returns when the token was changed last.
    #[must_use]
    pub fn updated_at(&self) -> Option<SystemTime> {
        self.updated_at
    }

    /// Returns what the token is good for. `None` if the service does not say.
    #[must_use]
    pub fn scopes(&self) -> Option<&ScopeList> {
        self.scopes.as_ref()
    }

    /// Returns the refresh token, which [`refresh_token`](super::Oauth::refresh_token) and [`RefreshClient`](super::RefreshClient) exchange.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// Returns the limits of the token.
    pub fn limits(&self) -> &TokenLimits {
        &self.limits
    }

    /// Returns how much the token was used.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns the patterns that the token was granted. `None` if the service does not say.
    pub(super) fn granted(&self) -> Option<ScopeSet> {
        let scopes = self.scopes.as_ref()?;
        let patterns = scopes.unrecognized().iter().filter_map(|entry| entry.parse::<ScopePattern>().ok());
        Some(scopes.iter().cloned().map(ScopePattern::from).chain(patterns).collect())
    }
}

/// Reads a refresh token. One that cannot be sent counts as absent, so that the access token beside it is kept.
fn refreshing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RefreshToken>, D::Error> {
    Ok(usable(deserializer)?.filter(is_sendable))
}

#[derive(Deserialize)]
#[serde(remote = "Token", rename_all = "camelCase")]
struct Documented {
    #[serde(deserialize_with = "sendable")]
    token: AccessToken,
    #[serde(default, deserialize_with = "documented::text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "documented::time")]
    created_at: Option<SystemTime>,
    #[serde(rename = "expireAt", deserialize_with = "documented::required_time")]
    expires_at: SystemTime,
    #[serde(default, deserialize_with = "documented::time")]
    updated_at: Option<SystemTime>,
    scopes: Option<ScopeList>,
    #[serde(default, deserialize_with = "documented_refreshing")]
    refresh_token: Option<RefreshToken>,
    #[serde(default, deserialize_with = "documented::part")]
    limits: TokenLimits,
    #[serde(default, deserialize_with = "documented::part")]
    stats: Stats,
}

fn documented_refreshing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RefreshToken>, D::Error> {
    let token: Option<RefreshToken> = Option::deserialize(deserializer)?;
    Ok(token.filter(|token| is_usable_refresh_token(token.expose()) && is_sendable(token)))
}

impl Object for Token {
    const KEY: &'static str = "token";

    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Documented::deserialize(deserializer)
    }
}

impl Identified for Token {
    fn identity(&self) -> impl Hash {
        self.token.expose()
    }
}

/// A request for a token, for [`Oauth::create_token`](super::Oauth::create_token).
///
/// ```
/// use gettone::ScopeSet;
/// use gettone::openapi::{Decimal, Ttl, v2::{NewToken, TokenLimits}};
///
/// let scopes = ScopeSet::parse(["GET:company.openapi.com/IT-start"])?;
/// let limits = TokenLimits::new().wallet_amount(Decimal::from(5));
/// let token = NewToken::new(&scopes, Ttl::days(30)?).name("reports").limits(limits);
/// # let _ = token;
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct NewToken {
    pub(super) scopes: ScopeSet,
    pub(super) ttl: Ttl,
    pub(super) name: Option<String>,
    pub(super) limits: Option<TokenLimits>,
}

impl NewToken {
    /// Returns a request for a token with these scopes and this lifetime.
    pub fn new(scopes: &ScopeSet, ttl: Ttl) -> Self {
        Self { scopes: scopes.clone(), ttl, name: None, limits: None }
    }

    /// Sets a label for people. The vendor documents neither its length nor its characters, nor whether it must be unique.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the limits of the token.
    pub fn limits(mut self, limits: TokenLimits) -> Self {
        self.limits = Some(limits);
        self
    }
}

/// A change to a token, for [`Oauth::update_token`](super::Oauth::update_token).
///
/// ```
/// use gettone::openapi::{Ttl, v2::TokenUpdate};
///
/// let update = TokenUpdate::new().ttl(Ttl::days(1)?).name("reports");
/// # let _ = update;
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct TokenUpdate {
    pub(super) scopes: Option<ScopeSet>,
    pub(super) ttl: Option<Ttl>,
    pub(super) name: Option<String>,
    pub(super) limits: Option<TokenLimits>,
}

impl TokenUpdate {
    /// Returns an update that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the scopes of the token: name all that it shall have, not only the new ones.
    pub fn scopes(mut self, scopes: &ScopeSet) -> Self {
        self.scopes = Some(scopes.clone());
        self
    }

    /// Sets the lifetime of the token. That it counts from the change is likely, but not documented.
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the label of the token.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the limits of the token. Name all that it shall have: whether the service replaces the limits as a whole is not documented. Nor
    /// is a way to remove one.
    pub fn limits(mut self, limits: TokenLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self == &Self::default() {
            return Err(Error::invalid_input("nothing to change; set scopes, a ttl, a name or limits"));
        }
        self.limits.as_ref().map_or(Ok(()), TokenLimits::check)
    }
}
