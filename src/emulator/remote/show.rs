//! What the interface shows: the state, requests, tokens and pending faults.

use std::collections::BTreeMap;
use std::time::SystemTime;

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;

use super::change::NewFault;
use super::{Call, Handled, answer};
use crate::clock::Clock;
use crate::emulator;
use crate::emulator::api::{Api, KELIWEB, PRODUCTION, PRODUCTION_V2, SANDBOX, SANDBOX_V2};
use crate::emulator::clock::rfc3339;
use crate::emulator::openapi::number;
use crate::emulator::record::{IssuedToken, RecordedRequest};
use crate::emulator::router::State;

/// How many requests and tokens the state has. More than fit on a screen.
const NEWEST: usize = 50;
/// How many requests are listed if the query has no `limit`.
const DEFAULT_LIMIT: usize = 1_000;

#[derive(Serialize)]
struct Everything<'a> {
    version: &'static str,
    now: String,
    ahead_seconds: f64,
    urls: BTreeMap<&'static str, String>,
    accounts: Vec<Account<'a>>,
    customers: Vec<Customer<'a>>,
    latency_seconds: f64,
    activation_delay_seconds: f64,
    granted: Option<Vec<String>>,
    faults: Vec<NewFault>,
    valid_tokens: usize,
    issued_tokens: usize,
    newest_tokens: Vec<Token>,
    counts: &'a BTreeMap<&'static str, usize>,
    newest_requests: Vec<Recorded>,
}

#[derive(Serialize)]
struct Account<'a> {
    email: &'a str,
    production_key: &'a str,
    sandbox_key: &'a str,
    production_credit: Option<Value>,
    sandbox_credit: Option<Value>,
}

#[derive(Serialize)]
struct Customer<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    username: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct Recorded {
    at: String,
    api: &'static str,
    operation: &'static str,
    method: String,
    path: String,
    user_agent: Option<String>,
    status: Option<u16>,
}

impl From<&RecordedRequest> for Recorded {
    fn from(request: &RecordedRequest) -> Self {
        Self {
            at: utc(request.at),
            api: request.api.id(),
            operation: request.operation,
            method: request.method.clone(),
            path: request.path.expose().to_owned(),
            user_agent: request.user_agent.clone(),
            status: request.status,
        }
    }
}

#[derive(Serialize)]
struct Token {
    api: &'static str,
    token: String,
    refresh_token: Option<String>,
    name: Option<String>,
    scopes: Vec<String>,
    issued_at: String,
    expires_at: String,
    is_valid: bool,
}

impl From<&IssuedToken> for Token {
    fn from(token: &IssuedToken) -> Self {
        Self {
            api: token.api.id(),
            token: token.token.expose().to_owned(),
            refresh_token: token.refresh_token.as_ref().map(|token| token.expose().to_owned()),
            name: token.name.clone(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            issued_at: utc(token.issued_at),
            expires_at: utc(token.expires_at),
            is_valid: token.is_valid,
        }
    }
}

#[derive(Serialize)]
struct Requests {
    count: usize,
    requests: Vec<Recorded>,
}

#[derive(Serialize)]
struct Tokens {
    count: usize,
    tokens: Vec<Token>,
}

#[derive(Serialize)]
struct Faults {
    faults: Vec<NewFault>,
}

/// Shows everything at a glance. Shortens what may be a token.
pub(super) fn state(call: &Call<'_>) -> Handled {
    let [] = call.query([])?;
    let clock = &call.shared.clock;
    let (now, ahead) = (clock.now(), clock.ahead());
    let state = call.shared.state();
    let issued = state.issued(now);
    let shorten = |token: &IssuedToken| {
        let token = Token::from(token);
        Token { token: shortened(&token.token), refresh_token: token.refresh_token.map(|it| shortened(&it)), ..token }
    };
    let shorten_request = |request: &RecordedRequest| {
        let request = Recorded::from(request);
        Recorded {
            path: shortened(&request.path),
            user_agent: request.user_agent.map(|agent| shortened(&agent)),
            ..request
        }
    };
    let mut valid: Vec<&IssuedToken> = issued.iter().filter(|token| token.is_valid).collect();
    valid.sort_by_key(|token| std::cmp::Reverse(token.issued_at));
    answer(&Everything {
        version: env!("CARGO_PKG_VERSION"),
        now: utc(now),
        ahead_seconds: ahead.as_secs_f64(),
        urls: urls(&call.remote.settings.base_url),
        accounts: accounts(call, &state),
        customers: customers(call),
        latency_seconds: state.latency.as_secs_f64(),
        activation_delay_seconds: state.openapi.activation_delay.as_secs_f64(),
        granted: state.openapi.granted.as_ref().map(|scopes| scopes.iter().map(ToString::to_string).collect()),
        faults: waiting(&state),
        valid_tokens: valid.len(),
        issued_tokens: issued.len(),
        newest_tokens: valid.into_iter().take(NEWEST).map(shorten).collect(),
        counts: state.record.counts(),
        newest_requests: state.record.newest_first().take(NEWEST).map(shorten_request).collect(),
    })
}

fn urls(base: &str) -> BTreeMap<&'static str, String> {
    let paths = [
        (Api::Production, PRODUCTION),
        (Api::Sandbox, SANDBOX),
        (Api::ProductionV2, PRODUCTION_V2),
        (Api::SandboxV2, SANDBOX_V2),
        (Api::Keliweb, KELIWEB),
        (Api::Echo, "/echo"),
    ];
    paths.into_iter().map(|(api, path)| (api.id(), format!("{base}{path}"))).collect()
}

fn accounts<'a>(call: &Call<'a>, state: &State) -> Vec<Account<'a>> {
    let accounts = call.remote.settings.openapi.accounts.iter();
    let shown = |(account, (production, sandbox)): (&'a emulator::Account, (Option<Decimal>, _))| Account {
        email: account.email(),
        production_key: account.production_key().expose(),
        sandbox_key: account.sandbox_key().expose(),
        production_credit: production.map(number),
        sandbox_credit: Option::map(sandbox, number),
    };
    accounts.zip(state.openapi.credits()).map(shown).collect()
}

fn customers<'a>(call: &Call<'a>) -> Vec<Customer<'a>> {
    let customers = call.remote.settings.keliweb.customers.iter();
    let shown = |customer: &'a emulator::Customer| Customer {
        client_id: customer.client_id(),
        client_secret: customer.client_secret().expose(),
        username: customer.username(),
        password: customer.password().expose(),
    };
    customers.map(shown).collect()
}

/// Lists the requests for an operation, or all of them, the oldest first. `count` includes those that are not listed.
pub(super) fn requests(call: &Call<'_>) -> Handled {
    let [operation, limit] = call.query(["operation", "limit"])?;
    let limit = match limit.as_deref().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) => limit,
        Some(Err(error)) => return Err(call.bad(format!("the parameter \"limit\": {error}; expected a whole number"))),
    };
    let state = call.shared.state();
    let is_listed = |request: &&RecordedRequest| operation.as_deref().is_none_or(|name| name == request.operation);
    let mut requests: Vec<Recorded> =
        state.record.newest_first().filter(is_listed).take(limit).map(Recorded::from).collect();
    requests.reverse();
    let count = match &operation {
        Some(operation) => state.record.count(operation),
        None => state.record.counts().values().sum(),
    };
    answer(&Requests { count, requests })
}

/// Lists the tokens of an API, or all of them, the valid ones or all of them.
pub(super) fn tokens(call: &Call<'_>) -> Handled {
    const APIS: [Api; 5] = [Api::Production, Api::Sandbox, Api::ProductionV2, Api::SandboxV2, Api::Keliweb];
    let [api, is_valid] = call.query(["api", "is_valid"])?;
    if let Some(api) = &api
        && APIS.iter().all(|known| known.id() != *api)
    {
        let known = APIS.map(Api::id).join(", ");
        return Err(call.bad(format!("the parameter \"api\" is {api:?}; expected one of {known}")));
    }
    let is_valid = match is_valid.as_deref().map(str::parse::<bool>) {
        None => None,
        Some(Ok(is_valid)) => Some(is_valid),
        Some(Err(_)) => return Err(call.bad("the parameter \"is_valid\" must be true or false")),
    };
    let issued = call.shared.state().issued(call.shared.clock.now());
    let is_listed = |token: &&IssuedToken| {
        api.as_deref().is_none_or(|api| api == token.api.id()) && is_valid.is_none_or(|valid| valid == token.is_valid)
    };
    let tokens: Vec<Token> = issued.iter().filter(is_listed).map(Token::from).collect();
    answer(&Tokens { count: tokens.len(), tokens })
}

/// Lists the faults that have not happened yet.
pub(super) fn faults(call: &Call<'_>) -> Handled {
    let [] = call.query([])?;
    let faults = waiting(&call.shared.state());
    answer(&Faults { faults })
}

fn waiting(state: &State) -> Vec<NewFault> {
    state.faults.waiting().iter().map(NewFault::from).collect()
}

/// Returns a time in UTC.
pub(super) fn utc(time: SystemTime) -> String {
    rfc3339(time, "Z")
}

/// Shortens each word that is long enough to be a token, wherever it is, to its end: the beginning of many tokens is the same.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 20;
    const KEPT: usize = 6;
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "-_.%+=~".contains(c);
    let mut shown = String::new();
    for part in text.split_inclusive(|c| !is_of_word(c)) {
        let word = part.trim_end_matches(|c| !is_of_word(c));
        if word.len() > LONGEST {
            shown.push('…');
            shown.push_str(&word[word.len() - KEPT..]);
            shown.push_str(&part[word.len()..]);
        } else {
            shown.push_str(part);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_word_is_shortened_and_others_stay() {
        for (text, expected) in [
            ("/production/token/0123456789abcdef01234567", "/production/token/…234567"),
            ("/echo/eyJ0eXAiOiJKV1QiLCJhbGciOi.eyJ.x?a=b", "/echo/….eyJ.x?a=b"),
            ("/token?scope=GET:imprese.openapi.it/base", "/token?scope=GET:imprese.openapi.it/base"),
            ("curl/7.88.1", "curl/7.88.1"),
            ("/è/ü", "/è/ü"),
            ("", ""),
        ] {
            assert_eq!(shortened(text), expected);
        }
    }
}
