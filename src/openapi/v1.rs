//! Openapi.it Oauth 1.0.0: tokens, scopes, credit and counters of an account, in twelve operations.
//!
//! Facts and their sources: the vendor's page <https://developers.openapi.it/services/oauth>, as in `spec/openapi-oauth.yaml`, which
//! says what is from elsewhere. The vendor calls this version deprecated in favour of a version 2 on another host.

mod counters;
mod credit;
mod lost;
mod managed;
mod requests;
mod source;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use progenitor_client::{ClientHooks, OperationInfo};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use crate::answer::{Asked, Dialect};
use crate::builder::{Builder, Parts, Service, sealed};
use crate::cache::{Cache, Which};
use crate::error::{Error, Operation};
use crate::generated::Received;
use crate::generated::openapi_oauth::{Client, types};
use crate::retry::Repeat;
use crate::token::UnixSeconds;
use crate::transport::{Call, Shared, Stamp, Wire, basic, finish, path_segment};
use crate::{AccessToken, Scope, ScopeList, ScopeSet};

use super::period::Span;
use super::{Credentials, Environment, Period, Ttl};

pub use counters::{Counter, CounterLimit, Counters};
pub use credit::Credit;
use managed::Options;
pub use managed::TokenHandle;
use source::Tokens;
pub(crate) use token::{ListedToken, ScopesData};
pub use token::{Token, TokenList, TokenUpdate};

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
    tokens: Cache<Tokens>,
}

impl Builder<Oauth> {
    /// Production or sandbox. Default: production.
    #[must_use]
    pub fn environment(self, environment: Environment) -> Self {
        self.default_base_url(match environment {
            Environment::Production => "https://oauth.openapi.it",
            Environment::Sandbox => "https://test.oauth.openapi.it",
        })
    }
}

impl Oauth {
    /// Starts to build a client.
    pub fn builder(credentials: Credentials) -> Builder<Self> {
        Builder::new(credentials)
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
        let client = self.api.client(FIND_TOKEN);
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
        let call = REPLACE_TOKEN;
        let expire = UnixSeconds::new(expires_at).ok_or_else(|| invalid(&call, "the end lies before 1970"))?;
        let body = types::ReplaceToken { scopes: not_empty(&call, scopes)?, expire: Some(expire) };
        let client = self.api.client(call);
        let segment = segment(&call, token)?;
        let unanswered = self.unanswered(Which::Changed, token);
        let result = finish(&client.inner, client.replace_token(segment, &body).await);
        unanswered.answered();
        self.drop_changed(token, changed(call, result), &client.inner.stamp()).await
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
        let call = UPDATE_TOKEN;
        if update.is_empty() {
            return Err(invalid(&call, "nothing to change; give scopes or a ttl"));
        }
        let scopes = update.scopes.as_ref().map(|scopes| not_empty(&call, scopes)).transpose()?;
        let body = types::UpdateToken { scopes: scopes.unwrap_or_default(), ttl: update.ttl, expire: None };
        let client = self.api.client(call);
        let segment = segment(&call, token)?;
        let unanswered = self.unanswered(Which::Changed, token);
        let result = finish(&client.inner, client.update_token(segment, &body).await);
        unanswered.answered();
        self.drop_changed(token, changed(call, result), &client.inner.stamp()).await
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
        let client = self.api.client(GET_CREDIT);
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
            Span::Total => COUNTERS_TOTAL,
            Span::Year => COUNTERS_YEAR,
            Span::Month => COUNTERS_MONTH,
            Span::Day => COUNTERS_DAY,
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

/// What is called in more than one place, and how.
#[derive(Clone)]
struct Api(Arc<Shared>);

impl Api {
    fn client(&self, call: Call) -> Client {
        Client::new_with_client(&self.0.base_url, self.0.http.clone(), Wire::new(&self.0, call))
    }

    async fn create_token(&self, scopes: &ScopeSet, ttl: Ttl) -> Result<(Token, Stamp), Error> {
        let scopes = not_empty(&CREATE_TOKEN, scopes)?;
        let body = types::CreateToken { scopes, ttl: Some(ttl), expire: None };
        let client = self.client(CREATE_TOKEN);
        let created = finish(&client.inner, client.create_token(&body).await)?;
        let Received(token) = created.ok_or_else(|| Error::no_content(CREATE_TOKEN.operation))?;
        Ok((token, client.inner.stamp()))
    }

    async fn list_tokens(&self, scope: Option<&Scope>) -> Result<(TokenList, Stamp), Error> {
        let client = self.client(LIST_TOKENS);
        let answer = finish(&client.inner, client.list_tokens(scope.map(Scope::as_str)).await)?;
        Ok((tokens_of(answer), client.inner.stamp()))
    }

    async fn list_scopes(&self) -> Result<ScopeList, Error> {
        let client = self.client(LIST_SCOPES);
        let answer = finish(&client.inner, client.list_scopes().await)?;
        answer.map(|answer| answer.data.0.into()).ok_or_else(|| Error::no_content(LIST_SCOPES.operation))
    }

    async fn delete_token(&self, token: &AccessToken) -> Result<(), Error> {
        let client = self.client(DELETE_TOKEN);
        match finish(&client.inner, client.delete_token(segment(&DELETE_TOKEN, token)?).await) {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) && error.is_after_uncertain_attempt() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether it is the service's own "Missing Token", and not the 404 of a wrong address or a gateway.
fn is_missing(error: &Error) -> bool {
    error.is_not_found() && error.code().is_some()
}

fn tokens_of(answer: Option<types::TokenAnswer>) -> TokenList {
    answer.into_iter().flat_map(|answer| answer.data).map(|Received(entry)| entry).collect()
}

/// Also GET, PUT and PATCH of one token answer with an array.
fn only(operation: Operation, answer: Option<types::TokenAnswer>) -> Result<Option<Token>, Error> {
    let tokens = tokens_of(answer);
    match (tokens.first(), tokens.unrecognized()) {
        (None, [_, ..]) => {
            Err(Error::decode("a token that cannot be read").with_operation(operation).with_status(StatusCode::OK))
        }
        (token, _) => Ok(token.cloned()),
    }
}

/// The answer to a change of one token.
fn changed(call: Call, result: Result<Option<types::TokenAnswer>, Error>) -> Result<Token, Error> {
    only(call.operation, result?)?.ok_or_else(|| Error::no_content(call.operation))
}

fn invalid(call: &Call, reason: &str) -> Error {
    Error::invalid_input(reason).with_operation(call.operation)
}

fn not_empty(call: &Call, scopes: &ScopeSet) -> Result<Vec<crate::ScopePattern>, Error> {
    if scopes.is_empty() { Err(invalid(call, "no scopes")) } else { Ok(scopes.iter().cloned().collect()) }
}

fn segment<'a>(call: &Call, token: &'a AccessToken) -> Result<&'a str, Error> {
    path_segment("token", token.expose()).map_err(|error| error.with_operation(call.operation))
}

impl fmt::Debug for Oauth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oauth")
            .field("base_url", &self.api.0.base_url)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

const SERVICE: &str = "Openapi.it Oauth";

const fn call(id: &'static str, asked: Asked, repeat: Repeat) -> Call {
    Call { operation: Operation { service: SERVICE, name: id }, id, dialect: Dialect::Envelope(asked), repeat }
}

const CREATE_TOKEN: Call = call("create_token", Asked::Flat, Repeat::OnlyIfNotProcessed);
const LIST_TOKENS: Call = call("list_tokens", Asked::Other, Repeat::Harmless);
const FIND_TOKEN: Call = call("find_token", Asked::Token, Repeat::Harmless);
const REPLACE_TOKEN: Call = call("replace_token", Asked::Other, Repeat::UnlessLost);
const UPDATE_TOKEN: Call = call("update_token", Asked::Other, Repeat::UnlessLost);
const DELETE_TOKEN: Call = call("delete_token", Asked::Flat, Repeat::Harmless);
const LIST_SCOPES: Call = call("list_scopes", Asked::Other, Repeat::Harmless);
const GET_CREDIT: Call = call("get_credit", Asked::Other, Repeat::Harmless);
const COUNTERS_TOTAL: Call = call("counters_total", Asked::Other, Repeat::Harmless);
const COUNTERS_YEAR: Call = call("counters_year", Asked::Counters, Repeat::Harmless);
const COUNTERS_MONTH: Call = call("counters_month", Asked::Counters, Repeat::Harmless);
const COUNTERS_DAY: Call = call("counters_day", Asked::Counters, Repeat::Harmless);

impl Service for Oauth {
    type Credentials = Credentials;
}

impl sealed::Sealed for Oauth {
    type Options = Options;

    const BASE_URL: &'static str = "https://oauth.openapi.it";

    fn check(options: &Options) -> Result<(), Error> {
        match options.scopes.as_ref().is_some_and(ScopeSet::is_empty) {
            true => Err(Error::invalid_input("scopes: an empty set, which covers no request")),
            false => Ok(()),
        }
    }

    fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, Error> {
        let refuse = |reason| Err(Error::invalid_input(format!("Openapi.it credentials: {reason}")));
        let Credentials { email, api_key } = credentials;
        if email.is_empty() || api_key.expose().is_empty() {
            return refuse("the e-mail address or the API key is empty");
        }
        // The first colon ends the user name (RFC 7617, section 2).
        if email.contains(':') {
            return refuse("a colon in the e-mail address, which HTTP Basic does not allow");
        }
        if email.chars().chain(api_key.expose().chars()).any(char::is_control) {
            return refuse("a line break or another control character");
        }
        Ok(basic(email, api_key.expose()))
    }

    fn assemble(parts: Parts<Self>) -> Self {
        let Parts { credentials, options, shared, store } = parts;
        let (clock, api) = (Arc::clone(&shared.clock), Api(shared));
        let tokens = Cache::new(Tokens::new(api.clone(), &credentials, options), store, clock);
        Self { credentials: Arc::new(credentials), api, tokens }
    }
}

impl ClientHooks<Wire> for Client {
    fn exec(
        &self,
        request: reqwest::Request,
        info: &OperationInfo,
    ) -> impl Future<Output = reqwest::Result<reqwest::Response>> {
        self.inner.exec(request, info.operation_id)
    }
}
