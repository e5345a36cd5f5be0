//! Keliweb Fatture, an electronic invoicing service: a managed token, and the two grants of its token endpoint.
//!
//! Facts and their sources: the vendor's page on getting an access token, as in `spec/keliweb-fatture.yaml`, which also says what
//! is only how the server software behaves. The vendor announces that a token can be revoked but documents
//! neither address nor parameters, so there is no operation for it here.

mod credentials;
mod operations;
mod pair;
mod source;

use std::fmt;
use std::sync::Arc;

use crate::auth::builder::{Assemble, Builder, Parts, Service};
use crate::auth::managed::{Managed, managed_methods};
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
/// [`token`](Self::token) is what a program needs: it asks, keeps and renews. The two grants are there for those who look
/// after their tokens themselves; what they give is not kept.
///
/// ```no_run
/// use gettone::keliweb::{Credentials, Fatture};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let fatture = Fatture::builder(Credentials::from_env()?).build()?;
///
/// let token = fatture.token().await?;
/// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
/// // Without `Accept` the service answers a refused token with a redirect to its login page.
/// let request = http.get("https://fatture.keliweb.it/api/invoices").header("Accept", "application/json");
/// let response = request.bearer_auth(token.expose()).send().await?;
/// if response.status() == 401 {
///     fatture.invalidate(&token);
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
    /// Starts to build a client.
    pub fn builder(credentials: Credentials) -> Builder<Self> {
        Builder::new(credentials)
    }

    /// Returns an access token that is good now.
    ///
    /// The first call requests one with the user name and password. Later calls return the same one from memory. Some minutes before
    /// it expires the client refreshes it. If the service refuses the refresh token, or it has expired, the client uses the password.
    ///
    /// A refresh ends the old access token at the service. So a call that comes during a refresh waits for the new token, up to two
    /// seconds after the refresh began; if the service takes longer, the call returns the old one, which may be refused. If the
    /// refresh fails, calls return the old token until it expires. All processes that share a token through a
    /// [store](crate::Builder::store) begin its refresh at the same moment, and one of them carries it out.
    ///
    /// Callers without a token wait for the same request, and share its error. After a failure the client pauses: a second or two,
    /// doubling to a minute or two; or five to ten minutes, doubling to an hour or two, if the service refused the credentials, so that
    /// it does not lock the account, or if its answer cannot be read. A call during the pause sends nothing and returns the error of
    /// the last attempt, which [says so](Error::is_backing_off) and tells the [time left](Error::retry_after). A pause ends before
    /// a token that is still good. A caller that goes away cancels nothing.
    ///
    /// The token is returned before the [store](crate::Builder::store) has kept it: call [`wait_idle`](Self::wait_idle) before the program
    /// ends.
    ///
    /// Who has to wait may wait for minutes, if the service answers late: the [timeout](crate::Builder::timeout) is that of each
    /// call, of which a refresh that is made up for takes two; and a store may have to be waited for. Put a limit of your own
    /// around it; what was begun goes on.
    ///
    /// # Errors
    ///
    /// - those of [`password_grant`](Self::password_grant)
    /// - [`is_invalid_input`](Error::is_invalid_input): there is no tokio runtime, and no token that is good.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.token.get().await
    }

    /// Exchanges the user name and password for a pair of tokens (RFC 6749, section 4.3).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the user name or the password is wrong.
    /// - [`is_unauthorized`](Error::is_unauthorized): the same, or the client id or secret is wrong, or the service redirected to
    ///   its login page.
    /// - [`is_invalid_input`](Error::is_invalid_input): the service found a field missing or malformed.
    /// - [`is_transient`](Error::is_transient): no connection, a timeout, a lost answer, 429, 502, 503, 504 or a maintenance page,
    ///   after the repeats of [`Retry`](crate::Retry).
    /// - [`is_decode`](Error::is_decode): the answer is not the documented one.
    pub async fn password_grant(&self) -> Result<TokenPair, Error> {
        self.grants.password().await.map(|(pair, _)| pair)
    }

    /// Exchanges a refresh token for a new pair (RFC 6749, section 6).
    ///
    /// A refresh token works once: afterwards it is spent, and so is the access token that came with it. If the answer is
    /// lost, both may be; [`password_grant`](Self::password_grant) is the way back. So this is never repeated once it may
    /// have been carried out.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the refresh token is wrong, expired, or was used before.
    /// - [`is_unauthorized`](Error::is_unauthorized): the client id or secret is wrong, or the service redirected to its login
    ///   page.
    /// - [`is_invalid_input`](Error::is_invalid_input): the refresh token is empty, or as for
    ///   [`password_grant`](Self::password_grant).
    /// - [`is_transient`](Error::is_transient), [`is_decode`](Error::is_decode): as for
    ///   [`password_grant`](Self::password_grant). Both tokens may be spent if the call
    ///   [may have been carried out](Error::is_ambiguous).
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
    /// Sets the header `Authorization` of a request to the service, with a token as returned by [`token`](Self::token).
    ///
    /// The request must go to the scheme, host and port of the client's own address
    /// ([`Builder::base_url`](crate::Builder::base_url)). Without `Accept` the service answers a rejected token with a redirect to its
    /// login page.
}
