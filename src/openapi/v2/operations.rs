//! The operations: how the client calls each, reads its failures, and decides what to retry.

use std::sync::Arc;

use progenitor_client::ResponseValue;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::envelope::{Entry, Many, One};
use super::generated::{Client, types};
use super::limits::TokenLimits;
use super::page::{Page, PageRange};
use super::scopes::UserScope;
use super::token::Token;
use crate::error::{Error, Kind, Operation};
use crate::http::body::Received;
use crate::http::response::{Failure, ResponseRules};
use crate::http::retry::RetrySafety;
use crate::http::secrets::SecretParts;
use crate::http::transport::{Call, Dispatch, Timing, Transport, finish, finish_or, path_segment};
use crate::openapi::ttl::Ttl;
use crate::scope::Scope;
use crate::token::{AccessToken, RefreshToken};

/// The name of the service in errors and events.
const SERVICE: &str = "Openapi.it Oauth v2";

const fn call(id: &'static str, safety: RetrySafety) -> Call {
    Call { operation: Operation { service: SERVICE, name: id }, id, rules: RULES, safety, secrets: SECRETS }
}

pub(super) const CREATE_TOKEN: Call = call("create_token", RetrySafety::AtMostOnce);
pub(super) const LIST_TOKENS: Call = call("list_tokens", RetrySafety::Idempotent);
pub(super) const FIND_TOKEN: Call = call("find_token", RetrySafety::Idempotent);
pub(super) const UPDATE_TOKEN: Call = call("update_token", RetrySafety::Repeatable);
/// An update of nothing but the lifetime. Sent again, it sets the same lifetime again.
pub(super) const EXTEND_TOKEN: Call = call("update_token", RetrySafety::Idempotent);
/// A refresh token works once.
pub(super) const REFRESH_TOKEN: Call = Call {
    operation: Operation { service: SERVICE, name: "refresh_token" },
    rules: &ResponseRules { classify: classify_refresh, ..*RULES },
    ..call("update_token", RetrySafety::AtMostOnce)
};
pub(super) const DELETE_TOKEN: Call = call("delete_token", RetrySafety::Idempotent);
pub(super) const LIST_SCOPES: Call = call("list_scopes", RetrySafety::Idempotent);
pub(super) const GET_SCOPE: Call = call("get_scope", RetrySafety::Idempotent);
pub(super) const GET_WALLET: Call = call("get_wallet", RetrySafety::Idempotent);
pub(super) const LIST_WALLET_TRANSACTIONS: Call = call("list_wallet_transactions", RetrySafety::Idempotent);
pub(super) const LIST_ERRORS: Call = call("list_errors", RetrySafety::Idempotent);
pub(super) const LIST_CALLBACKS: Call = call("list_callbacks", RetrySafety::Idempotent);
pub(super) const GET_CALLBACK: Call = call("get_callback", RetrySafety::Idempotent);
pub(super) const GET_STATS: Call = call("get_stats", RetrySafety::Idempotent);
pub(super) const LIST_STATS_IPS: Call = call("list_stats_ips", RetrySafety::Idempotent);
pub(super) const LIST_STATS_APIS: Call = call("list_stats_apis", RetrySafety::Idempotent);
pub(super) const GET_STATS_API: Call = call("get_stats_api", RetrySafety::Idempotent);
pub(super) const LIST_SUBSCRIPTIONS: Call = call("list_subscriptions", RetrySafety::Idempotent);
pub(super) const GET_SUBSCRIPTION: Call = call("get_subscription", RetrySafety::Idempotent);

const SECRETS: &SecretParts = &SecretParts { after: Some("/tokens/"), fields: &[] };

const RULES: &ResponseRules = &ResponseRules { classify, codes: CODES, ..ResponseRules::HTTP };

/// A failed login is documented for one operation only. 403 is not documented at all.
fn classify(failure: &Failure<'_>) -> Option<Kind> {
    (failure.status == StatusCode::FORBIDDEN).then_some(Kind::Unauthorized)
}

/// The refresh token is the only credential of a refresh.
fn classify_refresh(failure: &Failure<'_>) -> Option<Kind> {
    matches!(failure.status.as_u16(), 401 | 403).then_some(Kind::InvalidGrant { credentials: false })
}

const CODES: &[(&str, StatusCode)] = &[
    ("10", StatusCode::NOT_FOUND),
    ("60", StatusCode::UNPROCESSABLE_ENTITY),
    ("70", StatusCode::UNPROCESSABLE_ENTITY),
    ("80", StatusCode::UNPROCESSABLE_ENTITY),
    ("90", StatusCode::UNPROCESSABLE_ENTITY),
    ("100", StatusCode::UNPROCESSABLE_ENTITY),
    ("110", StatusCode::UNPROCESSABLE_ENTITY),
    (NO_TOKENS, StatusCode::NOT_FOUND),
    ("130", StatusCode::UNAUTHORIZED),
    ("140", StatusCode::UNAUTHORIZED),
    ("150", StatusCode::BAD_REQUEST),
    ("160", StatusCode::NOT_FOUND),
    ("170", StatusCode::BAD_REQUEST),
    ("180", StatusCode::NOT_FOUND),
    ("190", StatusCode::BAD_REQUEST),
    (NO_CALLBACKS, StatusCode::NOT_FOUND),
    ("210", StatusCode::BAD_REQUEST),
    (NO_SUBSCRIPTIONS, StatusCode::NOT_FOUND),
    ("230", StatusCode::BAD_REQUEST),
    ("240", StatusCode::UNPROCESSABLE_ENTITY),
];

/// The codes of a 404 that means that a list is empty.
const NO_TOKENS: &str = "120";
const NO_CALLBACKS: &str = "200";
const NO_SUBSCRIPTIONS: &str = "220";

/// The calls of a client that authenticate with the account's e-mail address and API key.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) transport: Arc<Transport>,
    pub(super) authorization: HeaderValue,
}

/// The body of a request for a token.
pub(super) struct Create<'a> {
    pub(super) scopes: Vec<Scope>,
    pub(super) ttl: Ttl,
    pub(super) name: Option<&'a str>,
    pub(super) limits: Option<&'a TokenLimits>,
}

impl Api {
    pub(super) fn client(&self, call: &'static Call) -> Client {
        client(&self.transport, call, self.authorization.clone())
    }

    pub(super) async fn create_token(&self, token: Create<'_>) -> Result<(Token, Timing), Error> {
        let Create { scopes, ttl, name, limits } = token;
        // What an empty object means is not documented.
        let limits = limits.filter(|limits| **limits != TokenLimits::default()).cloned();
        let name = name.map(str::to_owned);
        let body = types::CreateToken { scopes, ttl: Some(ttl), name, limits };
        let client = self.client(&CREATE_TOKEN);
        let response = finish(&client.inner, client.create_token(&body).await);
        let response = response.map_err(|error| naming(error, &body.scopes));
        Ok((one(&CREATE_TOKEN, response)?, client.inner.timing()))
    }

    pub(super) async fn list_tokens(&self, range: PageRange) -> Result<(Page<Token>, Timing), Error> {
        let client = self.client(&LIST_TOKENS);
        let (skip, limit) = texts(range);
        let response = finish_list(&client.inner, client.list_tokens(Some(&limit), Some(&skip)).await);
        Ok((page(range, response, Some(NO_TOKENS))?, client.inner.timing()))
    }

    pub(super) async fn list_wallet_transactions(&self, range: PageRange) -> Result<Page<super::Transaction>, Error> {
        let client = self.client(&LIST_WALLET_TRANSACTIONS);
        let (skip, limit) = texts(range);
        let response = client.list_wallet_transactions(Some(&limit), Some(&skip)).await;
        page(range, finish_list(&client.inner, response), None)
    }

    pub(super) async fn list_errors(&self, scopes: &[Scope], range: PageRange) -> Result<Page<super::ErrorLog>, Error> {
        let client = self.client(&LIST_ERRORS);
        let ((skip, limit), scopes) = (texts(range), joined(scopes));
        let response = client.list_errors(Some(&limit), scopes.as_deref(), Some(&skip)).await;
        page(range, finish_list(&client.inner, response), None)
    }

    pub(super) async fn list_callbacks(
        &self,
        scopes: &[Scope],
        range: PageRange,
    ) -> Result<Page<super::Callback>, Error> {
        let client = self.client(&LIST_CALLBACKS);
        let ((skip, limit), scopes) = (texts(range), joined(scopes));
        let response = client.list_callbacks(Some(&limit), scopes.as_deref(), Some(&skip)).await;
        page(range, finish_list(&client.inner, response), Some(NO_CALLBACKS))
    }

    pub(super) async fn list_subscriptions(
        &self,
        scopes: &[Scope],
        range: PageRange,
    ) -> Result<Page<super::Subscription>, Error> {
        let client = self.client(&LIST_SUBSCRIPTIONS);
        let ((skip, limit), scopes) = (texts(range), joined(scopes));
        let response = client.list_subscriptions(Some(&limit), scopes.as_deref(), Some(&skip)).await;
        page(range, finish_list(&client.inner, response), Some(NO_SUBSCRIPTIONS))
    }

    pub(super) async fn update_token(
        &self,
        call: &'static Call,
        token: &AccessToken,
        body: &types::UpdateToken,
    ) -> Result<(Token, Timing), Error> {
        let client = self.client(call);
        let response = finish(&client.inner, client.update_token(segment(call, token)?, body).await);
        let response = response.map_err(|error| naming(error, &body.scopes));
        Ok((one(call, response)?, client.inner.timing()))
    }

    pub(super) async fn delete_token(&self, token: &AccessToken) -> Result<(), Error> {
        let client = self.client(&DELETE_TOKEN);
        match finish(&client.inner, client.delete_token(segment(&DELETE_TOKEN, token)?).await) {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) && error.is_after_uncertain_attempt() => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_scopes(&self) -> Result<Page<UserScope>, Error> {
        let client = self.client(&LIST_SCOPES);
        many(finish_list(&client.inner, client.list_scopes().await))
    }
}

/// Exchanges a refresh token for another token. It is the only credential of the request.
pub(super) async fn refresh(
    transport: &Arc<Transport>,
    token: &AccessToken,
    refresh_token: &RefreshToken,
) -> Result<(Token, Timing), Error> {
    let call = &REFRESH_TOKEN;
    if refresh_token.expose().is_empty() {
        return Err(invalid(call, "the refresh token is empty"));
    }
    let unsendable = || invalid(call, "the refresh token has a character that is not allowed in a header");
    if !is_sendable(refresh_token) {
        return Err(unsendable());
    }
    let text = Zeroizing::new(format!("Bearer {}", refresh_token.expose()));
    let mut bearer = HeaderValue::from_str(&text).map_err(|_| unsendable())?;
    bearer.set_sensitive(true);
    let client = client(transport, call, bearer);
    let response = client.update_token(segment(call, token)?, &types::UpdateToken::default()).await;
    let response = finish(&client.inner, response);
    Ok((one(call, response)?, client.inner.timing()))
}

/// Returns whether a refresh token can be sent in a header. Other characters than these might not reach the service as they are.
pub(super) fn is_sendable(refresh_token: &RefreshToken) -> bool {
    refresh_token.expose().bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns a client for one call, with the credentials of that call alone.
fn client(transport: &Arc<Transport>, call: &'static Call, credentials: HeaderValue) -> Client {
    let Transport { base_url, http, .. } = &**transport;
    Client::new_with_client(base_url, http.clone(), Dispatch::new(transport, call, Some(credentials)))
}

/// Returns the object of a response.
pub(super) fn one<T>(call: &Call, response: Result<Option<Received<One<T>>>, Error>) -> Result<T, Error> {
    response?.map(|Received(One(object))| object).ok_or_else(|| Error::no_content(call.operation))
}

/// Returns the result of a call that returns a list, in any form.
pub(super) fn finish_list<T: Entry>(
    dispatch: &Dispatch,
    result: Result<ResponseValue<Received<Many<T>>>, progenitor_client::Error<()>>,
) -> Result<Option<Received<Many<T>>>, Error> {
    finish_or(dispatch, result, |body, _| Many::in_any_form(body).map(Received))
}

/// Returns the list of a response. One without content has none.
pub(super) fn many<T: Entry>(response: Result<Option<Received<Many<T>>>, Error>) -> Result<Page<T>, Error> {
    Ok(response?.map(|Received(Many(page))| page).unwrap_or_default())
}

/// Returns a page. `empty`: the code of a 404 that means that there are no entries. Any other 404 comes from a wrong address.
fn page<T: Entry>(
    range: PageRange,
    response: Result<Option<Received<Many<T>>>, Error>,
    empty: Option<&str>,
) -> Result<Page<T>, Error> {
    match many(response) {
        Err(error) if error.is_not_found() && empty.is_some() && number(&error) == empty => Ok(Page::default()),
        result => Ok(result?.of(range)),
    }
}

/// Returns the code of an error, without the fraction that users have seen after it.
pub(super) fn number(error: &Error) -> Option<&str> {
    error.code().map(|code| code.split_once('.').map_or(code, |(number, _)| number))
}

/// Returns the values of `skip` and `limit`.
fn texts(range: PageRange) -> (String, String) {
    (range.skip().to_string(), range.limit().to_string())
}

/// Names the requested scopes in the error "Invalid scopes specified or API not enabled": the service does not say which it means.
fn naming(error: Error, scopes: &[Scope]) -> Error {
    const NAMED: usize = 10;
    if !matches!(number(&error), Some("90" | "110")) || scopes.is_empty() {
        return error;
    }
    let named: Vec<&str> = scopes.iter().take(NAMED).map(Scope::as_str).collect();
    let more = match scopes.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let said = error.message().unwrap_or("rejected").to_owned();
    error.with_message(format!("{said} (requested: {}{more})", named.join(" ")))
}

/// Returns the value of `scopes`. A comma separates them, and no scope contains one.
fn joined(scopes: &[Scope]) -> Option<String> {
    let texts: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Returns whether an error is the service's own "Not Found", and not the 404 of a wrong address or a gateway: its codes are numbers.
pub(super) fn is_missing(error: &Error) -> bool {
    error.is_not_found() && number(error).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn invalid(call: &Call, reason: &str) -> Error {
    Error::invalid_input(reason).with_operation(call.operation)
}

pub(super) fn segment<'a>(call: &Call, token: &'a AccessToken) -> Result<&'a str, Error> {
    parameter(call, "token", token.expose())
}

pub(super) fn parameter<'a>(call: &Call, what: &str, value: &'a str) -> Result<&'a str, Error> {
    path_segment(what, value).map_err(|error| error.with_operation(call.operation))
}

#[cfg(test)]
#[test]
fn the_codes_are_those_of_the_spec() {
    let known = CODES.iter().map(|(code, status)| (*code, status.as_str())).collect();
    assert_eq!(crate::openapi::documented_codes(include_str!("../../../spec/openapi-oauth-v2.yaml")), known);
}
