//! A client without the API key, from a token and its refresh token alone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::{Request, Url};

use super::operations::{REFRESH_TOKEN, refresh};
use super::options::PRODUCTION;
use super::token::Token;
use crate::auth::builder::{Assemble, Builder, Parts, Service};
use crate::auth::managed::{Managed, Propagation, RequestRules, managed_methods};
use crate::cache::{Cache, Ended, Fetched, Handle, Rotating, Rotation, TokenSource};
use crate::clock::Time;
use crate::error::{Error, Kind, Operation};
use crate::http::transport::{Timing, Transport};
use crate::openapi::options::SharedOptions;
use crate::openapi::requests;
use crate::openapi::ttl::Ttl;
use crate::store::{Renewal, StoredToken};
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
    /// `name` is that of the record in a [store](Builder::store): processes that share it share one token. Choose one that no other pair of
    /// tokens has. It must not be a secret.
    #[must_use]
    pub fn new(name: impl Into<String>, token: impl Into<AccessToken>, refresh_token: impl Into<RefreshToken>) -> Self {
        let (name, token, refresh_token) = (name.into(), token.into(), refresh_token.into());
        Self { name, token, refresh_token, expires_at: None }
    }

    /// Creates credentials from a token of the account. `None` if the response had no refresh token.
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

/// A client of Openapi.it Oauth that does not know the API key: it holds a token, and refreshes it with its refresh token. Cheap to clone;
/// clones share their token.
///
/// Give a worker such a pair if it must not hold the key, which can create tokens for everything. A refresh returns another token and
/// another refresh token with the same scopes, and **ends both old ones**. So the client does what [`keliweb`](crate::keliweb) tokens
/// need: it refreshes once at a time, on a task of its own, saves the new pair before anything else, and never sends a refresh token
/// again that the service may have used up.
///
/// Give it a [store](Builder::store) that survives restarts. Without one, the new pair is gone with the process, and the old one no longer
/// works. A pair that is lost cannot be had again: `token` then fails with [`is_invalid_grant`](Error::is_invalid_grant), and somebody
/// with the key has to [create](super::Oauth::create_token) another token.
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
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the service rejected the refresh token, or may have used it up without a response. The
    ///   pair is lost.
    /// - [`is_not_found`](Error::is_not_found): the account no longer has the token.
    /// - [`is_transient`](Error::is_transient): no connection, 429, or another failure that may pass.
    /// - [`is_decode`](Error::is_decode): the response is not the documented one.
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
        let initial = Mutex::new(Some(Initial { token, refresh_token, expires_at }));
        let source = Pair { transport, name, options, initial, rotation: Rotation::default() };
        let cache = Cache::new(source, store, clock);
        let token = cache.handle(&Only);
        Ok(Self { tokens: Managed::new(cache), token })
    }
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
    options: SharedOptions,
    /// The pair that the client was built with, until it was used.
    initial: Mutex<Option<Initial>>,
    rotation: Rotation<Only>,
}

struct Initial {
    token: AccessToken,
    refresh_token: RefreshToken,
    expires_at: Option<SystemTime>,
}

impl Pair {
    fn initial(&self) -> MutexGuard<'_, Option<Initial>> {
        self.initial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the error for a pair that is lost.
    fn lost(&self) -> Error {
        let message = "no refresh token is left: the last one is used up, or may be; create a token with the API key, and build \
                       another client from it";
        Error::new(Kind::InvalidGrant { credentials: false }).with_message(message).with_operation(self.operation())
    }

    async fn exchange(&self, token: &AccessToken, refresh_token: &RefreshToken) -> Result<Fetched, Error> {
        let (token, timing) = refresh(&self.transport, token, refresh_token).await?;
        Ok(fetched(&token, &timing))
    }
}

fn fetched(token: &Token, timing: &Timing) -> Fetched {
    let sent = timing.sent;
    let token = StoredToken {
        access_token: token.token().clone(),
        obtained_at: sent.now,
        expires_at: timing.here(token.expires_at()).min(sent.after(Ttl::MAX.into()).now),
        renewal: token.refresh_token().map(|refresh_token| renewal(refresh_token.clone(), sent.now)),
        scopes: None,
        name: None,
    };
    Fetched { token, sent, operation: REFRESH_TOKEN.operation, is_adopted: false }
}

/// Returns the record of a refresh token. How long one lasts is not documented, nor whether it works after its token has expired. There is
/// nothing to lose in trying.
fn renewal(refresh_token: RefreshToken, now: SystemTime) -> Renewal {
    Renewal { refresh_token, expires_at: now + Duration::from(Ttl::MAX) }
}

impl TokenSource for Pair {
    type Key = Only;

    fn record_name(&self, _: &Only) -> String {
        format!("openapi-oauth-v2 refresh {:?} {:?}", self.transport.base_url, self.name)
    }

    fn operation(&self) -> Operation {
        REFRESH_TOKEN.operation
    }

    fn is_ended_by_refresh(&self, token: &StoredToken) -> bool {
        token.renewal.is_some()
    }

    /// Returns whether the token has no scopes: a token with scopes belongs to a client with the key.
    fn is_for(&self, token: &StoredToken, _: &Only) -> bool {
        token.scopes.is_none()
    }

    async fn fetch(
        &self,
        only: &Only,
        previous: Option<&StoredToken>,
        _: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        self.rotation.fetch(self, only, previous).await
    }

    /// Allows for a refresh of the pair in the store, and one of the pair that the client was built with.
    fn max_duration(&self) -> Duration {
        let Transport { timeout, retry, .. } = &*self.transport;
        timeout.saturating_mul(2).saturating_add(retry.longest_rest())
    }
}

impl Rotating for Pair {
    /// Returns the pair that the client was built with, once.
    async fn request(&self, _: &Only) -> Result<Fetched, Error> {
        let Some(initial) = self.initial().take() else { return Err(self.lost()) };
        let sent = self.transport.clock.moment();
        let Initial { token, refresh_token, expires_at } = &initial;
        if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at > sent.now) {
            let token = StoredToken {
                access_token: token.clone(),
                obtained_at: sent.now,
                expires_at,
                renewal: Some(renewal(refresh_token.clone(), sent.now)),
                scopes: None,
                name: None,
            };
            return Ok(Fetched { token, sent, operation: self.operation(), is_adopted: true });
        }
        let result = self.exchange(token, refresh_token).await;
        if result.as_ref().is_err_and(|error| self.is_unused(error)) {
            *self.initial() = Some(initial);
        }
        result
    }

    async fn refresh(&self, _: &Only, previous: &StoredToken, token: &RefreshToken) -> Result<Fetched, Error> {
        self.exchange(&previous.access_token, token).await
    }

    fn is_unused(&self, error: &Error) -> bool {
        (error.is_connect() || error.is_rate_limited() || error.is_invalid_input()) && !error.is_ambiguous()
    }

    async fn wait_after(&self, error: &Error) -> bool {
        let has_another = self.initial().is_some();
        has_another && self.transport.wait_after(error).await
    }

    fn time(&self) -> &Time {
        &self.transport.clock
    }
}

impl RequestRules for Pair {
    const ADD_A_HOST: &'static str = requests::ADD_A_HOST;

    fn is_recipient(&self, url: &Url) -> bool {
        requests::is_recipient(self.options.scopes.as_ref(), url)
    }

    fn refuse(&self, url: &Url) -> Error {
        requests::refuse(url)
    }

    fn key_for(&self, request: &Request) -> Result<Only, Error> {
        requests::scopes_for(self.options.scopes.as_ref(), request).map(|_| Only)
    }

    fn propagation(&self) -> Option<Propagation> {
        Some(requests::PROPAGATION)
    }
}
