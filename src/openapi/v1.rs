//! Version 1.0.0 of Openapi.it Oauth: the client [`Oauth`], and what its twelve operations take and return.
//!
//! The vendor calls this version deprecated in favor of a version 2 on another host; the guide explains [what that
//! means](crate::guide::services). Facts are from the vendor's page <https://developers.openapi.it/services/oauth>, unless
//! `spec/openapi-oauth-v1.yaml` names another source.

mod counters;
mod credit;
mod grant;
mod ledger;
mod operations;
mod options;
mod pending;
mod reconcile;
mod source;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::StatusCode;

use super::changes::{Change, revoke_created};
use super::credentials::Credentials;
use super::options::{SharedOptions, VendorClient};
use super::period::{Period, Span};
use super::ttl::Ttl;
use crate::auth::TokenHandle;
use crate::auth::builder::{Assemble, Builder, Parts, Service};
use crate::auth::managed::{Managed, clear_method, managed_methods};
use crate::cache::Cache;
use crate::error::Error;
use crate::http::generated_client;
use crate::http::transport::{finish, finish_or};
use crate::json::UnixSeconds;
use crate::scope::{Scope, ScopeList, ScopeSet};
use crate::token::AccessToken;

use generated::types;
use operations::{
    Api, COUNTERS_DAY, COUNTERS_MONTH, COUNTERS_TOTAL, COUNTERS_YEAR, FIND_TOKEN, GET_CREDIT, REPLACE_TOKEN,
    UPDATE_TOKEN, changed, invalid, not_empty, only, segment,
};
use options::Options;
use source::Tokens;

pub(crate) use counters::Documented as DocumentedCounters;
pub use counters::{Counter, CounterLimit, Counters};
pub use credit::Credit;
pub(crate) use token::{ListedToken, ScopesData};
pub use token::{Token, TokenList, TokenUpdate};

generated_client!("openapi_oauth_v1");

/// A client of version 1 of Openapi.it Oauth. Cheap to clone; clones share their tokens.
///
/// [`authorize`](Self::authorize), [`token`](Self::token) and [`token_for`](Self::token_for) request, cache and refresh tokens: most
/// programs need nothing else. The twelve operations make one call each, and cache nothing.
///
/// ```no_run
/// use gettone::ScopeSet;
/// use gettone::openapi::{Credentials, Environment, Period, Ttl, v1::Oauth};
///
/// # async fn run() -> Result<(), gettone::Error> {
/// let oauth = Oauth::builder(Credentials::from_env()?).environment(Environment::Sandbox).build()?;
///
/// let scopes = ScopeSet::parse(["GET:test.imprese.openapi.it/base"])?;
/// let token = oauth.token(&scopes).await?; // cached
///
/// let created = oauth.create_token(&scopes, Ttl::days(30)?).await?; // not cached
/// println!("good for {} endpoints", created.scopes().len());
///
/// for (scope, counter) in &oauth.counters(Period::month(2022, 1)?).await? {
///     println!("{scope}: {} of {}", counter.requests(), counter.limit());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Every operation can return these errors, in addition to its own:
///
/// - [`is_unauthorized`](Error::is_unauthorized): the e-mail address or the API key is wrong, or belongs to the other environment.
/// - [`is_transient`](Error::is_transient): no connection, a timeout, a lost response, 429, 502, 503, 504 or a maintenance page, after
///   the attempts of [`Retry`](crate::Retry).
/// - [`is_decode`](Error::is_decode): the response is not the documented one.
/// - any other [`status`](Error::status), with the [`code`](Error::code) of the service: for example 403 with 140, 160 or 280, if the
///   token cannot be changed individually.
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
    /// - While the cached token is unexpired, the call returns it at once; the client refreshes it in the background before it expires. A
    ///   cached token for other scopes serves the call if it was granted [all of these](crate::guide::scopes).
    /// - Without a cached token, all callers wait for one request, and share its error. That may take minutes: wrap the call in a
    ///   timeout. Dropping the call cancels nothing.
    /// - After a failure the client pauses. Until the pause ends, a call sends nothing and returns the cached token, or the last error with
    ///   [`is_backing_off`](Error::is_backing_off) and the time left in [`retry_after`](Error::retry_after).
    /// - Call [`wait_idle`](Self::wait_idle) before the program ends: the client returns a token before the [store](Builder::store) has
    ///   saved it.
    ///
    /// [The guide](crate::guide::tokens) explains how long a call waits, how long the client pauses, and how it finds the token of a lost
    /// response.
    ///
    /// # Errors
    ///
    /// - [`not_granted`](Error::not_granted): the service granted less than requested. The client deletes that token.
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, the service calls the scopes invalid, or no token is cached and
    ///   the call is outside of a tokio runtime.
    /// - [`is_decode`](Error::is_decode): the service created a token that has already expired.
    /// - [those of all operations](Self#errors)
    pub async fn token(&self, scopes: &ScopeSet) -> Result<AccessToken, Error> {
        self.tokens.token(scopes).await
    }

    /// Returns a handle to the token for these scopes. Its [`get`](TokenHandle::get) does what [`token`](Self::token) does, without a lookup.
    ///
    /// ```no_run
    /// # async fn run(oauth: gettone::openapi::v1::Oauth, scopes: gettone::ScopeSet) -> Result<(), gettone::Error> {
    /// let imprese = oauth.token_for(&scopes);
    /// let token = imprese.get().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token_for(&self, scopes: &ScopeSet) -> TokenHandle {
        self.tokens.handle(scopes)
    }

    /// Deletes the unexpired tokens that this client and its clones created for the cache: at the service, in memory and in the store.
    /// Returns how many it deleted.
    ///
    /// It leaves what [`create_token`](Self::create_token) created. If the response to a request for a token was lost, the client searches
    /// the account's tokens for it. It deletes a token only if that is certainly its own: one with no other scopes than the requested ones,
    /// and with the only expiration time that the request can have set (see [`Builder::ttl`]). It leaves a token that it cannot tell from
    /// others, or that the service creates more than 15 seconds after the client gave up.
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

    /// Creates a token: `POST /token`. Always sends the lifetime, because without one the service grants a year.
    ///
    /// [`Token::scopes`] returns the granted scopes, expanded; they may be fewer than requested. For some seconds (users saw 4 to 10) the
    /// other services may respond to a new token with "Wrong Token".
    ///
    /// The client does not retry the call once the service may have created the token. After an error that
    /// [is ambiguous](Error::is_ambiguous), look for the token with [`list_tokens`](Self::list_tokens).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, or the service calls the scopes invalid (406, code 110).
    /// - [those of all operations](Self#errors)
    pub async fn create_token(&self, scopes: &ScopeSet, ttl: Ttl) -> Result<Token, Error> {
        self.api.create_token(scopes, ttl).await.map(|(token, _)| token)
    }

    /// Lists the account's unexpired tokens: `GET /token`.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_tokens(&self) -> Result<TokenList, Error> {
        self.api.list_tokens(None).await.map(|(tokens, _)| tokens)
    }

    /// Lists the account's unexpired tokens that have this scope: `GET /token?scope=`.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_tokens_with_scope(&self, scope: &Scope) -> Result<TokenList, Error> {
        self.api.list_tokens(Some(scope)).await.map(|(tokens, _)| tokens)
    }

    /// Finds a token of the account: `GET /token/{token}`. Returns `None` if the account does not have it (204, or 402 with code 125).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the token cannot be part of a path.
    /// - [those of all operations](Self#errors)
    pub async fn find_token(&self, token: &AccessToken) -> Result<Option<Token>, Error> {
        let client = self.api.client(&FIND_TOKEN);
        match finish(&client.inner, client.find_token(segment(&FIND_TOKEN, token)?).await) {
            Ok(response) => only(FIND_TOKEN.operation, response),
            // 404 is not documented here: it comes from a wrong address.
            Err(error) if error.is_not_found() && error.status() != Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the scopes and the expiration time of a token: `PUT /token/{token}`. Always sends the time, because without one the service
    /// extends the token to a year. Drops fractions of a second.
    ///
    /// Use the returned token from then on. If the client cached the old one, it drops that from memory and from the store:
    /// [`token`](Self::token) then returns another one. [`revoke_created`](Self::revoke_created) still deletes it.
    ///
    /// # Errors
    ///
    /// - [`is_store`](Error::is_store): the service changed the token, but the store failed.
    /// - [`is_timeout`](Error::is_timeout): no response in time; or the service changed the token, but a runtime that no thread drives
    ///   holds an exchange that may cache the old one again.
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, the time is before 1970, the token cannot be part of a path, or
    ///   the service calls the scopes invalid (406, code 270).
    /// - [`is_not_found`](Error::is_not_found): the account does not have the token (404, code 170).
    /// - [those of all operations](Self#errors)
    pub async fn replace_token(
        &self,
        token: &AccessToken,
        scopes: &ScopeSet,
        expires_at: SystemTime,
    ) -> Result<Token, Error> {
        let call = &REPLACE_TOKEN;
        let expire = UnixSeconds::new(expires_at).ok_or_else(|| invalid(call, "`expires_at` is before 1970"))?;
        let body = types::ReplaceToken { scopes: not_empty(call, scopes)?, expire: Some(expire) };
        let client = self.api.client(call);
        let segment = segment(call, token)?;
        let change = Change::begin(&self.tokens, token);
        let result = changed(call, finish(&client.inner, client.replace_token(segment, &body).await));
        change.changed(result.map(|token| (token, client.inner.timing()))).await
    }

    /// Changes the scopes of a token, its lifetime, or both: `PATCH /token/{token}`.
    ///
    /// Use the returned token from then on. If the client cached the old one, it drops that from memory and from the store:
    /// [`token`](Self::token) then returns another one. [`revoke_created`](Self::revoke_created) still deletes it.
    ///
    /// # Errors
    ///
    /// - [`is_store`](Error::is_store): the service changed the token, but the store failed.
    /// - [`is_timeout`](Error::is_timeout): no response in time; or the service changed the token, but a runtime that no thread drives
    ///   holds an exchange that may cache the old one again.
    /// - [`is_invalid_input`](Error::is_invalid_input): the update is empty, its set is empty, the token cannot be part of a path, or the
    ///   service calls the request invalid (406, code 310).
    /// - [`is_not_found`](Error::is_not_found): the account does not have the token (404, code 290).
    /// - [those of all operations](Self#errors)
    pub async fn update_token(&self, token: &AccessToken, update: TokenUpdate) -> Result<Token, Error> {
        let call = &UPDATE_TOKEN;
        if update.is_empty() {
            return Err(invalid(call, "nothing to change; set scopes or a ttl"));
        }
        let scopes = update.scopes.as_ref().map(|scopes| not_empty(call, scopes)).transpose()?;
        let body = types::UpdateToken { scopes: scopes.unwrap_or_default(), ttl: update.ttl, expire: None };
        let client = self.api.client(call);
        let segment = segment(call, token)?;
        let change = Change::begin(&self.tokens, token);
        let result = changed(call, finish(&client.inner, client.update_token(segment, &body).await));
        change.changed(result.map(|token| (token, client.inner.timing()))).await
    }

    /// Deletes a token: `DELETE /token/{token}`.
    ///
    /// If the client cached the token, it drops it from memory and from the store, even if the call fails and
    /// [is ambiguous](Error::is_ambiguous). It does not load the token from a store again, because it remembers the last thousand dropped tokens.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the token cannot be part of a path.
    /// - [`is_not_found`](Error::is_not_found): the account does not have the token (404, code 150). If an earlier attempt of the same
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

    /// Lists the scopes of the account, for which tokens were requested: `GET /scopes`. Keeps the order and the duplicates of the service.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_scopes(&self) -> Result<ScopeList, Error> {
        self.api.list_scopes().await
    }

    /// Returns what the account has left to spend, in euro: `GET /credit`.
    ///
    /// # Errors
    ///
    /// - [`is_not_found`](Error::is_not_found): the account has no credit record (404, code 320).
    /// - [those of all operations](Self#errors)
    pub async fn credit(&self) -> Result<Credit, Error> {
        let client = self.api.client(&GET_CREDIT);
        let response = finish(&client.inner, client.get_credit().await)?;
        response.map(|response| response.data.0).ok_or_else(|| Error::no_content(GET_CREDIT.operation))
    }

    /// Returns the number of calls in a period for each scope: `GET /counters/…`. The vendor does not document the time zone of its days.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the service calls the date malformed (404, code 610). No [`Period`] gives it a
    ///   reason to.
    /// - [those of all operations](Self#errors)
    pub async fn counters(&self, period: Period) -> Result<Counters, Error> {
        let value = period.to_string();
        let call = match period.span() {
            Span::Total => &COUNTERS_TOTAL,
            Span::Year => &COUNTERS_YEAR,
            Span::Month => &COUNTERS_MONTH,
            Span::Day => &COUNTERS_DAY,
        };
        let client = self.api.client(call);
        let result = match period.span() {
            Span::Total => client.counters_total().await,
            Span::Year => client.counters_year(&value).await,
            Span::Month => client.counters_month(&value).await,
            Span::Day => client.counters_day(&value).await,
        };
        let response = finish_or(&client.inner, result, |body, _| counters::in_any_form(body))?;
        response.map(|response| response.data.0.0).ok_or_else(|| Error::no_content(call.operation))
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

    const BASE_URL: &'static str = "https://oauth.openapi.it";

    fn check(credentials: &Credentials, options: &Options) -> Result<(), Error> {
        options.shared.check()?;
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

impl VendorClient for Oauth {
    const SANDBOX_URL: &'static str = "https://test.oauth.openapi.it";

    fn shared_mut(options: &mut Options) -> &mut SharedOptions {
        &mut options.shared
    }
}

managed_methods! {
    Oauth,
    /// Sets the header `Authorization` of a request to a service of the vendor.
    ///
    /// The client works out the scope from the method and the URL, and gets the token as [`token`](Self::token) does.
    /// [`Builder::scopes`](crate::Builder::scopes) limits which requests get a token, and for which scope. Without it, the scope has
    /// only the first segment of the path. Set it for the few endpoints with two segments, such as
    /// `POST:test.postontarget.com/fields/country`.
    ///
    /// ```no_run
    /// # async fn run(oauth: gettone::openapi::v1::Oauth) -> Result<(), Box<dyn std::error::Error>> {
    /// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
    /// let mut request = http.get("https://imprese.openapi.it/base/12345670124").build()?;
    /// oauth.authorize(&mut request).await?;
    /// let response = http.execute(request).await?;
    /// # Ok(())
    /// # }
    /// ```
}

clear_method!(Oauth);
