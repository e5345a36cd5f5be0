//! The methods that all clients share, over a cache of tokens: `token`, `authorize`, `invalidate`, `clear`, `wait_idle`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Request, Response, StatusCode, Url};

use super::authorize;
use crate::cache::{Cache, FreshToken, Handle, TokenSource, Which};
#[cfg(feature = "middleware")]
use crate::clock::Time;
use crate::error::Error;
use crate::token::AccessToken;
use crate::trace;

/// The rules of a service for the requests that its tokens are for.
#[cfg_attr(not(feature = "middleware"), allow(dead_code))]
pub(crate) trait RequestRules: TokenSource {
    /// The advice for a program that wants a token sent to another host. Ends the sentence "to send one there, …".
    const ADD_A_HOST: &'static str;

    /// Returns whether the client sends tokens to this address at all.
    fn is_recipient(&self, url: &Url) -> bool;

    /// Returns the error for an address that gets no token.
    fn refuse(&self, url: &Url) -> Error;

    /// Returns the key of a token that the service accepts for this request.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input): the client does not request tokens for such a request.
    fn key_for(&self, request: &Request) -> Result<Self::Key, Error>;

    /// Returns whether a response rejects the token of its request, which went to `requested`.
    fn is_rejected(&self, response: &Response, requested: &Url) -> bool {
        let _ = requested;
        response.status() == StatusCode::UNAUTHORIZED
    }

    /// Returns how a service responds while it does not know a new token yet. `None` if it knows every token at once.
    fn propagation(&self) -> Option<Propagation> {
        None
    }
}

/// The response of a service to a token that is too new for it to know.
#[cfg_attr(not(feature = "middleware"), allow(dead_code))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Propagation {
    /// The longest time that this may last.
    pub(crate) within: Duration,
    /// A phrase in the body of such a 401, in any letter case.
    pub(crate) phrase: &'static str,
}

/// The cached tokens of a source, one for each key. Cheap to clone.
pub(crate) struct Managed<S: TokenSource>(Cache<S>);

impl<S: TokenSource> Clone for Managed<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: TokenSource> Managed<S> {
    pub(crate) fn new(cache: Cache<S>) -> Self {
        Self(cache)
    }

    pub(crate) fn cache(&self) -> &Cache<S> {
        &self.0
    }

    pub(crate) fn source(&self) -> &S {
        self.0.source()
    }

    pub(crate) async fn token(&self, key: &S::Key) -> Result<AccessToken, Error> {
        self.0.get(key).await
    }

    pub(crate) fn handle(&self, key: &S::Key) -> TokenHandle {
        let handle = self.0.handle(key);
        TokenHandle { fresh: handle.fresh_token(), handle: Arc::new(handle) }
    }

    pub(crate) fn invalidate(&self, token: &AccessToken) {
        self.0.invalidate(token);
    }

    pub(crate) async fn wait_idle(&self) {
        self.0.wait_idle().await;
    }

    pub(crate) async fn clear(&self) -> Result<(), Error> {
        self.0.clear(Which::All).await
    }
}

impl<S: RequestRules> Managed<S> {
    pub(crate) async fn authorize(&self, request: &mut Request) -> Result<AccessToken, Error> {
        let token = self.token_for_request(request).await?;
        authorize::set(request, &token)?;
        Ok(token)
    }

    pub(crate) async fn token_for_request(&self, request: &Request) -> Result<AccessToken, Error> {
        if !self.source().is_recipient(request.url()) {
            return Err(self.source().refuse(request.url()));
        }
        authorize::check(request.url())?;
        authorize::check_host(request)?;
        self.token(&self.source().key_for(request)?).await
    }
}

/// Defines the methods that all clients have. The client holds its [`Managed`] as `tokens`.
macro_rules! managed_methods {
    ($client:ident, $(#[$authorize:meta])*) => {
        impl $client {
            $(#[$authorize])*
            ///
            /// The client marks the header as sensitive, so that it is not printed, and adds `Accept: application/json` if the
            /// request has no `Accept`. Returns the token. [Invalidate](Self::invalidate) it if the service rejects it.
            ///
            /// # Security
            ///
            /// Send the request with a client that follows no redirect to another host: use
            /// [`same_origin`](crate::same_origin). A request whose `Host` header names another host than its URL gets no token, not
            /// even at a loopback address, because servers and proxies route by that header.
            ///
            /// # Errors
            ///
            /// - [`is_invalid_input`](crate::Error::is_invalid_input): the client sends no token to this address, or requests none for
            ///   such a request; the URL is neither https nor a loopback address; or the request has a `Host` header that is not
            ///   the host and port of its URL, or more than one. The client requested no token.
            /// - The errors of [`token`](Self::token).
            pub async fn authorize(
                &self,
                request: &mut reqwest::Request,
            ) -> Result<$crate::token::AccessToken, $crate::error::Error> {
                self.tokens.authorize(request).await
            }

            /// Returns a middleware for `reqwest-middleware` that [authorizes](Self::authorize) each request to the service.
            #[cfg(feature = "middleware")]
            #[must_use]
            pub fn middleware(&self) -> $crate::auth::Middleware {
                $crate::auth::Middleware::new(self.tokens.clone())
            }

            /// Drops a token that a service rejected, and never a newer one. The next call gets another token.
            ///
            /// The store keeps its copy until the client saves the next token.
            ///
            /// If services reject one token after the other, the tokens are not at fault. So the client
            /// [keeps](crate::guide::tokens#a-rejected-token) a token that is rejected within one to two seconds after it dropped
            /// another one. That time doubles with each token that it drops, up to five to ten minutes, and starts over after ten
            /// minutes without a rejection.
            pub fn invalidate(&self, token: &$crate::token::AccessToken) {
                self.tokens.invalidate(token);
            }

            /// Waits until no request for a token is in flight and the store has saved the last one. Call it before your program
            /// ends, or it may lose a new token.
            ///
            /// If requests are on a tokio runtime that no thread drives, `wait_idle` waits for all of them together at most as long as one
            /// may take. Outside of a runtime with timers it waits without a limit.
            pub async fn wait_idle(&self) {
                self.tokens.wait_idle().await;
            }
        }
    };
}

pub(crate) use managed_methods;

/// Defines `clear`, for a client that can request a token anew.
macro_rules! clear_method {
    ($client:ident) => {
        impl $client {
            /// Drops all tokens requested from this client since it was built, from memory and from the store. They stay valid at
            /// the service.
            ///
            /// # Errors
            ///
            /// Even if it fails, the client returns none of these tokens again.
            ///
            /// - [`is_store`](crate::Error::is_store): the store failed.
            /// - [`is_invalid_input`](crate::Error::is_invalid_input): the client has a store, and the call is outside of a tokio runtime.
            /// - [`is_timeout`](crate::Error::is_timeout): a request for a token is on a tokio runtime that no thread drives. The client
            ///   waits for all such requests together at most as long as one may take, and then abandons them. Call `clear` again.
            pub async fn clear(&self) -> Result<(), $crate::error::Error> {
                self.tokens.clear().await
            }
        }
    };
}

pub(crate) use clear_method;

/// A handle to the cached token of one set of scopes, returned by `token_for` of a client. Cheap to clone.
///
/// It saves the lookup of the token: while the token is fresh, [`get`](Self::get) takes no lock and allocates nothing.
///
/// ```no_run
/// # async fn run(oauth: gettone::openapi::v2::Oauth) -> Result<(), gettone::Error> {
/// use gettone::{ScopeSet, TokenHandle};
///
/// let company: TokenHandle = oauth.token_for(&ScopeSet::parse(["GET:company.openapi.com/IT-start"])?);
/// let token = company.get().await?;
/// # let _ = token;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenHandle {
    fresh: FreshToken,
    /// For everything but a fresh token.
    handle: Arc<dyn AnyHandle>,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait AnyHandle: Send + Sync {
    fn cached(&self) -> Option<AccessToken>;
    fn wait(&self) -> Boxed<'_, Result<AccessToken, Error>>;
    fn invalidate(&self, token: &AccessToken);
    fn key(&self) -> &dyn fmt::Display;
}

impl<S: TokenSource> AnyHandle for Handle<S> {
    fn cached(&self) -> Option<AccessToken> {
        Self::cached(self)
    }

    fn wait(&self) -> Boxed<'_, Result<AccessToken, Error>> {
        Box::pin(Self::wait(self))
    }

    fn invalidate(&self, token: &AccessToken) {
        self.cache().invalidate(token);
    }

    fn key(&self) -> &dyn fmt::Display {
        Self::key(self)
    }
}

impl TokenHandle {
    /// Returns the cached token, or requests one, as `token` of the client does.
    ///
    /// # Errors
    ///
    /// The errors of `token` of the client, such as [`v2::Oauth::token`](crate::openapi::v2::Oauth::token).
    #[inline]
    pub async fn get(&self) -> Result<AccessToken, Error> {
        if let Some(token) = self.fresh.get() {
            if cfg!(feature = "tracing") {
                trace::cache::hit(&self.handle.key());
            }
            return Ok(token);
        }
        match self.handle.cached() {
            Some(token) => Ok(token),
            None => self.handle.wait().await,
        }
    }

    /// Drops a token that a service rejected, as `invalidate` of the client does.
    pub fn invalidate(&self, token: &AccessToken) {
        self.handle.invalidate(token);
    }
}

/// Prints the scopes of the token, not its text.
impl fmt::Debug for TokenHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenHandle").field(&format_args!("{}", self.handle.key())).finish()
    }
}

/// The methods of [`Managed`] that the middleware uses, for any service.
#[cfg(feature = "middleware")]
pub(super) trait AnyManaged: Send + Sync {
    fn is_recipient(&self, url: &Url) -> bool;
    fn token_for_request<'a>(&'a self, request: &'a Request) -> Boxed<'a, Result<AccessToken, Error>>;
    fn age_of(&self, token: &AccessToken) -> Option<Duration>;
    fn invalidate(&self, token: &AccessToken);
    fn time(&self) -> &Time;
    fn is_rejected(&self, response: &Response, requested: &Url) -> bool;
    fn propagation(&self) -> Option<Propagation>;
    fn add_a_host(&self) -> &'static str;
}

#[cfg(feature = "middleware")]
impl<S: RequestRules> AnyManaged for Managed<S> {
    fn is_recipient(&self, url: &Url) -> bool {
        self.source().is_recipient(url)
    }

    fn token_for_request<'a>(&'a self, request: &'a Request) -> Boxed<'a, Result<AccessToken, Error>> {
        Box::pin(Self::token_for_request(self, request))
    }

    fn age_of(&self, token: &AccessToken) -> Option<Duration> {
        self.0.age_of(token)
    }

    fn invalidate(&self, token: &AccessToken) {
        Self::invalidate(self, token);
    }

    fn time(&self) -> &Time {
        self.0.time()
    }

    fn is_rejected(&self, response: &Response, requested: &Url) -> bool {
        self.source().is_rejected(response, requested)
    }

    fn propagation(&self) -> Option<Propagation> {
        self.source().propagation()
    }

    fn add_a_host(&self) -> &'static str {
        S::ADD_A_HOST
    }
}
