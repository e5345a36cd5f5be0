//! A client without the API key, from a token and its refresh token alone.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;

use super::operations::{REFRESH_TOKEN, is_missing, refresh};
use super::options::PRODUCTION;
use super::token::Token;
use crate::auth::builder::{Assemble, Builder, Parts, Service};
use crate::auth::managed::{Managed, managed_methods};
use crate::cache::{Cache, Ended, Fetched, Handle, Rotating, Rotation, TokenSource};
use crate::clock::Time;
use crate::error::{Error, Kind, Operation};
use crate::http::transport::{Timing, Transport};
use crate::openapi::options::SharedOptions;
use crate::openapi::requests::ForVendor;
use crate::openapi::ttl::Ttl;
use crate::scope::ScopeSet;
#[cfg(feature = "seal")]
use crate::secret::Secret;
use crate::store::{ExpiringRefreshToken, ManagedToken, fnv_1a};
use crate::token::{AccessToken, RefreshToken};

/// A token and its refresh token, for a [`RefreshClient`].
///
/// ```
/// use gettone::openapi::v2::RefreshCredentials;
///
/// let credentials = RefreshCredentials::new("worker-7", "0123456789abcdef", "fedcba9876543210");
/// assert!(!format!("{credentials:?}").contains("0123456789abcdef"));
/// ```
#[derive(Debug, Clone)]
pub struct RefreshCredentials {
    name: String,
    token: AccessToken,
    refresh_token: RefreshToken,
    expires_at: Option<SystemTime>,
}

impl RefreshCredentials {
    /// Creates credentials from a token and its refresh token.
    ///
    /// `name` is a part of the name of the record in a [store](Builder::store), beside a checksum of the token. Processes with the same name
    /// and the same pair share one token, and a new pair under the same name has a record of its own. The name must not be a secret.
    #[must_use]
    pub fn new(name: impl Into<String>, token: impl Into<AccessToken>, refresh_token: impl Into<RefreshToken>) -> Self {
        let (name, token, refresh_token) = (name.into(), token.into(), refresh_token.into());
        Self { name, token, refresh_token, expires_at: None }
    }

    /// Creates credentials from a token of the account. `None` if the response had no refresh token, as users report of
    /// [`create_token`](super::Oauth::create_token): then find the token in [`stream_tokens`](super::Oauth::stream_tokens).
    #[must_use]
    pub fn from_token(name: impl Into<String>, token: &Token) -> Option<Self> {
        let credentials = Self::new(name, token.token().clone(), token.refresh_token()?.clone());
        Some(credentials.expires_at(token.expires_at()))
    }

    /// Sets when the token expires. Without it, the client refreshes the token before it first returns one.
    #[must_use]
    pub fn expires_at(mut self, moment: SystemTime) -> Self {
        self.expires_at = Some(moment);
        self
    }
}

/// A client of version 2 of Openapi.it Oauth that does not know the API key: it holds a token, and refreshes it with its refresh token. Cheap
/// to clone; clones share their token.
///
/// Give a worker such a pair if it must not hold the key, which can create tokens for everything. A refresh returns another token and
/// another refresh token with the same scopes, and **ends both old ones**. So the client refreshes once at a time, on a task of its own,
/// claims the refresh token in the store before it sends it, and saves the new pair before any caller gets it. (If that fails, callers get
/// the token, and the client tries again to save it.) Neither this client nor another process with the same store sends a refresh token again
/// that the service may have used up. If a program is killed in the middle of a refresh, the pair is lost.
///
/// Give the client a [store](Builder::store) that survives restarts. Without one, the new pair is lost with the process, and the old one no
/// longer works. A lost pair cannot be recovered: `token` then fails with [`is_invalid_grant`](Error::is_invalid_grant), and somebody with
/// the key has to [create](super::Oauth::create_token) another token. So the client has no `clear`. If it cannot read the store after a
/// restart, it fails: the pair that it was built with may be an old one.
///
/// ```no_run
/// use gettone::openapi::v2::{RefreshClient, RefreshCredentials};
/// use gettone::store::FileStore;
///
/// # async fn run(token: String, refresh_token: String) -> Result<(), Box<dyn std::error::Error>> {
/// let store = FileStore::open("/var/lib/worker/tokens.json").await?;
/// let credentials = RefreshCredentials::new("worker-7", token, refresh_token);
/// let worker = RefreshClient::builder(credentials).store(store).build()?;
///
/// let http = gettone::reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
/// let mut request = http.get("https://company.openapi.com/IT-start/12485671007").build()?;
/// worker.authorize(&mut request).await?;
/// let response = http.execute(request).await?;
///
/// worker.wait_idle().await; // before the program ends: the store has the last pair then
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RefreshClient {
    tokens: Managed<Pair>,
    token: Handle<Pair>,
}

impl RefreshClient {
    /// Returns a builder for a client.
    pub fn builder(credentials: RefreshCredentials) -> Builder<Self> {
        Builder::new(credentials)
    }

    /// Returns the access token: the cached one, or a refreshed one.
    ///
    /// - While the token is fresh, the call returns at once; before it expires, the client refreshes it. A call during a refresh waits up to
    ///   two seconds for the new token, and then returns the old one, which a data service may reject.
    /// - After a failure the client pauses. Until the pause ends, a call sends nothing and returns the cached token, or the last error with
    ///   [`is_backing_off`](Error::is_backing_off).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the service rejected the refresh token, may have used it up without a response, or
    ///   returned none with the last token. The pair is lost.
    /// - [`is_store`](Error::is_store): the store, which may have a newer pair than the client was built with, cannot be read.
    /// - [`is_not_found`](Error::is_not_found): the account no longer has the token.
    /// - [`is_transient`](Error::is_transient): no connection, 429, or another failure that may pass.
    /// - [`is_decode`](Error::is_decode): the response is not the documented one, or its token has already expired.
    /// - [`is_invalid_input`](Error::is_invalid_input): the token cannot be part of a path, or the call is outside of a tokio runtime.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.token.get().await
    }
}

impl fmt::Debug for RefreshClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair { transport, name, .. } = self.tokens.source();
        f.debug_struct("RefreshClient")
            .field("base_url", &transport.base_url)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

impl Service for RefreshClient {
    type Credentials = RefreshCredentials;
}

impl Assemble for RefreshClient {
    type Options = SharedOptions;

    const BASE_URL: &'static str = PRODUCTION;

    fn check(credentials: &RefreshCredentials, options: &SharedOptions) -> Result<(), Error> {
        options.check()?;
        let RefreshCredentials { name, token, refresh_token, .. } = credentials;
        if name.is_empty() || token.expose().is_empty() || refresh_token.expose().is_empty() {
            return Err(Error::invalid_input("refresh credentials: the name, the token or the refresh token is empty"));
        }
        Ok(())
    }

    fn assemble(parts: Parts<Self>) -> Result<Self, Error> {
        let Parts { credentials, options, transport, store } = parts;
        let clock = transport.clock.clone();
        let RefreshCredentials { name, token, refresh_token, expires_at } = credentials;
        // Sixteen bits tell pairs apart, and are too few to find a token by: the name is no secret.
        let checksum = checksum(token.expose());
        let record = format!("openapi-oauth-v2 refresh {:?} {name:?} {checksum:04x}", transport.base_url);
        let now = clock.moment();
        let latest = now.after(Ttl::MAX.into()).now;
        let initial = ManagedToken {
            access_token: token,
            obtained_at: now.now,
            expires_at: expires_at.map_or(now.now, |expires_at| expires_at.min(latest)),
            renewal: Some(ExpiringRefreshToken { refresh_token, expires_at: latest }),
            scopes: None,
        };
        let source = Pair { transport, name, record, options, initial, rotation: Rotation::default() };
        let cache = Cache::new(source, store, clock);
        let token = cache.handle(&Only);
        Ok(Self { tokens: Managed::new(cache), token })
    }
}

/// Returns sixteen bits, of which any change of the text changes half.
fn checksum(text: &str) -> u64 {
    // The last characters hardly reach the upper bits of FNV-1a. This multiplier takes them there (Steele and Vigna, 2021).
    let hash = fnv_1a(text);
    (hash ^ (hash >> 32)).wrapping_mul(0xd134_2543_de82_ef95) >> 48
}

managed_methods! {
    RefreshClient,
    /// Sets the header `Authorization` of a request to a service of the vendor, with the token that [`token`](Self::token) returns.
    ///
    /// [`Builder::scopes`](crate::Builder::scopes) limits which requests get it.
}

/// The key of the only token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Only;

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Openapi.it Oauth v2 refresh")
    }
}

/// A source that refreshes a pair of tokens.
pub(crate) struct Pair {
    transport: Arc<Transport>,
    name: String,
    /// The name of the record. Every pair in that record descends from the one that the client was built with.
    record: String,
    options: SharedOptions,
    /// The pair that the client was built with.
    initial: ManagedToken,
    rotation: Rotation<Only>,
}

impl Pair {
    /// Returns the error for a pair that is lost.
    fn lost(&self) -> Error {
        let message = "no refresh token is left: the last one is used up or may be, or the service returned none; create a token with \
                       the API key, and build another client from it";
        Error::new(Kind::InvalidGrant { credentials: false }).with_message(message).with_operation(self.operation())
    }

    async fn exchange(&self, token: &AccessToken, refresh_token: &RefreshToken) -> Result<Fetched, Error> {
        let (token, timing) = refresh(&self.transport, token, refresh_token).await?;
        Ok(fetched(&token, &timing))
    }
}

fn fetched(token: &Token, timing: &Timing) -> Fetched {
    let sent = timing.sent;
    let token = ManagedToken {
        access_token: token.token().clone(),
        obtained_at: sent.now,
        expires_at: timing.here(token.expires_at()).min(sent.after(Ttl::MAX.into()).now),
        // How long a refresh token lasts is not documented, nor whether it works after its token has expired. So the client tries:
        // there is nothing to lose.
        renewal: token.refresh_token().map(|refresh_token| ExpiringRefreshToken {
            refresh_token: refresh_token.clone(),
            expires_at: sent.after(Ttl::MAX.into()).now,
        }),
        scopes: None,
    };
    Fetched { token, sent, operation: REFRESH_TOKEN.operation, is_adopted: false }
}

impl TokenSource for Pair {
    type Key = Only;

    fn record_name(&self, _: &Only) -> String {
        self.record.clone()
    }

    /// Returns the pair that the client was built with. There are no other credentials.
    #[cfg(feature = "seal")]
    fn secrets(&self) -> Vec<Secret> {
        let ManagedToken { access_token, renewal, .. } = &self.initial;
        let refresh_token = renewal.iter().map(|renewal| renewal.refresh_token.expose());
        std::iter::once(access_token.expose()).chain(refresh_token).map(Secret::new).collect()
    }

    fn operation(&self) -> Operation {
        REFRESH_TOKEN.operation
    }

    fn initial(&self, _: &Only) -> Option<ManagedToken> {
        Some(self.initial.clone())
    }

    fn has_sent(&self, only: &Only, token: &ManagedToken) -> bool {
        self.rotation.has_sent(only, token)
    }

    fn is_ended_by_refresh(&self, token: &ManagedToken) -> bool {
        token.renewal.is_some()
    }

    /// Returns whether the token has no scopes: a token with scopes belongs to a client with the key.
    fn is_for(&self, token: &ManagedToken, _: &Only) -> bool {
        token.scopes.is_none()
    }

    async fn fetch(
        &self,
        only: &Only,
        previous: Option<&ManagedToken>,
        _: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        self.rotation.fetch(self, only, previous).await
    }

    fn max_duration(&self) -> Duration {
        self.transport.timeout
    }

    fn depends_on_last_token(&self) -> bool {
        true
    }

    /// Without the record, a program that is started again would take the pair that it was built with for unused.
    fn record_life(&self) -> Option<Duration> {
        Some(10 * Duration::from(Ttl::MAX))
    }
}

impl Rotating for Pair {
    /// There are no credentials but the refresh token.
    async fn request(&self, _: &Only) -> Result<Fetched, Error> {
        Err(self.lost())
    }

    async fn refresh(&self, _: &Only, previous: &ManagedToken, token: &RefreshToken) -> Result<Fetched, Error> {
        self.exchange(&previous.access_token, token).await
    }

    /// Returns whether something other than the service refused the request, such as a firewall.
    fn is_unused(&self, error: &Error) -> bool {
        // The service may refuse it under a status of success too. It documents no 403.
        let is_forbidden = error.status() == Some(StatusCode::FORBIDDEN);
        let is_refused = is_missing(error) || (error.is_invalid_grant() && !is_forbidden);
        !is_refused && !error.is_ambiguous() && !error.is_decode()
    }

    async fn wait_after(&self, _: &Error) -> bool {
        false
    }

    fn time(&self) -> &Time {
        &self.transport.clock
    }
}

impl ForVendor for Pair {
    fn scopes(&self) -> Option<&ScopeSet> {
        self.options.scopes.as_ref()
    }

    fn key_of(_: ScopeSet) -> Only {
        Only
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_differ_in_one_character_have_other_records() {
        let token = |last: char| format!("0123456789abcdef0123456789abcde{last}");
        let checksums: std::collections::BTreeSet<_> =
            "0123456789abcdef".chars().map(|last| checksum(&token(last))).collect();
        assert!(checksums.len() >= 15, "{checksums:?}");
    }
}
