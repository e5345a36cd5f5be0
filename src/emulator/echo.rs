//! The protected endpoint of Openapi.it: it wants a token with the scope for itself.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::clock::day;
use super::config::{Config, LOOPBACK};
use super::message::{Answer, Request};
use super::oauth::{Environment, Token, failure};
use crate::{Scope, ScopePattern};

/// Whether a request is for this room: `/echo` on the emulator's own hosts, and every path on all others.
pub(super) fn is_for(request: &Request, config: &Config) -> bool {
    let host = request.host();
    if LOOPBACK.contains(&host.as_str()) {
        return request.path == "/echo" || request.path.starts_with("/echo/");
    }
    let known = host.strip_prefix("test.").unwrap_or(&host);
    let is_known = |name: &str| name == host || name == known;
    config.hosts.iter().any(|name| is_known(name)) || config.catalogue.iter().any(|scope| is_known(scope.host()))
}

/// The environments are production and the sandbox. `delay` is how long a new token is not known here.
pub(super) fn answer(
    request: &Request,
    environments: [&mut Environment; 2],
    delay: Duration,
    now: SystemTime,
    config: &Config,
) -> Answer {
    let host = request.host();
    let [production, sandbox] = environments;
    let places = match (LOOPBACK.contains(&host.as_str()), host.starts_with("test.")) {
        (true, _) => vec![production, sandbox],
        (false, true) => vec![sandbox],
        (false, false) => vec![production],
    };
    let Some(bearer) = request.bearer() else { return wrong_token() };
    let path = request.path.trim_matches('/');
    let path = if path.is_empty() { "root" } else { path };
    // A URL may have a comma as it is, a scope may not.
    let path = path.replace(',', "%2C");
    let Ok(asked) = format!("{}:{host}/{path}", request.method).parse::<Scope>() else { return wrong_token() };
    let is_good = |token: &Token| {
        let is_known = token.issued_at.checked_add(delay).is_some_and(|known| known <= now);
        token.text.expose() == bearer && token.is_alive(now) && (delay.is_zero() || is_known)
    };
    for ledger in places.into_iter().flat_map(|place| &mut place.ledgers) {
        let Some(token) = ledger.tokens.iter().find(|token| is_good(token)) else { continue };
        let covers = |scope: &&Scope| ScopePattern::from((*scope).clone()).covers(&asked);
        let Some(scope) = token.scopes.iter().find(covers) else { return wrong_token() };
        if !ledger.usage.call(scope, day(now), config) {
            return failure(402, "Insufficient credit", serde_json::Value::Null);
        }
        let seen = json!({
            "method": request.method, "host": host, "path": request.path, "body_length": request.body.len(), "scope": scope,
        });
        return Answer::json(200, &json!({ "data": seen, "success": true, "message": "", "error": null }));
    }
    wrong_token()
}

/// As users have seen it, with its fraction.
fn wrong_token() -> Answer {
    Answer::json(401, &json!({ "success": false, "message": "Wrong Token", "error": 125.22 }))
}
