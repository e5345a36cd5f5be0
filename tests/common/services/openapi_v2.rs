//! Openapi.it Oauth, version 2. `PATCH` is two operations: an update with the API key, and a refresh with the refresh token.

mod documented;
mod returned;

use gettone::openapi::v2::{NewToken, Oauth, PageRange, RefreshClient, RefreshCredentials, TokenUpdate};
use gettone::openapi::{Credentials, Period, Ttl};
use gettone::{Builder, Error, RefreshToken, Scope, reqwest};
use serde_json::{Value, json};

use super::RetrySafety::{AtMostOnce, Idempotent, Repeatable};
use super::SecretKind::{ApiKey, Login};
use super::openapi_v1::set;
use super::*;

pub static SERVICE: Service = Service {
    name: "Openapi.it Oauth v2",
    label: "v2",
    spec: include_str!("../../../spec/openapi-oauth-v2.yaml"),
    example: &EXAMPLE,
    always: &["limit", "skip"],
    operations: &OPERATIONS,
    ways: WAYS,
    harmless: "get_wallet",
    documented: documented::ALL,
    exceptions: EXCEPTIONS,
    connect: |secrets, setup| {
        let (oauth, worker) = (builder(secrets, setup).build()?, worker(secrets, setup).build()?);
        Ok(Box::new(Connected { oauth, worker }))
    },
};

pub const EXAMPLE: Secrets =
    Secrets { token: "656d1e2f8b3c2a001f7e4a12", refresh_token: "656d1e2f8b3c2a001f7e4a13", ..super::EXAMPLE };

#[rustfmt::skip]
static OPERATIONS: [Operation; 19] = [
    operation("create_token",             "POST",   "/tokens",              Some("plain"),   "created",   AtMostOnce, ACCOUNT),
    operation("list_tokens",              "GET",    "/tokens",              None,            "one",       Idempotent, ACCOUNT),
    operation("find_token",               "GET",    "/tokens/{token}",      None,            "found",     Idempotent, TOKEN),
    operation("update_token",             "PATCH",  "/tokens/{token}",      Some("update"),  "updated",   Repeatable, TOKEN),
    refresh(),
    operation("delete_token",             "DELETE", "/tokens/{token}",      None,            "deleted",   Idempotent, TOKEN),
    operation("list_scopes",              "GET",    "/scopes",              None,            "one",       Idempotent, ACCOUNT),
    operation("get_scope",                "GET",    "/scopes/{id}",         None,            "found",     Idempotent, ACCOUNT),
    operation("list_errors",              "GET",    "/errors",              None,            "two",       Idempotent, ACCOUNT),
    operation("get_wallet",               "GET",    "/wallet",              None,            "left",      Idempotent, ACCOUNT),
    operation("list_wallet_transactions", "GET",    "/wallet/transactions", None,            "three",     Idempotent, ACCOUNT),
    operation("list_callbacks",           "GET",    "/callbacks",           None,            "two",       Idempotent, ACCOUNT),
    operation("get_callback",             "GET",    "/callbacks/{id}",      None,            "completed", Idempotent, ACCOUNT),
    operation("get_stats",                "GET",    "/stats",               None,            "totals",    Idempotent, ACCOUNT),
    operation("list_stats_ips",           "GET",    "/stats/ips",           None,            "four",      Idempotent, ACCOUNT),
    operation("list_stats_apis",          "GET",    "/stats/apis",          None,            "two",       Idempotent, ACCOUNT),
    operation("get_stats_api",            "GET",    "/stats/apis/{domain}", None,            "by_scope",  Idempotent, ACCOUNT),
    operation("list_subscriptions",       "GET",    "/subscriptions",       None,            "two",       Idempotent, ACCOUNT),
    operation("get_subscription",         "GET",    "/subscriptions/{id}",  None,            "monthly",   Idempotent, ACCOUNT),
];

const ACCOUNT: &[SecretKind] = &[ApiKey, Login];
const TOKEN: &[SecretKind] = &[ApiKey, Login, SecretKind::Token];

const fn refresh() -> Operation {
    let sends = &[SecretKind::RefreshToken, SecretKind::Token];
    let update = operation("update_token", "PATCH", "/tokens/{token}", Some("refresh"), "refreshed", AtMostOnce, sends);
    Operation { name: "refresh_token", scheme: Some(Scheme::Bearer), ..update }
}

const fn operation(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    request: Option<&'static str>,
    success: &'static str,
    retry: RetrySafety,
    sends: &'static [SecretKind],
) -> Operation {
    // A 404 with the operation's own code says that there is nothing.
    let absence = match name.as_bytes() {
        b"find_token" | b"list_tokens" | b"list_callbacks" | b"list_subscriptions" => Some(404),
        _ => None,
    };
    Operation {
        service: &SERVICE,
        name,
        id: name,
        method,
        path,
        mark: "",
        request,
        success,
        retry,
        sends,
        scheme: Some(Scheme::Basic),
        absence,
    }
}

const MAKING: &[&str] = &["create_token", "list_tokens", "create_token"];
const EXTENDING: &[&str] = &["update_token", "create_token", "list_tokens", "create_token"];
const REFRESHING: &[&str] = &["refresh_token"];

#[rustfmt::skip]
const WAYS: &[Way] = &[
    Way { name: "list_errors?scopes",        column: "idempotent", operations: &["list_errors"],        held: Held::Nothing },
    Way { name: "list_callbacks?scopes",     column: "idempotent", operations: &["list_callbacks"],     held: Held::Nothing },
    Way { name: "list_subscriptions?scopes", column: "idempotent", operations: &["list_subscriptions"], held: Held::Nothing },
    Way { name: "get_stats?date",            column: "idempotent", operations: &["get_stats"],          held: Held::Nothing },
    Way { name: "list_stats_ips?date",       column: "idempotent", operations: &["list_stats_ips"],     held: Held::Nothing },
    Way { name: "list_stats_apis?date",      column: "idempotent", operations: &["list_stats_apis"],    held: Held::Nothing },
    Way { name: "get_stats_api?date",        column: "idempotent", operations: &["get_stats_api"],      held: Held::Nothing },
    Way { name: "stream_tokens",             column: "idempotent", operations: &["list_tokens"],        held: Held::Nothing },
    Way { name: "oauth.token",               column: "make",       operations: MAKING,                  held: Held::Nothing },
    Way { name: "oauth.token_for",           column: "make",       operations: MAKING,                  held: Held::Nothing },
    Way { name: "oauth.authorize",           column: "make",       operations: MAKING,                  held: Held::Nothing },
    Way { name: "oauth.token, expired",      column: "make",       operations: MAKING,                  held: Held::Expired },
    Way { name: "oauth.token, near end",     column: "extend",     operations: EXTENDING,               held: Held::NearItsEnd },
    Way { name: "oauth.token, lost",         column: "make",       operations: MAKING,                  held: Held::Nothing },
    Way { name: "worker.token",              column: "rotate",     operations: REFRESHING,              held: Held::Nothing },
    Way { name: "worker.authorize",          column: "rotate",     operations: REFRESHING,              held: Held::Nothing },
    Way { name: "worker.token, expired",     column: "rotate",     operations: REFRESHING,              held: Held::Expired },
    Way { name: "worker.token, near end",    column: "rotate",     operations: REFRESHING,              held: Held::NearItsEnd },
];

/// The scope of the tokens in the examples of responses.
pub const RESOURCE: &str = "GET:api.openapi.com/resource";
/// The scopes in the examples of requests.
pub const START: &str = "GET:company.openapi.com/IT-start";
pub const ADVANCED: &str = "GET:company.openapi.com/IT-advanced";

pub fn builder(secrets: &Secrets, setup: &Setup) -> Builder<Oauth> {
    setup.apply(Oauth::builder(Credentials::new(EMAIL, secrets.api_key)))
}

pub fn worker(secrets: &Secrets, setup: &Setup) -> Builder<RefreshClient> {
    setup.apply(RefreshClient::builder(RefreshCredentials::new("worker", secrets.token, secrets.refresh_token)))
}

/// A token as the service writes it.
pub fn token(token: &str, name: &str, scopes: &[&str], end: SystemTime, refresh_token: &str) -> Value {
    json!({ "token": token, "name": name, "scopes": scopes, "expireAt": iso(end), "refreshToken": refresh_token })
}

#[derive(Debug)]
struct Connected {
    oauth: Oauth,
    worker: RefreshClient,
}

impl Client for Connected {
    fn call<'a>(&'a self, way: &'a str, secrets: &'a Secrets) -> Pending<'a, Result<Box<dyn Returned>, Error>> {
        let Self { oauth, worker } = self;
        let (token, refresh_token) = (AccessToken::new(secrets.token), RefreshToken::new(secrets.refresh_token));
        let (all, resource) = (PageRange::default(), set([RESOURCE]));
        Box::pin(async move {
            let scopes: [Scope; 2] = [START.parse()?, ADVANCED.parse()?];
            let (total, month) = (Period::total(), Period::month(2025, 11)?);
            match way {
                "create_token" => {
                    let new = NewToken::new(&set([START]), Ttl::days(30)?).name("my-first-token");
                    returned(oauth.create_token(new).await)
                }
                "list_tokens" => returned(oauth.list_tokens(all).await),
                "stream_tokens" => {
                    let (mut stream, mut tokens) = (oauth.stream_tokens(), Vec::new());
                    while let Some(token) = stream.next().await {
                        tokens.push(token?);
                    }
                    returned(Ok(tokens))
                }
                "find_token" => returned(oauth.find_token(&token).await),
                "update_token" => {
                    let update = TokenUpdate::new().name("updated-token").ttl(Ttl::days(7)?);
                    returned(oauth.update_token(&token, update.scopes(&set([START, ADVANCED]))).await)
                }
                "refresh_token" => returned(oauth.refresh_token(&token, &refresh_token).await),
                "delete_token" => returned(oauth.delete_token(&token).await),
                "list_scopes" => returned(oauth.list_scopes().await),
                "get_scope" => returned(oauth.get_scope("682c9f5a51671f7ef264c4fd").await),
                "list_errors" => returned(oauth.list_errors(&[], all).await),
                "list_errors?scopes" => returned(oauth.list_errors(&scopes, all).await),
                "get_wallet" => returned(oauth.wallet().await),
                "list_wallet_transactions" => returned(oauth.list_wallet_transactions(all).await),
                "list_callbacks" => returned(oauth.list_callbacks(&[], all).await),
                "list_callbacks?scopes" => returned(oauth.list_callbacks(&scopes, all).await),
                "get_callback" => returned(oauth.get_callback("65a1b2c3d4e5f6789abcdef0").await),
                "get_stats" => returned(oauth.stats(total).await),
                "get_stats?date" => returned(oauth.stats(month).await),
                "list_stats_ips" => returned(oauth.stats_ips(total).await),
                "list_stats_ips?date" => returned(oauth.stats_ips(month).await),
                "list_stats_apis" => returned(oauth.stats_apis(total).await),
                "list_stats_apis?date" => returned(oauth.stats_apis(month).await),
                "get_stats_api" => returned(oauth.stats_api("company.openapi.com", total).await),
                "get_stats_api?date" => returned(oauth.stats_api("company.openapi.com", month).await),
                "list_subscriptions" => returned(oauth.list_subscriptions(&[], all).await),
                "list_subscriptions?scopes" => returned(oauth.list_subscriptions(&scopes, all).await),
                "get_subscription" => returned(oauth.get_subscription("656d1e2f8b3c2a001f7e4a20").await),
                "oauth.token" => returned(oauth.token(&resource).await),
                "oauth.token_for" => returned(oauth.token_for(&resource).get().await),
                "worker.token" => returned(worker.token().await),
                "oauth.authorize" | "worker.authorize" => {
                    let url = "https://api.openapi.com/resource/12345670124".parse().unwrap();
                    let mut request = reqwest::Request::new(reqwest::Method::GET, url);
                    let result = match way {
                        "oauth.authorize" => oauth.authorize(&mut request).await,
                        _ => worker.authorize(&mut request).await,
                    };
                    laws::assert_authorized(&request, &result);
                    returned(result)
                }
                other => panic!("no such way: {other}"),
            }
        })
    }

    fn wait_idle(&self) -> Pending<'_, ()> {
        Box::pin(async {
            self.oauth.wait_idle().await;
            self.worker.wait_idle().await;
        })
    }
}

#[rustfmt::skip]
const EXCEPTIONS: &[Exception] = &[
    // A deletion returns nothing.
    ("wrong types",        "delete_token",              "", "ok"),
    ("204",                "delete_token",              "", "ok"),
    // A list without content has no entries.
    ("204",                "list_tokens",               "", "ok"),
    ("204",                "stream_tokens",             "", "ok"),
    ("204",                "list_scopes",               "", "ok"),
    ("204",                "list_errors",               "", "ok"),
    ("204",                "list_errors?scopes",        "", "ok"),
    ("204",                "list_wallet_transactions",  "", "ok"),
    ("204",                "list_callbacks",            "", "ok"),
    ("204",                "list_callbacks?scopes",     "", "ok"),
    ("204",                "list_stats_ips",            "", "ok"),
    ("204",                "list_stats_ips?date",       "", "ok"),
    ("204",                "list_stats_apis",           "", "ok"),
    ("204",                "list_stats_apis?date",      "", "ok"),
    ("204",                "list_subscriptions",        "", "ok"),
    ("204",                "list_subscriptions?scopes", "", "ok"),
    // There is no token, or nothing in the list.
    ("404, code 120",      "list_tokens",               "", "ok"),
    ("404, code 120",      "stream_tokens",             "", "ok"),
    ("404, code 200",      "list_callbacks",            "", "ok"),
    ("404, code 200",      "list_callbacks?scopes",     "", "ok"),
    ("404, code 220",      "list_subscriptions",        "", "ok"),
    ("404, code 220",      "list_subscriptions?scopes", "", "ok"),
    ("404, code 120",      "find_token",                "", "ok"),
    // A search for a token takes any code of the service's for its own.
    ("404, code 150",      "find_token",                "", "ok"),
    ("404, code 200",      "find_token",                "", "ok"),
    ("404, code 220",      "find_token",                "", "ok"),
    ("404, code 610",      "find_token",                "", "ok"),
    // The service documents no failed login, so 403 is one too.
    ("403",                "*",                         "", "403 unauthorized"),
    ("403, HTML",          "*",                         "", "403 unauthorized"),
    ("403, success: true", "*",                         "", "403 unauthorized"),
    // A refresh has one credential, the refresh token.
    ("401",                           "refresh_token",  "", "401 invalid_grant"),
    ("401, HTML",                     "refresh_token",  "", "401 invalid_grant"),
    ("401, half of it",               "refresh_token",  "", "401 invalid_grant"),
    ("401, huge body",                "refresh_token",  "", "401 invalid_grant"),
    ("401, code invalid_client",      "refresh_token",  "", "401 invalid_grant"),
    ("401, code invalid_grant",       "refresh_token",  "", "401 invalid_grant"),
    ("401, code invalid_request",     "refresh_token",  "", "401 invalid_grant"),
    ("401, code invalid_credentials", "refresh_token",  "", "401 invalid_grant"),
    ("403",                           "refresh_token",  "", "403 invalid_grant"),
    ("403, HTML",                     "refresh_token",  "", "403 invalid_grant"),
    ("403, success: true",            "refresh_token",  "", "403 invalid_grant"),
    ("401",                           "rotate",         "", "401 invalid_grant"),
    ("401, HTML",                     "rotate",         "", "401 invalid_grant"),
    ("401, half of it",               "rotate",         "", "401 invalid_grant"),
    ("401, huge body",                "rotate",         "", "401 invalid_grant"),
    ("401, code invalid_client",      "rotate",         "", "401 invalid_grant"),
    ("401, code invalid_grant",       "rotate",         "", "401 invalid_grant"),
    ("401, code invalid_request",     "rotate",         "", "401 invalid_grant"),
    ("401, code invalid_credentials", "rotate",         "", "401 invalid_grant"),
    ("403",                           "rotate",         "", "403 invalid_grant"),
    ("403, HTML",                     "rotate",         "", "403 invalid_grant"),
    ("403, success: true",            "rotate",         "", "403 invalid_grant"),
];
