//! The vendor Openapi.it: accounts, their tokens in two environments, and the endpoints that require those tokens.
//!
//! Each version of Oauth is a module: operations, failures, and how tokens are made. The other modules here are shared by all
//! versions.

mod account;
mod catalog;
mod echo;
mod figures;
mod ledger;
mod log;
mod scopes;
mod settings;
mod subscriptions;
mod usage;
mod v1;
mod v2;
mod wallet;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::api::Api;
use super::clock::to_unix;
use super::message::{Request, Response};
use super::record::IssuedToken;
use crate::scope::{Scope, ScopeSet};
use ledger::{Environment, Ledger};

pub use account::{Account, EMAIL, PRODUCTION_KEY, SANDBOX_KEY};
pub(super) use settings::Settings;
pub use settings::{Limit, ScopesResponse, TokenEnvelope, UnknownTokenResponse};

/// The hosts at which the emulator itself can be reached.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

pub(super) struct Openapi {
    pub(super) settings: Settings,
    production: Environment,
    sandbox: Environment,
    /// For how long the protected endpoint does not know a new token.
    pub(super) activation_delay: Duration,
    /// If set, only scopes that it covers are granted.
    pub(super) granted: Option<ScopeSet>,
}

/// Returns the name of an operation. `path` is the part below the API's prefix.
pub(super) fn operation(api: Api, request: &Request, path: &str) -> &'static str {
    match api {
        Api::ProductionV2 | Api::SandboxV2 => v2::operation(request, path),
        _ => v1::operation(&request.method, path),
    }
}

impl Openapi {
    pub(super) fn new(settings: Settings, now: SystemTime) -> Self {
        Self {
            production: Environment::new(&settings, false, now),
            sandbox: Environment::new(&settings, true, now),
            settings,
            activation_delay: Duration::ZERO,
            granted: None,
        }
    }

    /// Responds as version 1 of Oauth. `path` is the part below the prefix.
    pub(super) fn v1(&mut self, request: &Request, path: &str, is_sandbox: bool, now: SystemTime) -> Response {
        let environment = if is_sandbox { &mut self.sandbox } else { &mut self.production };
        v1::respond(environment, request, path, now, &self.settings, self.granted.as_ref())
    }

    /// Responds as version 2 of Oauth. `path` is the part below the prefix.
    pub(super) fn v2(&mut self, request: &Request, path: &str, is_sandbox: bool, now: SystemTime) -> Response {
        let (environment, host) = if is_sandbox {
            (&mut self.sandbox, "test.oauth.openapi.com")
        } else {
            (&mut self.production, "oauth.openapi.com")
        };
        v2::respond(environment, request, (host, path), now, &self.settings, self.granted.as_ref())
    }

    /// Returns whether a request is for the protected endpoint.
    pub(super) fn protects(&self, request: &Request) -> bool {
        echo::is_for(request, &self.settings)
    }

    /// Responds as the protected endpoint.
    pub(super) fn echo(&mut self, request: &Request, now: SystemTime) -> Response {
        let environments = [&mut self.production, &mut self.sandbox];
        echo::respond(request, environments, self.activation_delay, now, &self.settings)
    }

    /// Sets the first account's credit in both environments.
    pub(super) fn set_credit(&mut self, credit: Option<Decimal>, now: SystemTime) {
        let Self { production, sandbox, .. } = self;
        for ledger in [production, sandbox].into_iter().filter_map(|environment| environment.ledgers.first_mut()) {
            ledger.usage.wallet.set(credit, now);
        }
    }

    /// Adds a callback to the log of the first account, in the environment that the scope's host belongs to. Returns its id.
    pub(super) fn add_callback(&mut self, scope: Scope, url: String, status: u16, now: SystemTime) -> String {
        let is_sandbox = scope.host().starts_with("test.");
        let environment = if is_sandbox { &mut self.sandbox } else { &mut self.production };
        let ledger = environment.ledgers.first_mut();
        ledger.map(|ledger| ledger.logs.add_callback(scope, url, status, now)).unwrap_or_default()
    }

    /// Returns whether there is such a token of version 1.
    pub(super) fn set_single(&mut self, token: &str, is_single: bool) -> bool {
        let mut tokens = self.ledgers_mut().flat_map(|ledger| &mut ledger.tokens);
        let found = tokens.find(|known| known.text.expose() == token);
        found.map(|known| known.is_single = is_single).is_some()
    }

    /// Returns the credit of each account, in production and in the sandbox.
    pub(super) fn credits(&self) -> impl Iterator<Item = (Option<Decimal>, Option<Decimal>)> {
        let credit = |ledger: &Ledger| ledger.usage.wallet.credit();
        let pairs = self.production.ledgers.iter().zip(&self.sandbox.ledgers);
        pairs.map(move |(production, sandbox)| (credit(production), credit(sandbox)))
    }

    pub(super) fn revoke_all(&mut self) {
        for ledger in self.ledgers_mut() {
            ledger.tokens.iter_mut().for_each(|token| token.is_deleted = true);
            ledger.v2.revoke_all();
        }
    }

    fn ledgers_mut(&mut self) -> impl Iterator<Item = &mut Ledger> {
        self.production.ledgers.iter_mut().chain(&mut self.sandbox.ledgers)
    }

    pub(super) fn issued(&self, now: SystemTime) -> Vec<IssuedToken> {
        let mut issued = Vec::new();
        let (production, sandbox) = (&self.production.ledgers, &self.sandbox.ledgers);
        for (api, ledgers) in [(Api::Production, production), (Api::Sandbox, sandbox)] {
            issued.extend(ledgers.iter().flat_map(|ledger| &ledger.tokens).map(|token| token.issued(api, now)));
        }
        for (api, ledgers) in [(Api::ProductionV2, production), (Api::SandboxV2, sandbox)] {
            issued.extend(ledgers.iter().flat_map(|ledger| ledger.v2.issued(api, now)));
        }
        issued
    }
}

/// Returns 24 hexadecimal digits of time, chance and a number, as in the vendor's samples: a token, or the id of something.
fn unique_id(now: SystemTime) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) & 0xff_ffff;
    format!("{:08x}{:010x}{number:06x}", to_unix(now) & 0xffff_ffff, fastrand::u64(..1 << 40))
}

/// Returns an amount as a number, digit by digit: a binary number would round.
pub(super) fn number(amount: Decimal) -> Value {
    serde_json::from_str(&amount.to_string()).unwrap_or_default()
}

fn success(data: &Value) -> Response {
    Response::json(200, &json!({ "data": data, "success": true, "message": "", "error": null }))
}

/// Returns a failure without a code: none is documented.
pub(super) fn failure(status: u16, message: &str) -> Response {
    failure_with_code(status, message, Value::Null)
}

fn failure_with_code(status: u16, message: &str, code: impl Into<Value>) -> Response {
    let code: Value = code.into();
    Response::json(status, &json!({ "success": false, "message": message, "error": code, "data": null }))
}
