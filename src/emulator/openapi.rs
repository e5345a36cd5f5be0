//! The vendor Openapi.it: accounts, their tokens in two environments, and the endpoints that want those tokens.
//!
//! Each version of Oauth is a module: operations, failures, and how tokens are made. The other modules here are shared by all
//! versions.

mod account;
mod echo;
mod ledger;
mod scopes;
mod settings;
mod usage;
mod v1;

use std::time::{Duration, SystemTime};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::api::Api;
use super::clock::from_unix;
use super::message::{Request, Response};
use super::record::IssuedToken;
use crate::scope::ScopeSet;
use ledger::{Environment, Ledger, Token};

pub use account::{Account, EMAIL, PRODUCTION_KEY, SANDBOX_KEY};
pub(super) use settings::Settings;
pub use settings::{Limit, ScopesResponse, UnknownTokenResponse};
pub(super) use v1::operation;

/// The hosts at which the emulator itself can be reached.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

pub(super) struct Openapi {
    settings: Settings,
    production: Environment,
    sandbox: Environment,
    /// For how long the protected endpoint does not know a new token.
    pub(super) activation_delay: Duration,
    /// If set, only scopes that it covers are granted.
    pub(super) granted: Option<ScopeSet>,
}

impl Openapi {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            production: Environment::new(&settings, false),
            sandbox: Environment::new(&settings, true),
            settings,
            activation_delay: Duration::ZERO,
            granted: None,
        }
    }

    /// Responds as Oauth in production. `path` is the part below the prefix.
    pub(super) fn production(&mut self, request: &Request, path: &str, now: SystemTime) -> Response {
        v1::respond(&mut self.production, request, path, now, &self.settings, self.granted.as_ref())
    }

    /// Responds as Oauth in the sandbox. `path` is the part below the prefix.
    pub(super) fn sandbox(&mut self, request: &Request, path: &str, now: SystemTime) -> Response {
        v1::respond(&mut self.sandbox, request, path, now, &self.settings, self.granted.as_ref())
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
    pub(super) fn set_credit(&mut self, credit: Option<Decimal>) {
        let Self { production, sandbox, .. } = self;
        for ledger in [production, sandbox].into_iter().filter_map(|environment| environment.ledgers.first_mut()) {
            ledger.usage.credit = credit;
        }
    }

    pub(super) fn set_single(&mut self, token: &str, is_single: bool) {
        let known = self.tokens_mut().filter(|known| known.text.expose() == token);
        known.for_each(|known| known.is_single = is_single);
    }

    pub(super) fn revoke_all(&mut self) {
        self.tokens_mut().for_each(|token| token.is_deleted = true);
    }

    fn tokens_mut(&mut self) -> impl Iterator<Item = &mut Token> {
        let ledgers = self.production.ledgers.iter_mut().chain(&mut self.sandbox.ledgers);
        ledgers.flat_map(|ledger| &mut ledger.tokens)
    }

    pub(super) fn issued(&self, now: SystemTime) -> Vec<IssuedToken> {
        let of = |api: Api, ledgers: &[Ledger]| -> Vec<IssuedToken> {
            let tokens = ledgers.iter().flat_map(|ledger| &ledger.tokens);
            let issued = |token: &Token| IssuedToken {
                api,
                token: token.text.clone(),
                refresh_token: None,
                scopes: token.scopes.clone(),
                issued_at: token.issued_at,
                expires_at: from_unix(token.expire),
                is_valid: token.is_valid(now),
            };
            tokens.map(issued).collect()
        };
        [of(Api::Production, &self.production.ledgers), of(Api::Sandbox, &self.sandbox.ledgers)].concat()
    }
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
