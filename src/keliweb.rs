//! Keliweb Fatture, an electronic invoicing service: the client [`Fatture`], and what its two grants take and return.
//!
//! Facts are from the vendor's page on access tokens, unless `spec/keliweb-fatture.yaml` names another source, such as the behavior of the
//! server software. The vendor announces that a token can be revoked, but documents neither the address nor the parameters. So this client
//! has no such operation.

mod credentials;
mod operations;
mod pair;
mod source;

use std::fmt;
use std::sync::Arc;

use crate::auth::builder::{Assemble, Builder, Parts, Service};
use crate::auth::managed::{Managed, clear_method, managed_methods};
use crate::cache::{Cache, Handle};
use crate::error::Error;
use crate::http::generated_client;
use crate::token::{AccessToken, RefreshToken};

use operations::Grants;
use source::{Account, Tokens};

pub use credentials::Credentials;
pub use pair::TokenPair;

generated_client!("keliweb_fatture");

/// A client of Keliweb Fatture. Cheap to clone; clones share their token.
///
/// [`authorize`](Self::authorize) and [`token`](Self::token) request, cache and refresh the token: most programs need nothing else. The two
/// grants make one call each, and cache nothing.
///
/// ```no_run
/// use gettone::keliweb::{Credentials, Fatture};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let fatture = Fatture::builder(Credentials::from_env()?).build()?;
/// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
///
/// let mut request = http.get("https://fatture.keliweb.it/api/invoices").build()?;
/// let token = fatture.authorize(&mut request).await?;
/// let response = http.execute(request).await?;
/// if response.status() == 401 {
///     fatture.invalidate(&token); // the next call requests another token
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Fatture {
    grants: Grants,
    tokens: Managed<Tokens>,
    token: Handle<Tokens>,
}

impl Fatture {
    /// Returns a builder for a client.
    pub fn builder(credentials: Credentials) -> Builder<Self> {
        Builder::new(credentials)
    }

    /// Returns the account's access token: the cached one, or a new one.
    ///
    /// - While the token is fresh, the call returns at once; before it expires, the client refreshes it. A refresh ends the old token at the
    ///   service. So a call during a refresh waits up to two seconds for the new token, and then returns the old one, which the service may
    ///   reject.
    /// - Without a cached token, all callers wait for one request, and share its error. That may take minutes: wrap the call in a
    ///   timeout. Dropping the call cancels nothing.
    /// - After a failure the client pauses. Until the pause ends, a call sends nothing and returns the cached token, or the last error with
    ///   [`is_backing_off`](Error::is_backing_off) and the time left in [`retry_after`](Error::retry_after).
    /// - Call [`wait_idle`](Self::wait_idle) before the program ends: the client returns a token before the
    ///   [store](crate::Builder::store) has saved it.
    ///
    /// [The guide](crate::guide::tokens) explains how long a call waits and how long the client pauses. [Processes](crate::guide::processes)
    /// that share a token refresh it once.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): no token is cached, and the call is outside of a tokio runtime, or the credentials
    ///   are [without a password](Credentials::without_password).
    /// - [`is_decode`](Error::is_decode): the service returned a token that has already expired.
    /// - The errors of [`password_grant`](Self::password_grant).
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.token.get().await
    }

    /// Exchanges the user name and password for a pair of tokens (RFC 6749, section 4.3).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the user name or the password is wrong.
    /// - [`is_unauthorized`](Error::is_unauthorized): the user name, the password, the client id or the client secret is wrong, or the
    ///   service redirected to its login page.
    /// - [`is_invalid_input`](Error::is_invalid_input): the credentials are [without a password](Credentials::without_password), or the
    ///   service calls a field missing or malformed.
    /// - [`is_transient`](Error::is_transient): no connection, a timeout, a lost response, 429, 502, 503, 504 or a maintenance page, after
    ///   the attempts of [`Retry`](crate::Retry).
    /// - [`is_decode`](Error::is_decode): the response is not the documented one.
    pub async fn password_grant(&self) -> Result<TokenPair, Error> {
        self.grants.password().await.map(|(pair, _)| pair)
    }

    /// Exchanges a refresh token for a new pair of tokens (RFC 6749, section 6).
    ///
    /// A refresh token works once: the service then ends it and the access token of its pair. If the response is lost, both may be spent;
    /// [`password_grant`](Self::password_grant) requests new ones. So the client never retries this call once the service may have carried
    /// it out.
    ///
    /// # Errors
    ///
    /// If the error [is ambiguous](Error::is_ambiguous), both tokens may be spent.
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the refresh token is wrong, expired, or used.
    /// - [`is_unauthorized`](Error::is_unauthorized): the client id or the client secret is wrong, or the service redirected to its login
    ///   page.
    /// - [`is_invalid_input`](Error::is_invalid_input): the refresh token is empty, or the service calls a field missing or malformed.
    /// - [`is_transient`](Error::is_transient), [`is_decode`](Error::is_decode): as for [`password_grant`](Self::password_grant)
    pub async fn refresh(&self, token: &RefreshToken) -> Result<TokenPair, Error> {
        self.grants.refresh(token).await.map(|(pair, _)| pair)
    }
}

impl fmt::Debug for Fatture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fatture")
            .field("base_url", &self.grants.transport.base_url)
            .field("credentials", &self.grants.credentials)
            .finish_non_exhaustive()
    }
}

impl Service for Fatture {
    type Credentials = Credentials;
}

impl Assemble for Fatture {
    type Options = ();

    const BASE_URL: &'static str = "https://fatture.keliweb.it";

    fn check(credentials: &Credentials, (): &()) -> Result<(), Error> {
        credentials.check()
    }

    fn assemble(parts: Parts<Self>) -> Result<Self, Error> {
        let Parts { credentials, options: (), transport, store } = parts;
        let clock = transport.clock.clone();
        let grants = Grants { credentials: Arc::new(credentials), transport };
        let cache = Cache::new(Tokens::new(grants.clone()), store, clock);
        let token = cache.handle(&Account);
        Ok(Self { grants, tokens: Managed::new(cache), token })
    }
}

managed_methods! {
    Fatture,
    /// Sets the header `Authorization` of a request to the service, with the token that [`token`](Self::token) returns.
    ///
    /// The request must go to the scheme, host and port of the client's own address
    /// ([`Builder::base_url`](crate::Builder::base_url)).
}

clear_method!(Fatture);
