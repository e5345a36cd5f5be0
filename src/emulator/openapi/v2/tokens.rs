//! Creates, lists, changes, refreshes and deletes tokens.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::Call;
use super::answer::{Failure, data};
use super::limits::Limits;
use super::page::Page;
use super::scopes::{self, Rejected};
use super::token::Token;
use crate::emulator::message::Response;
use crate::emulator::openapi::figures::Figures;
use crate::emulator::openapi::ledger::{self, Ledger};
use crate::emulator::openapi::settings::TokenEnvelope;
use crate::emulator::openapi::unique_id;
use crate::secret::Secret;

/// 365 days: the longest lifetime of a token.
const YEAR: u64 = 365 * 24 * 60 * 60;
/// 30 days.
const DEFAULT_LIFETIME: u64 = 30 * 24 * 60 * 60;

const INVALID_NAME: Failure = Failure::new(422, None, "invalid name");
const INVALID_TTL: Failure = Failure::new(422, None, "invalid ttl");
const INVALID_LIMITS: Failure = Failure::new(422, None, "invalid limits");
const INVALID_PAGE: Failure = Failure::new(422, None, "invalid limit or skip");

pub(super) fn create(ledger: &mut Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let fields = call.request.json();
    let scopes = scopes::grant(fields.get("scopes"), call).map_err(|rejected| match rejected {
        Rejected::Missing => Failure::coded(422, 70, "missing scopes array"),
        Rejected::Malformed => Failure::coded(422, 80, "invalid scopes format"),
        Rejected::Unavailable => Failure::coded(422, 90, "Invalid scopes specified or API not enabled"),
    })?;
    let wanted = Wanted::parse(&fields)?;
    let mut token = new_token(scopes, call.now);
    token.expire_after(wanted.ttl.unwrap_or(DEFAULT_LIFETIME), call.now);
    token.name = wanted.name;
    token.limits = wanted.limits.unwrap_or_default();
    let response = shown(&token, false, call);
    ledger.v2.add(token);
    Ok(response)
}

pub(super) fn list(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let page = Page::parse(call, INVALID_PAGE)?;
    let envelope = call.settings.token_envelope;
    let tokens = page.of(ledger.v2.valid(call.now)).map(|token| Value::Object(token.shown(offset(envelope))));
    let tokens: Value = tokens.collect::<Vec<_>>().into();
    Ok(match envelope {
        TokenEnvelope::Flat => data(&tokens),
        TokenEnvelope::Wrapped => wrapped(&tokens),
    })
}

pub(super) fn find(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let text = &call.parameter;
    if text.len() != 24 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::coded(422, 60, "Invalid Token Format"));
    }
    let found = ledger.v2.find(text).filter(|token| token.base.is_valid(call.now));
    found.map(|token| shown(token, false, call)).ok_or(Failure::coded(404, 120, "Not Found"))
}

/// Changes a token for a caller with the account's key.
pub(super) fn update(ledger: &mut Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let token = valid(ledger, call, no_such_token(call))?;
    let fields = call.request.json();
    let scopes = match fields.get("scopes") {
        None | Some(Value::Null) => None,
        scopes => Some(scopes::grant(scopes, call).map_err(|rejected| match rejected {
            Rejected::Missing | Rejected::Malformed => Failure::coded(422, 100, "invalid scopes format"),
            Rejected::Unavailable => Failure::coded(422, 110, "Invalid scopes specified or API not enabled"),
        })?),
    };
    let wanted = Wanted::parse(&fields)?;
    if let Some(scopes) = scopes {
        token.base.scopes = scopes;
    }
    if let Some(ttl) = wanted.ttl {
        token.expire_after(ttl, call.now);
    }
    if let Some(limits) = wanted.limits {
        token.limits = limits;
    }
    token.name = wanted.name.or(token.name.take());
    token.updated_at = call.now;
    Ok(shown(token, false, call))
}

/// Replaces a token for a caller with its refresh token. Ends the old one, and ignores what the body asks for.
pub(super) fn refresh(ledger: &mut Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let old = valid(ledger, call, no_such_token(call))?;
    if call.request.bearer().map(Secret::from).as_ref() != Some(&old.refresh) {
        return Err(Failure::coded(401, 130, "Unauthorized"));
    }
    old.base.is_deleted = true;
    let mut token = new_token(old.base.scopes.clone(), call.now);
    token.expire_after(old.lifetime, call.now);
    token.name.clone_from(&old.name);
    token.limits = old.limits.clone();
    token.used = old.used.clone();
    let response = shown(&token, true, call);
    ledger.v2.add(token);
    Ok(response)
}

pub(super) fn delete(ledger: &mut Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let missing = if call.parameter.is_empty() {
        Failure::coded(400, 170, "Token ID is required")
    } else {
        Failure::coded(404, 180, "Not Found")
    };
    valid(ledger, call, missing)?.base.is_deleted = true;
    Ok(Response::json(200, &json!({ "message": "Deleted", "data": null })))
}

/// Returns the failure of `PATCH` for a token that does not exist.
pub(super) fn no_such_token(call: &Call<'_>) -> Failure {
    if call.parameter.is_empty() {
        Failure::coded(400, 150, "Token ID is required")
    } else {
        Failure::coded(404, 160, "Not Found")
    }
}

/// Returns the token in the path, if it is valid.
fn valid<'a>(ledger: &'a mut Ledger, call: &Call<'_>, missing: Failure) -> Result<&'a mut Token, Failure> {
    let found = ledger.v2.find_mut(&call.parameter);
    found.filter(|token| token.base.is_valid(call.now)).ok_or(missing)
}

fn new_token(scopes: Vec<crate::scope::Scope>, now: SystemTime) -> Token {
    let text = unique_id(now).into();
    Token {
        base: ledger::Token { text, scopes, issued_at: now, expire: 0, is_single: true, is_deleted: false },
        refresh: unique_id(now).into(),
        name: None,
        updated_at: now,
        lifetime: 0,
        limits: Limits::default(),
        used: Figures::default(),
    }
}

/// Returns a token in the envelope that the settings ask for.
fn shown(token: &Token, is_refreshed: bool, call: &Call<'_>) -> Response {
    let envelope = call.settings.token_envelope;
    let offset = offset(envelope);
    match envelope {
        TokenEnvelope::Flat => Response::json(200, &token.shown(offset).into()),
        TokenEnvelope::Wrapped => {
            let mut fields = token.shown_briefly(offset);
            if is_refreshed {
                // Without it, the caller could never refresh again.
                fields.insert("refreshToken".to_owned(), token.refresh.expose().into());
            }
            wrapped(&fields.into())
        }
    }
}

fn wrapped(data: &Value) -> Response {
    Response::json(200, &json!({ "data": data, "success": true, "message": "", "error": null }))
}

/// Returns how times end.
fn offset(envelope: TokenEnvelope) -> &'static str {
    match envelope {
        TokenEnvelope::Flat => "Z",
        TokenEnvelope::Wrapped => "+00:00",
    }
}

/// What `POST` and `PATCH` ask for beside scopes.
struct Wanted {
    name: Option<String>,
    ttl: Option<u64>,
    limits: Option<Limits>,
}

impl Wanted {
    fn parse(fields: &Map<String, Value>) -> Result<Self, Failure> {
        let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let name = given("name").map(|name| name.as_str().map(str::to_owned).ok_or(INVALID_NAME)).transpose()?;
        let ttl = given("ttl").map(|ttl| lifetime(ttl).ok_or(INVALID_TTL)).transpose()?;
        let limits = given("limits").map(|limits| Limits::parse(limits).map_err(|()| INVALID_LIMITS)).transpose()?;
        Ok(Self { name, ttl, limits })
    }
}

/// Parses a `ttl`. 0 and negative numbers are the default lifetime.
fn lifetime(ttl: &Value) -> Option<u64> {
    match (ttl.as_i64(), ttl.as_u64()) {
        (Some(..=0), _) => Some(DEFAULT_LIFETIME),
        (_, Some(ttl @ 1..=YEAR)) => Some(ttl),
        _ => None,
    }
}
