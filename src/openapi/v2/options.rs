//! The settings of the builder that only version 2 has.

use std::time::SystemTime;

use super::limits::TokenLimits;
use super::{Oauth, RefreshClient};
use crate::auth::builder::Builder;
use crate::error::Error;
use crate::openapi::options::{SharedOptions, VendorClient};
use crate::openapi::ttl::Ttl;
use crate::store::unique_text;

/// How the client refreshes a cached token before it expires.
///
/// ```
/// use gettone::openapi::{Credentials, v2::{Oauth, Renewal}};
///
/// let oauth = Oauth::builder(Credentials::new("test@example.com", "key")).renewal(Renewal::Replace).build()?;
/// # let _ = oauth;
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Renewal {
    /// Extends the lifetime of the token: `PATCH /tokens/{token}` with another `ttl`. The account does not fill with tokens. A token that
    /// leaks stays valid as long as the program runs.
    ///
    /// That the token keeps its text, its limits and its use so far is likely, but not documented. If the response names another token, the
    /// client returns that one from then on. If the service does not have the token, or does not extend it, the client creates another one.
    Extend,
    /// Creates another token: `POST /tokens`. The previous token stays valid until it expires. The use of the new one
    /// counts from zero against its limits.
    Replace,
}

/// The settings for the tokens that the client caches.
pub(crate) struct Options {
    pub(super) shared: SharedOptions,
    pub(super) ttl: Ttl,
    pub(super) limits: Option<TokenLimits>,
    renewal: Option<Renewal>,
    name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shared: SharedOptions::default(),
            ttl: Ttl::DAY,
            limits: None,
            renewal: None,
            name: "gettone".to_owned(),
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), Error> {
        self.shared.check()?;
        self.limits.as_ref().map_or(Ok(()), TokenLimits::check)
    }

    /// Returns how the client refreshes a token. If use consumes its limits, another token, which counts from zero, is the default.
    pub(super) fn renewal(&self) -> Renewal {
        let counts = self.limits.as_ref().is_some_and(TokenLimits::can_be_used_up);
        self.renewal.unwrap_or(if counts { Renewal::Replace } else { Renewal::Extend })
    }

    /// Returns a name that no other token has.
    pub(super) fn unique_name(&self, now: SystemTime) -> String {
        format!("{}-{}", self.name, unique_text(now))
    }
}

/// Settings for version 2 of Openapi.it Oauth.
impl Builder<Oauth> {
    /// Sets the lifetime of the tokens that the client caches. Default: one day. With [`Renewal::Extend`] the client gives a token that lifetime
    /// again and again.
    #[must_use]
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// Sets the limits of the tokens that the client caches: what somebody who finds such a token can do with it at most. Default: none.
    ///
    /// The limits are those of one token over its whole life. With limits that use consumes, the client [replaces](Renewal::Replace) tokens by
    /// default. So with a [`ttl`](Self::ttl) of a day, a limit of 5 euro is one of 5 euro a day: for each set of scopes, and in each process
    /// that does not share a store. Clients with different limits do not share their tokens in a store.
    #[must_use]
    pub fn limits(mut self, limits: TokenLimits) -> Self {
        self.options.limits = Some(limits);
        self
    }

    /// Sets how the client refreshes a cached token before it expires. Default: [`Renewal::Extend`], or [`Renewal::Replace`] with
    /// [`limits`](Self::limits) that use consumes: numbers of requests, and an amount.
    #[must_use]
    pub fn renewal(mut self, renewal: Renewal) -> Self {
        self.options.renewal = Some(renewal);
        self
    }

    /// Sets the beginning of the name of each token that the client caches, for people who read the account's list. Default: `gettone`.
    ///
    /// The client appends a random number, so that each token has a name of its own. If a response is lost, the client finds its token by
    /// that name.
    #[must_use]
    pub fn token_name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }
}

impl VendorClient for Oauth {
    const SANDBOX_URL: &'static str = SANDBOX;

    fn shared_mut(options: &mut Options) -> &mut SharedOptions {
        &mut options.shared
    }
}

impl VendorClient for RefreshClient {
    const SANDBOX_URL: &'static str = SANDBOX;

    fn shared_mut(options: &mut SharedOptions) -> &mut SharedOptions {
        options
    }
}

const SANDBOX: &str = "https://test.oauth.openapi.com";
pub(super) const PRODUCTION: &str = "https://oauth.openapi.com";
