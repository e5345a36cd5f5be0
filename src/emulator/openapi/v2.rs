//! Oauth 2.1.0: the eighteen operations. `PATCH` has two names, one for each way to authenticate.

mod answer;
mod limits;
mod logs;
mod page;
mod scopes;
mod stats;
mod subscriptions;
mod token;
mod tokens;
mod wallet;

use std::borrow::Cow;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use super::catalog::Catalog;
use super::ledger::{Environment, Ledger};
use super::settings::Settings;
use crate::emulator::message::{Request, Response};
use crate::scope::ScopeSet;
use answer::Failure;

pub(super) use limits::Limits;
pub(super) use logs::{Failed, Logs};
pub(super) use token::{Token, Tokens};

const UNAUTHORIZED: Failure = Failure::new(401, None, "Unauthorized");
const WRONG_LOGIN: Failure = Failure::new(401, Some(140), "Unauthorized");

/// A request for an operation.
struct Call<'a> {
    request: &'a Request,
    /// The last segment of the path, decoded.
    parameter: Cow<'a, str>,
    now: SystemTime,
    settings: &'a Settings,
    catalog: &'a Catalog,
    /// If set, only scopes that it covers are granted.
    granted: Option<&'a ScopeSet>,
}

/// Responds in one environment. `path` is the part below the environment's prefix, and `host` that of the real service.
pub(super) fn respond(
    environment: &mut Environment,
    request: &Request,
    (host, path): (&str, &str),
    now: SystemTime,
    settings: &Settings,
    granted: Option<&ScopeSet>,
) -> Response {
    let operation = operation(request, path);
    if operation == "unknown" {
        return Failure::new(404, None, "Not Found").response();
    }
    let Environment { ledgers, catalog } = environment;
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let parameter = percent_decode_str(segments.get(1..).and_then(<[&str]>::last).unwrap_or(&"")).decode_utf8_lossy();
    let call = Call { request, parameter, now, settings, catalog, granted };
    // A refresh names no account: the token in the path does.
    let ledger = if operation == "refresh_token" {
        ledgers.iter_mut().find(|ledger| ledger.v2.find(&call.parameter).is_some())
    } else {
        ledgers.iter_mut().find(|ledger| ledger.is_login(request))
    };
    let Some(ledger) = ledger else {
        return match operation {
            "refresh_token" => tokens::no_such_token(&call).response(),
            "update_token" => WRONG_LOGIN.response(),
            _ => UNAUTHORIZED.response().with("www-authenticate", "Basic realm=\"oauth\""),
        };
    };
    carry_out(operation, ledger, &call).unwrap_or_else(|failure| {
        let first = segments.first().copied().unwrap_or_default();
        ledger.logs.fail(Failed {
            scope: format!("{}:{host}/{first}", request.method),
            domain: host.to_owned(),
            at: now,
            status: failure.status,
            code: failure.code.into(),
            message: failure.message,
            address: request.caller(),
        });
        failure.response()
    })
}

fn carry_out(operation: &str, ledger: &mut Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    match operation {
        "create_token" => tokens::create(ledger, call),
        "list_tokens" => tokens::list(ledger, call),
        "find_token" => tokens::find(ledger, call),
        "update_token" => tokens::update(ledger, call),
        "refresh_token" => tokens::refresh(ledger, call),
        "delete_token" => tokens::delete(ledger, call),
        "list_scopes" => Ok(scopes::list(call)),
        "get_scope" => scopes::get(call),
        "get_wallet" => Ok(wallet::get(ledger)),
        "list_wallet_transactions" => wallet::transactions(ledger, call),
        "list_errors" => logs::errors(ledger, call),
        "list_callbacks" => logs::callbacks(ledger, call),
        "get_callback" => logs::callback(ledger, call),
        "list_subscriptions" => subscriptions::list(ledger, call),
        "get_subscription" => subscriptions::get(ledger, call),
        _ => stats::respond(operation, ledger, call),
    }
}

/// Returns the name of the operation. `path` is the part below the environment's prefix.
pub(crate) fn operation(request: &Request, path: &str) -> &'static str {
    match (request.method.as_str(), path.split('/').skip(1).collect::<Vec<_>>().as_slice()) {
        ("POST", ["tokens"]) => "create_token",
        ("GET", ["tokens"]) => "list_tokens",
        ("GET", ["tokens", _]) => "find_token",
        ("PATCH", ["tokens"] | ["tokens", _]) if request.bearer().is_some() => "refresh_token",
        ("PATCH", ["tokens"] | ["tokens", _]) => "update_token",
        ("DELETE", ["tokens"] | ["tokens", _]) => "delete_token",
        ("GET", ["scopes"]) => "list_scopes",
        ("GET", ["scopes", _]) => "get_scope",
        ("GET", ["wallet"]) => "get_wallet",
        ("GET", ["wallet", "transactions"]) => "list_wallet_transactions",
        ("GET", ["errors"]) => "list_errors",
        ("GET", ["callbacks"]) => "list_callbacks",
        ("GET", ["callbacks", _]) => "get_callback",
        ("GET", ["stats"]) => "get_stats",
        ("GET", ["stats", "ips"]) => "list_stats_ips",
        ("GET", ["stats", "apis"]) => "list_stats_apis",
        ("GET", ["stats", "apis", _]) => "get_stats_api",
        ("GET", ["subscriptions"]) => "list_subscriptions",
        ("GET", ["subscriptions", _]) => "get_subscription",
        _ => "unknown",
    }
}
