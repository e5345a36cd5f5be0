//! The twelve operations: how the client calls each, reads its failures, and decides what to retry.

use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use super::generated::{Client, types};
use super::token::{Token, TokenList};
use crate::error::{Error, Kind, Operation};
use crate::http::body::Received;
use crate::http::response::{Failure, ResponseRules};
use crate::http::retry::RetrySafety;
use crate::http::secrets::SecretParts;
use crate::http::transport::{Call, Dispatch, Timing, Transport, finish, path_segment};
use crate::openapi::NO_SCOPES;
use crate::openapi::ttl::Ttl;
use crate::scope::{Scope, ScopeList, ScopePattern, ScopeSet};
use crate::token::AccessToken;

/// The name of the service in errors and events.
const SERVICE: &str = "Openapi.it Oauth";

const fn call(id: &'static str, rules: &'static ResponseRules, safety: RetrySafety) -> Call {
    Call { operation: Operation { service: SERVICE, name: id }, id, rules, safety, secrets: SECRETS }
}

pub(super) const CREATE_TOKEN: Call = call("create_token", FLAT, RetrySafety::AtMostOnce);
pub(super) const LIST_TOKENS: Call = call("list_tokens", PLAIN, RetrySafety::Idempotent);
pub(super) const FIND_TOKEN: Call = call("find_token", ONE_TOKEN, RetrySafety::Idempotent);
pub(super) const REPLACE_TOKEN: Call = call("replace_token", PLAIN, RetrySafety::Repeatable);
pub(super) const UPDATE_TOKEN: Call = call("update_token", PLAIN, RetrySafety::Repeatable);
pub(super) const DELETE_TOKEN: Call = call("delete_token", FLAT, RetrySafety::Idempotent);
pub(super) const LIST_SCOPES: Call = call("list_scopes", PLAIN, RetrySafety::Idempotent);
pub(super) const GET_CREDIT: Call = call("get_credit", PLAIN, RetrySafety::Idempotent);
pub(super) const COUNTERS_TOTAL: Call = call("counters_total", PLAIN, RetrySafety::Idempotent);
pub(super) const COUNTERS_YEAR: Call = call("counters_year", COUNTERS, RetrySafety::Idempotent);
pub(super) const COUNTERS_MONTH: Call = call("counters_month", COUNTERS, RetrySafety::Idempotent);
pub(super) const COUNTERS_DAY: Call = call("counters_day", COUNTERS, RetrySafety::Idempotent);

const SECRETS: &SecretParts = &SecretParts { after: Some("/token/"), fields: &[] };

const PLAIN: &ResponseRules = &ResponseRules { codes: CODES, ..ResponseRules::HTTP };

/// A response without `data`.
const FLAT: &ResponseRules = &ResponseRules { is_flat: true, ..*PLAIN };

/// 402 with code 125 means that the account does not have the token.
const ONE_TOKEN: &ResponseRules = &ResponseRules { classify: classify_one_token, ..*PLAIN };

/// 404 with code 610 means that the date is malformed.
const COUNTERS: &ResponseRules = &ResponseRules { classify: classify_counters, ..*PLAIN };

fn classify_one_token(failure: &Failure<'_>) -> Option<Kind> {
    ((failure.status, failure.code) == (StatusCode::PAYMENT_REQUIRED, Some("125"))).then_some(Kind::NotFound)
}

fn classify_counters(failure: &Failure<'_>) -> Option<Kind> {
    ((failure.status, failure.code) == (StatusCode::NOT_FOUND, Some("610"))).then_some(Kind::Rejected)
}

const CODES: &[(&str, StatusCode)] = &[
    ("110", StatusCode::NOT_ACCEPTABLE),
    ("125", StatusCode::PAYMENT_REQUIRED),
    ("140", StatusCode::FORBIDDEN),
    ("150", StatusCode::NOT_FOUND),
    ("160", StatusCode::FORBIDDEN),
    ("170", StatusCode::NOT_FOUND),
    ("270", StatusCode::NOT_ACCEPTABLE),
    ("280", StatusCode::FORBIDDEN),
    ("290", StatusCode::NOT_FOUND),
    ("310", StatusCode::NOT_ACCEPTABLE),
    ("320", StatusCode::NOT_FOUND),
    ("610", StatusCode::NOT_FOUND),
];

/// The calls of a client. All authenticate with the account's e-mail address and API key.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) transport: Arc<Transport>,
    pub(super) authorization: HeaderValue,
}

impl Api {
    pub(super) fn client(&self, call: &'static Call) -> Client {
        let Transport { base_url, http, .. } = &*self.transport;
        let dispatch = Dispatch::new(&self.transport, call, Some(self.authorization.clone()));
        Client::new_with_client(base_url, http.clone(), dispatch)
    }

    pub(super) async fn create_token(&self, scopes: &ScopeSet, ttl: Ttl) -> Result<(Token, Timing), Error> {
        let scopes = not_empty(&CREATE_TOKEN, scopes)?;
        let body = types::CreateToken { scopes, ttl: Some(ttl), expire: None };
        let client = self.client(&CREATE_TOKEN);
        let created = finish(&client.inner, client.create_token(&body).await)?;
        let Received(token) = created.ok_or_else(|| Error::no_content(CREATE_TOKEN.operation))?;
        Ok((token, client.inner.timing()))
    }

    pub(super) async fn list_tokens(&self, scope: Option<&Scope>) -> Result<(TokenList, Timing), Error> {
        let client = self.client(&LIST_TOKENS);
        let response = finish(&client.inner, client.list_tokens(scope.map(Scope::as_str)).await)?;
        Ok((tokens_of(response), client.inner.timing()))
    }

    pub(super) async fn list_scopes(&self) -> Result<ScopeList, Error> {
        let client = self.client(&LIST_SCOPES);
        let response = finish(&client.inner, client.list_scopes().await)?;
        response.map(|response| response.data.0.into()).ok_or_else(|| Error::no_content(LIST_SCOPES.operation))
    }

    pub(super) async fn delete_token(&self, token: &AccessToken) -> Result<(), Error> {
        let client = self.client(&DELETE_TOKEN);
        match finish(&client.inner, client.delete_token(segment(&DELETE_TOKEN, token)?).await) {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) && error.is_after_uncertain_attempt() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Returns whether an error is the service's own "Missing Token", and not the 404 of a wrong address or a gateway.
pub(super) fn is_missing(error: &Error) -> bool {
    error.is_not_found() && error.code().is_some()
}

pub(super) fn tokens_of(response: Option<types::TokenAnswer>) -> TokenList {
    response.into_iter().flat_map(|response| response.data).map(|Received(entry)| entry).collect()
}

/// Returns the token of a response about one token, which is an array too.
pub(super) fn only(operation: Operation, response: Option<types::TokenAnswer>) -> Result<Option<Token>, Error> {
    let tokens = tokens_of(response);
    match (tokens.as_slice().first(), tokens.unrecognized()) {
        (None, [_, ..]) => {
            Err(Error::decode("a token that cannot be read").with_operation(operation).with_status(StatusCode::OK))
        }
        (token, _) => Ok(token.cloned()),
    }
}

/// Returns the token of the response to a change.
pub(super) fn changed(call: &Call, result: Result<Option<types::TokenAnswer>, Error>) -> Result<Token, Error> {
    only(call.operation, result?)?.ok_or_else(|| Error::no_content(call.operation))
}

pub(super) fn invalid(call: &Call, reason: &str) -> Error {
    Error::invalid_input(reason).with_operation(call.operation)
}

pub(super) fn not_empty(call: &Call, scopes: &ScopeSet) -> Result<Vec<ScopePattern>, Error> {
    if scopes.is_empty() { Err(invalid(call, NO_SCOPES)) } else { Ok(scopes.iter().cloned().collect()) }
}

pub(super) fn segment<'a>(call: &Call, token: &'a AccessToken) -> Result<&'a str, Error> {
    path_segment("token", token.expose()).map_err(|error| error.with_operation(call.operation))
}

#[cfg(test)]
#[test]
fn the_codes_are_those_of_the_spec() {
    let known = CODES.iter().map(|(code, status)| (*code, status.as_str())).collect();
    assert_eq!(crate::openapi::documented_codes(include_str!("../../../spec/openapi-oauth-v1.yaml")), known);
}
