//! The protected endpoint, which requires a token with the scope of the request.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::catalog::Catalog;
use super::figures::Figures;
use super::ledger::{Environment, Ledger, Token};
use super::settings::Settings;
use super::v2::{self, Failed, Limits};
use super::{LOOPBACK, failure, success};
use crate::emulator::message::{Request, Response};
use crate::scope::{Scope, ScopePattern};

/// The longest text of a scope that a log keeps.
const LONGEST: usize = 1_000;

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

/// Responds to a request. The environments are production and the sandbox. The endpoint does not know a new token before `delay` has passed.
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
    let Some(bearer) = request.bearer() else { return Refusal::WrongToken.response() };
    for Environment { ledgers, catalog } in places {
        let call = Call::new(request, &host, delay, now, (settings, catalog));
        for ledger in ledgers {
            if let Some(outcome) = call.carry_out(ledger, bearer) {
                return outcome.map_or_else(Refusal::response, |scope| {
                    let length = request.body.len();
                    success(&json!({
                        "method": request.method, "host": host, "path": request.path, "body_length": length, "scope": scope,
                    }))
                });
            }
        }
    }
    Refusal::WrongToken.response()
}

/// A call of the endpoint, in one environment.
struct Call<'a> {
    /// The scope of the whole path, if it can be one.
    requested: Option<Scope>,
    /// The method, the host and the first segment of the path.
    named: String,
    host: &'a str,
    address: IpAddr,
    delay: Duration,
    now: SystemTime,
    settings: &'a Settings,
    catalog: &'a Catalog,
}

/// A token of either version.
struct Bearer<'a> {
    token: &'a Token,
    /// What a token of version 2 may be used for, and what it was used for.
    limits: Option<(&'a Limits, &'a mut Figures)>,
}

impl<'a> Call<'a> {
    fn new(
        request: &Request,
        host: &'a str,
        delay: Duration,
        now: SystemTime,
        (settings, catalog): (&'a Settings, &'a Catalog),
    ) -> Self {
        let path = request.path.trim_matches('/');
        let path = if path.is_empty() { "root" } else { path };
        // A URL may contain a plain comma, a scope may not.
        let path = path.replace(',', "%2C");
        let first = path.split('/').next().unwrap_or_default();
        // A log keeps it.
        let named = format!("{}:{host}/{first}", request.method).chars().take(LONGEST).collect();
        let requested = format!("{}:{host}/{path}", request.method).parse().ok();
        Self { requested, named, host, address: request.caller(), delay, now, settings, catalog }
    }

    /// Carries out the call, if the token is one of this account. Logs and counts a failure.
    fn carry_out(&self, ledger: &mut Ledger, text: &str) -> Option<Result<Scope, Refusal>> {
        let Ledger { tokens, v2, usage, logs, .. } = ledger;
        let mut bearer = Bearer::find(tokens, v2, text)?;
        let scope = self.granted(bearer.token);
        let charge = scope.as_ref().map(|scope| usage.charge(scope, self.now, self.settings));
        let refusal = match (&scope, charge, &bearer.limits) {
            (Some(_), Some(_), Some((limits, _))) if !limits.allows_address(self.address) => Refusal::Address,
            (Some(_), Some(charge), Some((limits, used))) if !limits.allows_call(used, charge) => Refusal::UsedUp,
            (Some(scope), Some(charge), _) if usage.call(scope, charge, self.address, self.now) => {
                if let Some((_, used)) = &mut bearer.limits {
                    used.add(charge, self.address);
                }
                return Some(Ok(scope.clone()));
            }
            (Some(_), ..) => Refusal::NoCredit,
            (None, ..) => Refusal::WrongToken,
        };
        if let Some(scope) = scope.or_else(|| self.named.parse().ok()) {
            usage.fail(&scope, self.address, self.now, self.catalog);
        }
        if let Some((_, used)) = &mut bearer.limits {
            used.fail(self.address);
        }
        let (status, message, code) = refusal.parts();
        logs.fail(Failed {
            scope: self.named.clone(),
            domain: self.host.to_owned(),
            at: self.now,
            status,
            code,
            message,
            address: self.address,
        });
        Some(Err(refusal))
    }

    /// Returns the scope of a token that covers the call.
    fn granted(&self, token: &Token) -> Option<Scope> {
        let requested = self.requested.as_ref()?;
        let is_known = token.issued_at.checked_add(self.delay).is_some_and(|known| known <= self.now);
        let is_accepted = token.is_valid(self.now) && (self.delay.is_zero() || is_known);
        let covers = |scope: &&Scope| ScopePattern::from((*scope).clone()).covers(requested);
        token.scopes.iter().find(covers).filter(|_| is_accepted).cloned()
    }
}

impl<'a> Bearer<'a> {
    /// Returns a token, also one that is no longer valid.
    fn find(v1: &'a [Token], v2: &'a mut v2::Tokens, text: &str) -> Option<Self> {
        match v2.find_mut(text) {
            Some(v2::Token { base, limits, used, .. }) => Some(Self { token: base, limits: Some((limits, used)) }),
            None => {
                let token = v1.iter().find(|token| token.text.expose() == text)?;
                Some(Self { token, limits: None })
            }
        }
    }
}

/// The reason why a call is refused.
#[derive(Clone, Copy)]
enum Refusal {
    /// The token is not valid, or lacks the scope.
    WrongToken,
    NoCredit,
    /// The token is not for this address.
    Address,
    /// A limit of the token is reached.
    UsedUp,
}

impl Refusal {
    /// Returns the status, the message and the code.
    fn parts(self) -> (u16, &'static str, Value) {
        match self {
            // As users report it, with a fraction.
            Self::WrongToken => (401, "Wrong Token", json!(125.22)),
            Self::NoCredit => (402, "Insufficient credit", Value::Null),
            Self::Address => (403, "The token cannot be used from this address", Value::Null),
            Self::UsedUp => (402, "A limit of the token is used up", Value::Null),
        }
    }

    fn response(self) -> Response {
        match self.parts() {
            (status, message, Value::Null) => failure(status, message),
            // Users report no `data`.
            (status, message, code) => {
                Response::json(status, &json!({ "success": false, "message": message, "error": code }))
            }
        }
    }
}
