//! Openapi.it Oauth 1.0.0: tokens, scopes, credit and counters of an account, in twelve operations.
//!
//! Facts and their sources: the vendor's page <https://developers.openapi.it/services/oauth>, as in `spec/openapi-oauth.yaml`, which
//! says what is from elsewhere. The vendor calls this version deprecated in favour of a version 2 on another host.

mod changes;
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

use super::credentials::Credentials;
use super::period::{Period, Span};
use super::ttl::Ttl;
use crate::auth::TokenHandle;
use crate::auth::builder::{Assemble, Builder, Parts, Service};
use crate::auth::managed::{Managed, managed_methods};
use crate::cache::{Cache, Which};
use crate::error::Error;
use crate::http::generated_client;
use crate::http::transport::finish;
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

pub use counters::{Counter, CounterLimit, Counters};
pub use credit::Credit;
pub(crate) use token::{ListedToken, ScopesData};
pub use token::{Token, TokenList, TokenUpdate};

generated_client!("openapi_oauth_v1");

/// A client of Openapi.it Oauth. Cheap to clone; clones share their tokens.
///
/// [`token`](Self::token), [`token_for`](Self::token_for) and [`authorize`](Self::authorize) are what a program needs: they make,
/// keep and renew tokens. The twelve operations are there for all else; what [`create_token`](Self::create_token) gives is not
/// kept.
///
/// ```no_run
/// use gettone::ScopeSet;
/// use gettone::openapi::{Credentials, Environment, Period, Ttl, v1::Oauth};
///
/// # async fn run() -> Result<(), gettone::Error> {
/// let oauth = Oauth::builder(Credentials::from_env()?).environment(Environment::Sandbox).build()?;
///
/// let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base", "*:comparabili.openapi.it/*"])?;
/// let created = oauth.create_token(&scopes, Ttl::days(30)?).await?;
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
/// The same for all operations, beside what each says itself:
///
/// - [`is_unauthorized`](Error::is_unauthorized): the e-mail address or the API key is wrong, or is of the other
///   environment.
/// - [`is_transient`](Error::is_transient): no connection, a timeout, a lost answer, 429, 502, 503, 504 or a maintenance page, after
///   the repeats of [`Retry`](crate::Retry).
/// - [`is_decode`](Error::is_decode): the answer is not the documented one.
/// - any other [`status`](Error::status) with the service's own [`code`](Error::code), such as 403 with 140, 160 or 280 for a
///   token that cannot be changed one by one.
#[derive(Clone)]
pub struct Oauth {
    credentials: Arc<Credentials>,
    api: Api,
    tokens: Managed<Tokens>,
}

impl Oauth {
    /// Starts to build a client.
    pub fn builder(credentials: Credentials) -> Builder<Self> {
        Builder::new(credentials)
    }

    /// A token that is good for all of these scopes now.
    ///
    /// The first call makes one, with the lifetime that the [builder](Builder::ttl) sets. Later calls for the same scopes return
    /// the same one from memory. So do calls for fewer scopes, if the token was granted each of them by its name, or a wildcard that
    /// stands for them. (A token for `/fields` does not serve a call for `/fields/country`: the service may know both as scopes.) Some
    /// minutes before the token expires the client makes the next one in the background, while calls go on with the one that is still
    /// good; nobody waits.
    ///
    /// Callers without a token wait for the same request, and share its error. After a failure the client pauses: a second or two,
    /// doubling to a minute or two; or five to ten minutes, doubling to an hour or two, if the service refused the credentials or the
    /// scopes, or if its answer cannot be read. A call during the pause sends nothing and returns the error of the last attempt,
    /// which [says so](Error::is_backing_off) and tells the [time left](Error::retry_after). A pause ends before a token that is
    /// still good. A caller that goes away cancels nothing.
    ///
    /// The token is returned before the [store](Builder::store) has kept it: call [`wait_idle`](Self::wait_idle) before the program ends.
    ///
    /// If the answer to the request for a token is lost, the client searches the account's tokens for it before it makes another
    /// one. It takes only a token that is certainly its own, see [`revoke_created`](Self::revoke_created).
    ///
    /// Who has to wait may wait for minutes, if the service answers late: the [timeout](Builder::timeout) is that of each call,
    /// of which one is enough as a rule, and eight may be needed where answers are lost; and a store may have to be waited for.
    /// Put a limit of your own around it; what was begun goes on.
    ///
    /// # Errors
    ///
    /// - [`not_granted`](Error::not_granted): the service granted less than was asked for. The token was deleted again.
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, the service takes the scopes for invalid, or there is
    ///   no tokio runtime and no token that is good.
    /// - [those of all operations](Self#errors)
    pub async fn token(&self, scopes: &ScopeSet) -> Result<AccessToken, Error> {
        self.tokens.token(scopes).await
    }

    /// A handle for a set of scopes: [`get`](TokenHandle::get) is [`token`](Self::token) without the looking up.
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

    /// Deletes the tokens that this client, or a clone of it, has made to look after and that have not expired: at the service,
    /// in memory and in the store. What [`create_token`](Self::create_token) made is not among them. Gives the number of those
    /// that were deleted.
    ///
    /// If the answer to a request for a token was lost, the client searches the account's tokens for it. It deletes only a token
    /// that is certainly its own: one with nothing but the scopes that were asked for, and with the one end that the request
    /// can have made ([`Builder::ttl`] says why there is only one). A token that cannot be told from others is left behind until its
    /// end, and so is one that the service makes more than 15 seconds after the client gave up.
    ///
    /// # Errors
    ///
    /// The first error of all; the other tokens are deleted nevertheless, and those that were not are tried again by the next
    /// call.
    ///
    /// - [`is_store`](Error::is_store): the store failed.
    /// - [those of all operations](Self#errors)
    pub async fn revoke_created(&self) -> Result<usize, Error> {
        // What is under way may be about to bring one.
        self.tokens.wait_idle().await;
        let source = self.tokens.source();
        let found = source.find_lost().await;
        let tokens = source.living();
        // First here, so that nobody is given what is about to be deleted.
        let mut result = found.and(self.tokens.cache().clear(Which::Ended(tokens.iter().cloned().collect())).await);
        let mut deleted = 0;
        for token in &tokens {
            match source.delete(token).await {
                Ok(there) => deleted += usize::from(there),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| deleted)
    }

    /// `POST /token`: makes a token. The lifetime is always said, because without one the service gives a year.
    ///
    /// The [scopes](Token::scopes) of the answer are those that were granted, expanded; they may be fewer than were asked
    /// for. For some seconds (users saw 4 to 10) a new token may be answered "Wrong Token" by the other services.
    ///
    /// Not repeated once the service may have made the token, which would be left behind. After an error that says that the
    /// call [may have been carried out](Error::is_ambiguous), look with [`tokens`](Self::list_tokens).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, or the service takes the scopes for invalid (406, code
    ///   110).
    /// - [those of all operations](Self#errors)
    pub async fn create_token(&self, scopes: &ScopeSet, ttl: Ttl) -> Result<Token, Error> {
        self.api.create_token(scopes, ttl).await.map(|(token, _)| token)
    }

    /// `GET /token`: the tokens of the account that have not expired.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_tokens(&self) -> Result<TokenList, Error> {
        self.api.list_tokens(None).await.map(|(tokens, _)| tokens)
    }

    /// `GET /token?scope=`: the tokens of the account that have not expired and that have this scope.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_tokens_with_scope(&self, scope: &Scope) -> Result<TokenList, Error> {
        self.api.list_tokens(Some(scope)).await.map(|(tokens, _)| tokens)
    }

    /// `GET /token/{token}`: one token, or `None` if the account has no such token: the service says so with 204, or with 402
    /// and code 125.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the token cannot stand in a path.
    /// - [those of all operations](Self#errors)
    pub async fn find_token(&self, token: &AccessToken) -> Result<Option<Token>, Error> {
        let client = self.api.client(&FIND_TOKEN);
        match finish(&client.inner, client.find_token(segment(&FIND_TOKEN, token)?).await) {
            Ok(answer) => only(FIND_TOKEN.operation, answer),
            // A plain 404 is not documented here: it is what a wrong address answers.
            Err(error) if error.is_not_found() && error.status() != Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `PUT /token/{token}`: gives a token other scopes and another end. The end is always said, because without one the
    /// service extends the token to a year. What is under a second is cut off.
    ///
    /// Go on with the token of the answer. If the client cached the token, it drops it from memory and from the store: what
    /// [`token`](Self::token) gives next is another one. [`revoke_created`](Self::revoke_created) still deletes it.
    ///
    /// # Errors
    ///
    /// - [`is_store`](Error::is_store): the token was changed, and the store failed.
    /// - [`is_timeout`](Error::is_timeout): also if the token was changed, and an exchange that may be about to bring it again is on a
    ///   runtime that nobody drives any more.
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, the end lies before 1970, the token cannot stand in
    ///   a path, or the service takes the scopes for invalid (406, code 270).
    /// - [`is_not_found`](Error::is_not_found): the account has no such token (404, code 170).
    /// - [those of all operations](Self#errors)
    pub async fn replace_token(
        &self,
        token: &AccessToken,
        scopes: &ScopeSet,
        expires_at: SystemTime,
    ) -> Result<Token, Error> {
        let call = &REPLACE_TOKEN;
        let expire = UnixSeconds::new(expires_at).ok_or_else(|| invalid(call, "the end lies before 1970"))?;
        let body = types::ReplaceToken { scopes: not_empty(call, scopes)?, expire: Some(expire) };
        let client = self.api.client(call);
        let segment = segment(call, token)?;
        let unanswered = self.unanswered(Which::Changed, token);
        let result = finish(&client.inner, client.replace_token(segment, &body).await);
        unanswered.answered();
        self.drop_changed(token, changed(call, result), &client.inner.timing()).await
    }

    /// `PATCH /token/{token}`: gives a token other scopes, or another lifetime, or both.
    ///
    /// Go on with the token of the answer. If the client cached the token, it drops it from memory and from the store: what
    /// [`token`](Self::token) gives next is another one. [`revoke_created`](Self::revoke_created) still deletes it.
    ///
    /// # Errors
    ///
    /// - [`is_store`](Error::is_store): the token was changed, and the store failed.
    /// - [`is_timeout`](Error::is_timeout): also if the token was changed, and an exchange that may be about to bring it again is on a
    ///   runtime that nobody drives any more.
    /// - [`is_invalid_input`](Error::is_invalid_input): there is nothing to change, the set is empty, the token cannot stand
    ///   in a path, or the service takes the request for invalid (406, code 310).
    /// - [`is_not_found`](Error::is_not_found): the account has no such token (404, code 290).
    /// - [those of all operations](Self#errors)
    pub async fn update_token(&self, token: &AccessToken, update: TokenUpdate) -> Result<Token, Error> {
        let call = &UPDATE_TOKEN;
        if update.is_empty() {
            return Err(invalid(call, "nothing to change; give scopes or a ttl"));
        }
        let scopes = update.scopes.as_ref().map(|scopes| not_empty(call, scopes)).transpose()?;
        let body = types::UpdateToken { scopes: scopes.unwrap_or_default(), ttl: update.ttl, expire: None };
        let client = self.api.client(call);
        let segment = segment(call, token)?;
        let unanswered = self.unanswered(Which::Changed, token);
        let result = finish(&client.inner, client.update_token(segment, &body).await);
        unanswered.answered();
        self.drop_changed(token, changed(call, result), &client.inner.timing()).await
    }

    /// `DELETE /token/{token}`: deletes a token, whatever is left of its life. If the client looks after it, it is dropped from
    /// memory and from the store too, also where the call fails and [may have been carried
    /// out](Error::is_ambiguous). The client takes it from no store again, as long as no
    /// thousand others ended after it.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the token cannot stand in a path.
    /// - [`is_not_found`](Error::is_not_found): the account has no such token (404, code 150). Not if an earlier attempt of the
    ///   same call, whose answer was lost, may have deleted it.
    /// - [`is_store`](Error::is_store): the token was deleted, and the store failed.
    /// - [`is_timeout`](Error::is_timeout): also if it was deleted, and an exchange that was renewing it is on a runtime that nobody
    ///   drives any more.
    /// - [those of all operations](Self#errors)
    pub async fn delete_token(&self, token: &AccessToken) -> Result<(), Error> {
        let unanswered = self.unanswered(Which::Ended, token);
        let result = self.api.delete_token(token).await;
        unanswered.answered();
        self.drop_deleted(token, result).await
    }

    /// `GET /scopes`: the scopes for which tokens were requested and which so belong to the account, in the service's order,
    /// possibly with duplicates.
    ///
    /// # Errors
    ///
    /// [Those of all operations](Self#errors).
    pub async fn list_scopes(&self) -> Result<ScopeList, Error> {
        self.api.list_scopes().await
    }

    /// `GET /credit`: what is left to spend, in euro.
    ///
    /// # Errors
    ///
    /// - [`is_not_found`](Error::is_not_found): the account has no credit record (404, code 320).
    /// - [those of all operations](Self#errors)
    pub async fn credit(&self) -> Result<Credit, Error> {
        let client = self.api.client(&GET_CREDIT);
        let answer = finish(&client.inner, client.get_credit().await)?;
        answer.map(|answer| answer.data.0).ok_or_else(|| Error::no_content(GET_CREDIT.operation))
    }

    /// `GET /counters/…`: what was called in a period, scope by scope. By which time zone the service has its days is not
    /// documented.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the service takes the date for invalid (404, code 610), which a [`Period`]
    ///   gives it no reason for.
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
        let answer = finish(&client.inner, result)?;
        answer.map(|answer| answer.data.0).ok_or_else(|| Error::no_content(call.operation))
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
        if options.scopes.as_ref().is_some_and(ScopeSet::is_empty) {
            return Err(Error::invalid_input("scopes: an empty set, which covers no request"));
        }
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
    /// Sets the header `Authorization` of a request to one of the vendor's services.
    ///
    /// The client works out the scope from the method and the URL, and gets the token as [`token`](Self::token) does.
    /// [`Builder::scopes`](crate::Builder::scopes) says by which rule it picks the token, and which requests it refuses. Without that
    /// setting the scope has only the first segment of the path. A few endpoints have two, such as
    /// `POST:test.postontarget.com/fields/country`: name them there.
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
