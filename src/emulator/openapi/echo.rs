//! The protected endpoint, which wants a token with the scope of the request.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::ledger::{Environment, Token};
use super::settings::Settings;
use super::{LOOPBACK, failure, success};
use crate::emulator::clock::day;
use crate::emulator::message::{Request, Response};
use crate::scope::{Scope, ScopePattern};

/// Returns whether a request is for the endpoint: `/echo` on the emulator's own hosts, every path on the others that it knows.
pub(super) fn is_for(request: &Request, settings: &Settings) -> bool {
    let host = request.host();
    if LOOPBACK.contains(&host.as_str()) {
        return request.path == "/echo" || request.path.starts_with("/echo/");
    }
    let known = host.strip_prefix("test.").unwrap_or(&host);
    let is_known = |name: &str| name == host || name == known;
    settings.hosts.iter().any(|name| is_known(name)) || settings.catalog.iter().any(|scope| is_known(scope.host()))
}

/// Responds to a request. The environments are production and the sandbox. For `delay` the endpoint does not know a new token.
pub(super) fn respond(
    request: &Request,
    environments: [&mut Environment; 2],
    delay: Duration,
    now: SystemTime,
    settings: &Settings,
) -> Response {
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
    // A URL may contain a plain comma, a scope may not.
    let path = path.replace(',', "%2C");
    let Ok(requested) = format!("{}:{host}/{path}", request.method).parse::<Scope>() else { return wrong_token() };
    let is_accepted = |token: &Token| {
        let is_known = token.issued_at.checked_add(delay).is_some_and(|known| known <= now);
        token.text.expose() == bearer && token.is_valid(now) && (delay.is_zero() || is_known)
    };
    for ledger in places.into_iter().flat_map(|place| &mut place.ledgers) {
        let Some(token) = ledger.tokens.iter().find(|token| is_accepted(token)) else { continue };
        let covers = |scope: &&Scope| ScopePattern::from((*scope).clone()).covers(&requested);
        let Some(scope) = token.scopes.iter().find(covers) else { return wrong_token() };
        if !ledger.usage.call(scope, day(now), settings) {
            return failure(402, "Insufficient credit");
        }
        let seen = json!({
            "method": request.method, "host": host, "path": request.path, "body_length": request.body.len(), "scope": scope,
        });
        return success(&seen);
    }
    wrong_token()
}

/// Returns the response that users report, with a fraction in its code.
fn wrong_token() -> Response {
    Response::json(401, &json!({ "success": false, "message": "Wrong Token", "error": 125.22 }))
}
