//! Version 2.1.0 of Openapi.it Oauth: the client [`Oauth`], what its eighteen operations take and return, and [`RefreshClient`], which needs
//! no API key.
//!
//! Facts are from the vendor's OpenAPI file for version 2, unless `spec/openapi-oauth-v2.yaml` names another source. The guide says [what
//! is not known](crate::guide::services#what-version-2-leaves-open), and [what
//! changes](crate::guide::migrating#from-version-1-to-version-2) for a program that used [version 1](super::v1).

mod entries;
mod envelope;
mod expand;
mod ledger;
mod limits;
mod logs;
mod operations;
mod options;
mod page;
mod queries;
mod read;
mod refresh_client;
#[cfg(feature = "schemars")]
mod schema;
mod scopes;
mod source;
mod stats;
mod subscription;
mod token;
mod wallet;
mod write;

use std::fmt;
use std::sync::Arc;

use super::NO_SCOPES;
use super::changes::{Change, revoke_created};
use super::credentials::Credentials;
use crate::auth::TokenHandle;
use crate::auth::builder::{Assemble, Builder, Parts, Service};
use crate::auth::managed::{Managed, clear_method, managed_methods};
use crate::cache::Cache;
use crate::error::Error;
use crate::http::generated_client;
use crate::http::transport::finish;
use crate::scope::{ScopePattern, ScopeSet};
use crate::token::{AccessToken, RefreshToken};

use generated::types;
use operations::{
    Api, CREATE_TOKEN, Create, FIND_TOKEN, LIST_SCOPES, UPDATE_TOKEN, invalid, is_missing, one, refresh, segment,
};
use options::{Options, PRODUCTION};
use source::Tokens;

pub use entries::Entries;
pub(crate) use envelope::{Address, ByDomain, Deleted, Many, One};
pub use limits::{Limit, TokenLimits};
pub use logs::{Callback, ErrorLog};
pub use options::Renewal;
pub use page::{Page, PageRange};
pub use refresh_client::{RefreshClient, RefreshCredentials};
pub use scopes::{FreeLimits, ScopeDetail, UserScope};
pub use stats::{ApiStats, Stats};
pub use subscription::Subscription;
pub use token::{NewToken, Token, TokenUpdate};
pub use wallet::{Transaction, Wallet};

generated_client!("openapi_oauth_v2");

/// A client of version 2 of Openapi.it Oauth. Cheap to clone; clones share their tokens.
///
/// [`authorize`](Self::authorize), [`token`](Self::token) and [`token_for`](Self::token_for) request, cache and refresh tokens: most
/// programs need nothing else. The operations make one call each, and cache nothing.
///
/// ```no_run
/// use gettone::ScopeSet;
/// use gettone::openapi::{Credentials, Environment, Period, Ttl};
/// use gettone::openapi::v2::{NewToken, Oauth};
///
/// # async fn run() -> Result<(), gettone::Error> {
/// let oauth = Oauth::builder(Credentials::from_env()?).environment(Environment::Sandbox).build()?;
///
/// let scopes = ScopeSet::parse(["GET:test.company.openapi.com/IT-start"])?;
/// let token = oauth.token(&scopes).await?; // cached
///
/// let created = oauth.create_token(NewToken::new(&scopes, Ttl::days(30)?).name("reports")).await?; // not cached
/// println!("{} euro left", oauth.wallet().await?.credit());
///
/// for (domain, stats) in oauth.stats_apis(Period::month(2026, 1)?).await? {
///     println!("{domain}: {} requests", stats.total_requests().unwrap_or_default());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Wildcards
///
/// Version 2 documents no wildcards. If a set has one, the client expands it: it reads [`list_scopes`](Self::list_scopes), and requests a
/// token for the scopes that the account may use. The token stays as it was created; a service that the account enables later is not in
/// it. [`expand`](Self::expand) shows what a set stands for. If a wildcard stands for nothing, the call fails with
/// [`not_granted`](Error::not_granted), and the error names the nearest scopes.
///
/// # Errors
///
/// Every operation can return these errors, in addition to its own:
///
/// - [`is_unauthorized`](Error::is_unauthorized): the e-mail address or the API key is wrong, or belongs to the other environment. The
///   vendor documents a failed login for `PATCH` only; the client takes 401 and 403 of any form as one.
/// - [`is_transient`](Error::is_transient): no connection, a timeout, a lost response, 429, 502, 503, 504 or a maintenance page, after
///   the attempts of [`Retry`](crate::Retry).
/// - [`is_decode`](Error::is_decode): the response is not the documented one.
/// - any other [`status`](Error::status), with the [`code`](Error::code) of the service. [Five
///   codes](crate::guide::migrating#codes-with-two-meanings) mean something else than in version 1.
#[derive(Clone)]
pub struct Oauth {
    credentials: Arc<Credentials>,
    api: Api,
    tokens: Managed<Tokens>,
}

impl Oauth {
    /// Returns a builder for a client.
    pub fn builder(credentials: Credentials) -> Builder<Self> {
        Builder::new(credentials)
    }

    /// Returns a token for all of these scopes: the cached one, or a new one.
    ///
    /// - While the cached token is unexpired, the call returns it at once; the client [refreshes](Builder::renewal) it in the background
    ///   before it expires. A cached token for other scopes serves the call if it was granted [all of these](crate::guide::scopes).
    /// - Without a cached token, all callers wait for one request, and share its error. That may take minutes: wrap the call in a
    ///   timeout. Dropping the call cancels nothing.
    /// - After a failure the client pauses. Until the pause ends, a call sends nothing and returns the cached token, or the last error with
    ///   [`is_backing_off`](Error::is_backing_off) and the time left in [`retry_after`](Error::retry_after).
    /// - Call [`wait_idle`](Self::wait_idle) before the program ends: the client returns a token before the [store](Builder::store) has
    ///   saved it.
    ///
    /// Each token has a [name of its own](Builder::token_name). If the response to a request for one is lost, the client lists the
    /// account's tokens and finds it by that name. If it finds more than it needs, it deletes the others. It touches no other token.
    ///
    /// # Errors
    ///
    /// - [`not_granted`](Error::not_granted): the service granted less than requested, and the client deletes that token; or a
    ///   [wildcard](Self#wildcards) stands for nothing.
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, the service calls the scopes invalid, or no token is cached and
    ///   the call is outside of a tokio runtime.
    /// - [`is_decode`](Error::is_decode): the service created a token that has already expired, or one with wider limits than
    ///   [requested](Builder::limits). The client deletes the latter.
    /// - [those of all operations](Self#errors)
    pub async fn token(&self, scopes: &ScopeSet) -> Result<AccessToken, Error> {
        self.tokens.token(scopes).await
    }

    /// Returns a handle to the token for these scopes. Its [`get`](TokenHandle::get) does what [`token`](Self::token) does, without a lookup.
    #[must_use]
    pub fn token_for(&self, scopes: &ScopeSet) -> TokenHandle {
        self.tokens.handle(scopes)
    }

    /// Deletes the unexpired tokens that this client and its clones created or extended for the cache: at the service, in memory and in the
    /// store. Returns how many it deleted.
    ///
    /// It leaves what [`create_token`](Self::create_token) created. If a response was lost, the client finds the token by its
    /// [name](Builder::token_name), unless the service does not list it yet. Another call finds one that the service lists up to 15 seconds
    /// after the client gave up. The client leaves a token that the service lists later.
    ///
    /// Do not call it while other clients share the store: they keep a deleted token in memory and return it until it expires, and the
    /// service responds with 401.
    ///
    /// # Errors
    ///
    /// The first error. The client still deletes the other tokens; the next call retries those that it could not delete.
    ///
    /// - [`is_store`](Error::is_store): the store failed.
    /// - [those of all operations](Self#errors)
    pub async fn revoke_created(&self) -> Result<usize, Error> {
        revoke_created(&self.tokens).await
    }

    /// Returns the scopes that a set stands for: those without a wildcard as they are, the others as far as the account may use them.
    ///
    /// # Errors
    ///
    /// - [`not_granted`](Error::not_granted): a wildcard stands for nothing. The error names the nearest scopes.
    /// - [those of all operations](Self#errors)
    pub async fn expand(&self, scopes: &ScopeSet) -> Result<ScopeSet, Error> {
        let scopes = self.tokens.source().expand(&LIST_SCOPES, scopes).await?;
        Ok(scopes.into_iter().map(ScopePattern::from).collect())
    }

    /// Creates a token: `POST /tokens`. Always sends the lifetime, because the default is not documented. [Expands](Self#wildcards)
    /// wildcards first.
    ///
    /// For some seconds (users saw 4 to 10) the other services may respond to a new token with "Wrong Token".
    ///
    /// The client does not retry the call once the service may have created the token. After an error that
    /// [is ambiguous](Error::is_ambiguous), look for the token by its name with [`stream_tokens`](Self::stream_tokens).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, a limit is zero, or the service calls the scopes invalid or not
    ///   enabled (422, codes 70, 80 and 90).
    /// - [`not_granted`](Error::not_granted): a wildcard stands for nothing.
    /// - [those of all operations](Self#errors)
    pub async fn create_token(&self, token: NewToken) -> Result<Token, Error> {
        let call = &CREATE_TOKEN;
        let NewToken { scopes, ttl, name, limits } = token;
        if scopes.is_empty() {
            return Err(invalid(call, NO_SCOPES));
        }
        limits.as_ref().map_or(Ok(()), TokenLimits::check).map_err(|error| error.with_operation(call.operation))?;
        let scopes = self.tokens.source().expand(call, &scopes).await?;
        let create = Create { scopes, ttl, name: name.as_deref(), limits: limits.as_ref() };
        self.api.create_token(create).await.map(|(token, _)| token)
    }

    /// Lists a page of the account's unexpired tokens: `GET /tokens`. Each entry has the token and its refresh token.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_tokens(&self, range: PageRange) -> Result<Page<Token>, Error> {
        self.api.list_tokens(range).await.map(|(page, _)| page)
    }

    /// Returns a stream of the account's unexpired tokens.
    #[must_use]
    pub fn stream_tokens(&self) -> Entries<Token> {
        self.stream(|api, range| async move { api.list_tokens(range).await.map(|(page, _)| page) })
    }

    /// Finds a token of the account: `GET /tokens/{token}`. Returns `None` if the account does not have it (404 with code 120).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the token cannot be part of a path, or does not have the form of a token (422, code
    ///   60).
    /// - [those of all operations](Self#errors)
    pub async fn find_token(&self, token: &AccessToken) -> Result<Option<Token>, Error> {
        let call = &FIND_TOKEN;
        let client = self.api.client(call);
        match one(call, finish(&client.inner, client.find_token(segment(call, token)?).await)) {
            Err(error) if is_missing(&error) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Changes the scopes of a token, its lifetime, its name or its limits: `PATCH /tokens/{token}`, with the API key.
    /// [Expands](Self#wildcards) wildcards first.
    ///
    /// Use the returned token from then on, and its refresh token. If the client cached the old one, it drops that from memory and from the
    /// store: [`token`](Self::token) then returns another one. [`revoke_created`](Self::revoke_created) still deletes it.
    ///
    /// # Errors
    ///
    /// - [`is_store`](Error::is_store): the service changed the token, but the store failed.
    /// - [`is_timeout`](Error::is_timeout): no response in time; or the service changed the token, but a runtime that no thread drives
    ///   holds an exchange that may cache the old one again.
    /// - [`is_invalid_input`](Error::is_invalid_input): the update is empty, its set is empty, a limit is zero, the token cannot be part of a
    ///   path, or the service calls the scopes invalid or not enabled (422, codes 100 and 110).
    /// - [`is_not_found`](Error::is_not_found): the account does not have the token (404, code 160).
    /// - [`not_granted`](Error::not_granted): a wildcard stands for nothing.
    /// - [those of all operations](Self#errors)
    pub async fn update_token(&self, token: &AccessToken, update: TokenUpdate) -> Result<Token, Error> {
        let call = &UPDATE_TOKEN;
        update.check().map_err(|error| error.with_operation(call.operation))?;
        segment(call, token)?;
        let scopes = match &update.scopes {
            Some(scopes) if scopes.is_empty() => return Err(invalid(call, NO_SCOPES)),
            Some(scopes) => self.tokens.source().expand(call, scopes).await?,
            None => Vec::new(),
        };
        let TokenUpdate { ttl, name, limits, .. } = update;
        let body = types::UpdateToken { scopes, ttl, name, limits };
        let change = Change::begin(&self.tokens, token);
        change.changed(self.api.update_token(call, token, &body).await).await
    }

    /// Exchanges a refresh token for another token with the same scopes: `PATCH /tokens/{token}`, with the refresh token alone. The service
    /// ends the old token and its refresh token.
    ///
    /// If the response is lost, both may be gone; [`stream_tokens`](Self::stream_tokens) shows their successor. So the client never
    /// retries this call once the service may have carried it out. If the client cached the old token, it drops that, and
    /// [`revoke_created`](Self::revoke_created) deletes the successor.
    ///
    /// # Errors
    ///
    /// If the error [is ambiguous](Error::is_ambiguous), both tokens may be spent.
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the refresh token is wrong or used (401, code 130).
    /// - [`is_not_found`](Error::is_not_found): the account does not have the token (404, code 160).
    /// - [`is_invalid_input`](Error::is_invalid_input): the refresh token is empty, or one of the two cannot be sent.
    /// - [`is_store`](Error::is_store): the service replaced the token, but the store failed.
    /// - [`is_transient`](Error::is_transient), [`is_decode`](Error::is_decode): as for all operations
    pub async fn refresh_token(&self, token: &AccessToken, refresh_token: &RefreshToken) -> Result<Token, Error> {
        let change = Change::ending(&self.tokens, token);
        change.changed(refresh(&self.api.transport, token, refresh_token).await).await
    }

    /// Deletes a token: `DELETE /tokens/{token}`.
    ///
    /// If the client cached the token, it drops it from memory and from the store, even if the call fails and
    /// [is ambiguous](Error::is_ambiguous). It does not load the token from a store again, because it remembers the last thousand dropped tokens.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the token cannot be part of a path.
    /// - [`is_not_found`](Error::is_not_found): the account does not have the token (404, code 180). If an earlier attempt of the same
    ///   call may have deleted the token, and its response was lost, the call succeeds instead.
    /// - [`is_store`](Error::is_store): the service deleted the token, but the store failed.
    /// - [`is_timeout`](Error::is_timeout): no response in time; or the service deleted the token, but a runtime that no thread drives
    ///   holds the exchange that refreshes it.
    /// - [those of all operations](Self#errors)
    pub async fn delete_token(&self, token: &AccessToken) -> Result<(), Error> {
        let change = Change::ending(&self.tokens, token);
        let result = self.api.delete_token(token).await;
        change.deleted(result).await
    }

    fn stream<T, F>(&self, list: impl Fn(Api, PageRange) -> F + Send + 'static) -> Entries<T>
    where
        F: Future<Output = Result<Page<T>, Error>> + Send + 'static,
    {
        let api = self.api.clone();
        Entries::new(move |range| list(api.clone(), range))
    }
}

impl fmt::Debug for Oauth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oauth")
            .field("base_url", &self.api.transport.base_url)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Service for Oauth {
    type Credentials = Credentials;
}

impl Assemble for Oauth {
    type Options = Options;

    const BASE_URL: &'static str = PRODUCTION;

    fn check(credentials: &Credentials, options: &Options) -> Result<(), Error> {
        options.check()?;
        credentials.authorization().map(drop)
    }

    fn assemble(parts: Parts<Self>) -> Result<Self, Error> {
        let Parts { credentials, options, transport, store } = parts;
        let clock = transport.clock.clone();
        let api = Api { authorization: credentials.authorization()?, transport };
        let tokens = Managed::new(Cache::new(Tokens::new(api.clone(), &credentials, options), store, clock));
        Ok(Self { credentials: Arc::new(credentials), api, tokens })
    }
}

managed_methods! {
    Oauth,
    /// Sets the header `Authorization` of a request to a service of the vendor.
    ///
    /// The client works out the scope from the method and the URL, and gets the token as [`token`](Self::token) does.
    /// [`Builder::scopes`](crate::Builder::scopes) limits which requests get a token, and for which scope. Without it, the scope has
    /// only the first segment of the path.
    ///
    /// ```no_run
    /// # async fn run(oauth: gettone::openapi::v2::Oauth) -> Result<(), Box<dyn std::error::Error>> {
    /// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
    /// let mut request = http.get("https://company.openapi.com/IT-start/12485671007").build()?;
    /// oauth.authorize(&mut request).await?;
    /// let response = http.execute(request).await?;
    /// # Ok(())
    /// # }
    /// ```
}

clear_method!(Oauth);
