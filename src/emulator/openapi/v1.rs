//! Oauth 1.0.0: the twelve operations.

use std::borrow::Cow;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::ledger::{Environment, Ledger, Token};
use super::scopes::{Rejected, Rules};
use super::settings::{ScopesResponse, Settings, UnknownTokenResponse};
use super::usage::Range;
use super::{failure, failure_with_code, number, success, unique_id};
use crate::emulator::clock::to_unix;
use crate::emulator::message::{Request, Response};
use crate::scope::ScopeSet;

/// 365 days: the longest lifetime of a token, and the default.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// Responds in one environment. `path` is the part below the environment's prefix.
pub(super) fn respond(
    environment: &mut Environment,
    request: &Request,
    path: &str,
    now: SystemTime,
    settings: &Settings,
    granted: Option<&ScopeSet>,
) -> Response {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let operation = operation(&request.method, path);
    if operation == "unknown" {
        return failure(404, "Not Found");
    }
    let Some(ledger) = environment.ledgers.iter_mut().find(|ledger| ledger.is_login(request)) else {
        return failure(401, "Wrong email or API key").with("www-authenticate", "Basic realm=\"oauth\"");
    };
    let last = segments.last().copied().unwrap_or_default();
    let parameter = percent_decode_str(last).decode_utf8_lossy();
    let rules = Rules { catalog: environment.catalog.scopes(), is_strict: settings.is_strict, granted };
    match operation {
        "create_token" => create_token(ledger, request, now, &rules),
        "list_tokens" => list_tokens(ledger, request, now),
        "find_token" => find_token(ledger, &parameter, now, settings.unknown_token),
        "replace_token" => replace_token(ledger, &parameter, request, now, &rules),
        "update_token" => update_token(ledger, &parameter, request, now, &rules),
        "delete_token" => delete_token(ledger, &parameter, now),
        "list_scopes" => list_scopes(ledger, settings.scopes_response),
        "get_credit" => get_credit(ledger),
        "counters_total" => success(&ledger.usage.counters(Range::Total, settings)),
        _ => match Range::parse(segments.get(1).copied().unwrap_or_default(), &parameter) {
            Some(range) => success(&ledger.usage.counters(range, settings)),
            None => wrong_format(operation),
        },
    }
}

/// Returns the name of the operation. `path` is the part below the environment's prefix.
pub(crate) fn operation(method: &str, path: &str) -> &'static str {
    match (method, path.split('/').skip(1).collect::<Vec<_>>().as_slice()) {
        ("POST", ["token"]) => "create_token",
        ("GET", ["token"]) => "list_tokens",
        ("GET", ["token", _]) => "find_token",
        ("PUT", ["token", _]) => "replace_token",
        ("PATCH", ["token", _]) => "update_token",
        ("DELETE", ["token", _]) => "delete_token",
        ("GET", ["scopes"]) => "list_scopes",
        ("GET", ["credit"]) => "get_credit",
        ("GET", ["counters", "total"]) => "counters_total",
        ("GET", ["counters", "day", _]) => "counters_day",
        ("GET", ["counters", "month", _]) => "counters_month",
        ("GET", ["counters", "year", _]) => "counters_year",
        _ => "unknown",
    }
}

fn wrong_format(operation: &str) -> Response {
    let example = match operation {
        "counters_year" => "2022",
        "counters_month" => "2022-01",
        _ => "2022-01-01",
    };
    let message = format!("Wrong date format for the selected range, please format the date like: {example}");
    failure_with_code(404, &message, 610)
}

/// Returns the failure for a token that is not single. Each operation has its own code for it.
fn not_single(code: u16) -> Response {
    failure_with_code(403, "Only single tokens are enabled for this method", code)
}

fn create_token(ledger: &mut Ledger, request: &Request, now: SystemTime, rules: &Rules<'_>) -> Response {
    let fields = request.json();
    let scopes = match rules.grant(fields.get("scopes")) {
        Ok(scopes) => scopes,
        Err(Rejected::Missing) => return failure_with_code(406, "missing scopes array", 110),
        Err(Rejected::Invalid) => return failure(406, "invalid scopes specified"),
    };
    let Ok(expiry) = expiry(&fields, now) else { return failure(406, "invalid ttl or expire") };
    let expire = expiry.unwrap_or_else(|| to_unix(now).saturating_add(YEAR));
    ledger.remember(&scopes);
    let text = unique_id(now);
    let token =
        Token { text: text.as_str().into(), scopes, issued_at: now, expire, is_single: true, is_deleted: false };
    let body = json!({
        "scopes": token.scopes, "expire": expire, "token": text, "success": true, "message": "", "error": null,
    });
    ledger.tokens.push(token);
    Response::json(200, &body)
}

fn list_tokens(ledger: &Ledger, request: &Request, now: SystemTime) -> Response {
    let is_filter = |(name, scope): &(Cow<'_, str>, Cow<'_, str>)| name == "scope" && !scope.is_empty();
    let wanted = form_urlencoded::parse(request.query.as_bytes()).find(is_filter);
    let has = |token: &&Token| {
        wanted.as_ref().is_none_or(|(_, scope)| token.scopes.iter().any(|known| known.as_str() == scope))
    };
    let tokens = ledger.tokens.iter().filter(|token| token.is_valid(now)).filter(has);
    let data: Vec<Value> = tokens.map(shown).collect();
    if data.is_empty() { Response::empty(204) } else { success(&data.into()) }
}

fn find_token(ledger: &Ledger, text: &str, now: SystemTime, unknown: UnknownTokenResponse) -> Response {
    let found = ledger.tokens.iter().find(|token| token.is_valid(now) && token.text.expose() == text);
    match (found, unknown) {
        (Some(token), _) => success(&json!([shown(token)])),
        (None, UnknownTokenResponse::PaymentRequired) => failure_with_code(402, "Wrong Token", 125),
        (None, UnknownTokenResponse::NoContent) => Response::empty(204),
    }
}

fn replace_token(ledger: &mut Ledger, text: &str, request: &Request, now: SystemTime, rules: &Rules<'_>) -> Response {
    let token = match changeable(ledger, text, now) {
        Ok(token) => token,
        Err(Unchangeable::Missing) => return failure_with_code(404, "Missing Token", 170),
        Err(Unchangeable::NotSingle) => return not_single(160),
    };
    let fields = request.json();
    let Ok(scopes) = rules.grant(fields.get("scopes")) else {
        return failure_with_code(406, "invalid scopes specified", 270);
    };
    // `PUT` has no `ttl`.
    let Ok(expire) = unix_seconds(fields.get("expire")) else { return failure(406, "invalid expire") };
    token.scopes.clone_from(&scopes);
    token.expire = expire.unwrap_or_else(|| to_unix(now).saturating_add(YEAR));
    let shown = json!([shown(token)]);
    ledger.remember(&scopes);
    success(&shown)
}

fn update_token(ledger: &mut Ledger, text: &str, request: &Request, now: SystemTime, rules: &Rules<'_>) -> Response {
    let token = match changeable(ledger, text, now) {
        Ok(token) => token,
        Err(Unchangeable::Missing) => return failure_with_code(404, "Missing Token", 290),
        Err(Unchangeable::NotSingle) => return not_single(280),
    };
    let fields = request.json();
    let scopes = match rules.grant(fields.get("scopes")) {
        Ok(scopes) => Some(scopes),
        Err(Rejected::Missing) => None,
        Err(Rejected::Invalid) => return failure(406, "invalid scopes specified"),
    };
    let Ok(expiry) = expiry(&fields, now) else { return failure(406, "invalid ttl or expire") };
    if scopes.is_none() && expiry.is_none() {
        return failure_with_code(406, "missing scopes array and expire", 310);
    }
    token.expire = expiry.unwrap_or(token.expire);
    if let Some(scopes) = &scopes {
        token.scopes.clone_from(scopes);
    }
    let shown = json!([shown(token)]);
    ledger.remember(&scopes.unwrap_or_default());
    success(&shown)
}

fn delete_token(ledger: &mut Ledger, text: &str, now: SystemTime) -> Response {
    match changeable(ledger, text, now) {
        Ok(token) => {
            token.is_deleted = true;
            Response::json(200, &json!({ "message": "1 deleted token", "success": true, "error": null }))
        }
        Err(Unchangeable::Missing) => failure_with_code(404, "Missing Token", 150),
        Err(Unchangeable::NotSingle) => not_single(140),
    }
}

fn list_scopes(ledger: &Ledger, form: ScopesResponse) -> Response {
    let flat = json!({ "data": ledger.granted(), "success": true, "message": "", "error": null });
    match form {
        ScopesResponse::Flat => Response::json(200, &flat),
        ScopesResponse::Nested => Response::json(200, &json!({ "data": flat })),
    }
}

fn get_credit(ledger: &Ledger) -> Response {
    let Some(credit) = ledger.usage.wallet.credit() else {
        return failure_with_code(404, "non-existent Openapi credit", 320);
    };
    success(&json!({ "credit": number(credit) }))
}

fn changeable<'a>(ledger: &'a mut Ledger, text: &str, now: SystemTime) -> Result<&'a mut Token, Unchangeable> {
    let found = ledger.tokens.iter_mut().find(|token| token.is_valid(now) && token.text.expose() == text);
    match found {
        None => Err(Unchangeable::Missing),
        Some(token) if !token.is_single => Err(Unchangeable::NotSingle),
        Some(token) => Ok(token),
    }
}

/// The reason why a token cannot be changed or deleted.
enum Unchangeable {
    Missing,
    NotSingle,
}

/// Returns the expiry that a body requests: `ttl`, or the deprecated `expire`. 0, which the vendor's SDK and samples send, counts
/// as missing.
fn expiry(fields: &serde_json::Map<String, Value>, now: SystemTime) -> Result<Option<u64>, ()> {
    match fields.get("ttl") {
        None | Some(Value::Null) => unix_seconds(fields.get("expire")),
        Some(ttl) => match ttl.as_u64() {
            Some(0) => unix_seconds(fields.get("expire")),
            Some(ttl @ 1..=YEAR) => Ok(Some(to_unix(now).saturating_add(ttl))),
            _ => Err(()),
        },
    }
}

/// Parses a time in UNIX seconds.
fn unix_seconds(value: Option<&Value>) -> Result<Option<u64>, ()> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(|seconds| (seconds > 0).then_some(seconds)).ok_or(()),
    }
}

/// Returns a token as responses show it.
fn shown(token: &Token) -> Value {
    json!({ "scopes": token.scopes, "expire": token.expire, "token": token.text.expose() })
}
