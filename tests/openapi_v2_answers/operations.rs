//! Every operation of version 2: a documented success of it, how it is called, and what the call returns as a text.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use gettone::openapi::v2::{Callback, NewToken, Oauth, Page, PageRange, Token, TokenUpdate};
use gettone::openapi::{Credentials, Period, Ttl};
use gettone::{AccessToken, Error, RefreshToken, Retry, ScopeSet};
use serde_json::{Value, json};

use crate::common::fake::{Answer, FakeService};
use crate::common::http;
use crate::common::services::openapi_v2;

pub const TOKEN: &str = r#"{"token":"656d1e2f8b3c2a001f7e4a12","name":"Service X API token","createdAt":"2025-11-19T10:00:00Z","expireAt":"2025-12-19T10:00:00Z","updatedAt":"2025-11-20T09:00:00Z","scopes":["GET:api.openapi.com/resource"],"refreshToken":"656d1e2f8b3c2a001f7e4a13","limits":{"totalRequests":10000,"walletRequests":1000,"subscriptionRequests":500,"walletAmount":50,"ip":["192.168.1.1","10.0.0.2"]},"stats":{"totalRequests":1234,"walletRequests":120,"subscriptionRequests":30,"errorRequests":5,"walletAmount":12.5,"ip":["192.168.1.1","10.0.0.2"]}}"#;
pub const SHORT_TOKEN: &str = r#"{"data":{"token":"656d1e2f8b3c2a001f7e4a12","name":"Service X API token","createdAt":"2025-11-19T10:00:00+00:00","expireAt":"2025-12-19T10:00:00+00:00"},"success":true,"message":"","error":null}"#;
pub const TOKENS: &str = r#"{"data":[{"token":"656d1e2f8b3c2a001f7e4a12","name":"Service X API token","createdAt":"2025-11-19T10:00:00Z","expireAt":"2025-12-19T10:00:00Z","updatedAt":"2025-11-20T09:00:00Z","scopes":["GET:api.openapi.com/resource"],"refreshToken":"656d1e2f8b3c2a001f7e4a13"}]}"#;
pub const DELETED: &str = r#"{"message":"Deleted","data":null}"#;
pub const SCOPES: &str = r#"{"data":[{"id":"656d1e2f8b3c2a001f7e4a14","scope":"GET:api.openapi.com/resource","method":"GET","endpoint":"resource","domain":"api.openapi.com","enabled":true}]}"#;
pub const SCOPE: &str = r#"{"data":{"id":"682c9f5a51671f7ef264c4fd","scope":"GET:company.openapi.com/CH-start","method":"GET","endpoint":"CH-start","domain":"company.openapi.com","enabled":false,"rateLimit":false,"freeLimits":{"dayLimit":0,"monthLimit":false,"yearLimit":false,"totalLimit":false},"requirements":{"id_card":false,"oa_general_contract":false},"prices":{"ch-start":0.06}},"success":true,"message":"","error":null}"#;
pub const WALLET: &str =
    r#"{"data":{"credit":125.5,"createdAt":"2025-01-15T10:00:00+00:00","updatedAt":"2026-02-12T08:30:00+00:00"}}"#;
pub const TRANSACTIONS: &str = r#"{"data":[{"id":"txn_65a1b2c3d4e5f6789abc001","amount":-15.5,"createdAt":"2026-02-12T08:30:00+00:00","description":"API usage - company.openapi.com"},{"id":"txn_65a1b2c3d4e5f6789abc002","amount":100,"createdAt":"2026-02-10T14:15:00+00:00","description":"Wallet recharge"},{"id":"txn_65a1b2c3d4e5f6789abc003","amount":-5.25,"createdAt":"2026-02-09T11:20:00+00:00","description":"API usage - sms.openapi.com"}]}"#;
pub const ERRORS: &str = r#"{"data":[{"id":"69822d1d48be79971b04351a","scope":"DELETE:oauth.openapi.com/tokens","domain":"oauth.openapi.com","errorAt":"2026-02-03T17:15:09+00:00","httpResponseCode":404,"errorCode":180,"message":"Not Found","ip":"203.0.113.7"},{"id":"69822d1d48be79971b04351b","scope":"GET:company.openapi.com/resource","domain":"company.openapi.com","errorAt":"2026-02-03T16:30:45+00:00","httpResponseCode":400,"errorCode":190,"message":"Query error","ip":"192.168.1.100"}]}"#;
pub const CALLBACKS: &str = r#"{"data":[{"id":"65a1b2c3d4e5f6789abcdef0","scope":"POST:company.openapi.com/webhook","url":"https://example.com/callback","httpResponseCode":"200","startedAt":"2026-02-12T10:00:00+00:00","completedAt":"2026-02-12T10:00:05+00:00"},{"id":"65a1b2c3d4e5f6789abcdef1","scope":"POST:sms.openapi.com/send","url":"https://app.example.com/notify","httpResponseCode":"200","startedAt":"2026-02-12T09:30:00+00:00","completedAt":null}]}"#;
pub const CALLBACK: &str = r#"{"data":{"id":"65a1b2c3d4e5f6789abcdef0","scope":"POST:company.openapi.com/webhook","domain":"company.openapi.com","active":false,"startedAt":"2026-02-12T10:00:00+00:00","createdAt":"2026-02-12T09:59:55+00:00","completedAt":"2026-02-12T10:00:05+00:00","httpResponseCode":200,"data":{"event":"user.created","userId":"12345"},"custom":{"trackingId":"abc-123"},"headers":{"Content-Type":"application/json","X-Webhook-Signature":"sha256=..."},"elapsedTime":5234,"attempt":1,"retry":0,"field":"webhookUrl","method":"POST","url":"https://example.com/callback"}}"#;
pub const STATS: &str = r#"{"data":{"totalRequests":1500,"walletRequests":800,"subscriptionRequests":700,"errorRequests":12,"walletAmount":125.5,"totalIps":45,"totalApis":8}}"#;
pub const STATS_IPS: &str = r#"{"data":["192.168.1.1","10.0.0.5","172.16.0.100","203.0.113.42"]}"#;
pub const STATS_APIS: &str = r#"{"data":{"company.openapi.com":{"totalRequests":500,"walletRequests":300,"subscriptionRequests":200,"errorRequests":5,"walletAmount":45.5,"totalIps":20,"totalScopes":15},"sms.openapi.com":{"totalRequests":1000,"walletRequests":500,"subscriptionRequests":500,"errorRequests":7,"walletAmount":80,"totalIps":25,"totalScopes":20}}}"#;
pub const STATS_API: &str = r#"{"data":{"totalRequests":500,"walletRequests":300,"subscriptionRequests":200,"errorRequests":5,"walletAmount":45.5,"ip":["192.168.1.1","10.0.0.5"],"totalIps":2,"totalScopes":15,"scopes":{"POST:company.openapi.com/endpoint":{"totalRequests":250,"walletRequests":150,"subscriptionRequests":100,"errorRequests":2,"walletAmount":22.75,"ip":["192.168.1.1"]},"GET:company.openapi.com/endpoint":{"totalRequests":250,"walletRequests":150,"subscriptionRequests":100,"errorRequests":3,"walletAmount":22.75,"ip":["10.0.0.5"]}}}}"#;
pub const SUBSCRIPTIONS: &str = r#"{"data":[{"id":"656d1e2f8b3c2a001f7e4a20","scope":"GET:company.openapi.com/resource","active":true,"availableRequests":"950","startsAt":"2025-11-01T00:00:00+00:00","expiresAt":"2025-12-01T00:00:00+00:00"},{"id":"656d1e2f8b3c2a001f7e4a21","scope":"POST:sms.openapi.com/send","active":true,"availableRequests":"800","startsAt":"2025-11-15T00:00:00+00:00","expiresAt":"2026-11-15T00:00:00+00:00"}]}"#;
pub const SUBSCRIPTION: &str = r#"{"data":{"id":"656d1e2f8b3c2a001f7e4a20","scope":"GET:company.openapi.com/resource","domain":"company.openapi.com","active":true,"startsAt":"2025-11-01T00:00:00+00:00","expiresAt":"2025-12-01T00:00:00+00:00","totalRequests":"1000","availableRequests":"950","pricePerRequest":0.01,"type":"monthly","autorenew":true,"createdAt":"2025-10-25T10:00:00+00:00","updatedAt":"2025-11-19T15:30:00+00:00","price":10}}"#;

/// What a success contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// An object with this key field.
    Object(&'static str),
    /// A list, and the code of the 404 that means that it is empty.
    List(Option<&'static str>),
    /// A map from domains.
    Map,
    Nothing,
}

type Calling<'a> = Pin<Box<dyn Future<Output = Result<String, Error>> + 'a>>;

pub struct Operation {
    /// As errors name it.
    pub name: &'static str,
    pub content: Content,
    /// The vendor's example.
    pub success: &'static str,
    /// Calls it, and returns all that it returned, secrets too.
    call: for<'a> fn(&'a Oauth) -> Calling<'a>,
}

impl Operation {
    /// Calls the operation at a service that answers like this, and asserts that it sends one request.
    pub async fn call(&self, answer: Answer) -> Result<String, Error> {
        let text = answer.text().to_owned();
        let service = FakeService::answering_with(answer).await;
        let result = (self.call)(&client(&service)).await;
        assert_eq!(service.calls(), 1, "{} {text}", self.name);
        result
    }

    /// Calls the operation at a service that answers with this body, which it must accept.
    pub async fn read(&self, body: &Value) -> String {
        let result = self.call(Answer::json(200, body)).await;
        result.unwrap_or_else(|error| panic!("{} {body}: {error}", self.name))
    }

    pub fn example(&self) -> Value {
        serde_json::from_str(self.success).unwrap()
    }

    /// Returns what the example has in `data`, or at its root.
    pub fn inner(&self) -> Value {
        let mut example = self.example();
        match example.get_mut("data") {
            Some(data) => data.take(),
            None => example,
        }
    }
}

pub fn client(service: &FakeService) -> Oauth {
    let credentials = Credentials::new("test@example.com", "0123456789abcdef");
    Oauth::builder(credentials).base_url(service.url()).http_client(http()).retry(Retry::none()).build().unwrap()
}

/// Calls a service that answers like this, which must be one request.
pub async fn answered<T>(answer: Answer, call: impl AsyncFnOnce(&Oauth) -> Result<T, Error>) -> Result<T, Error> {
    let service = FakeService::answering_with(answer).await;
    let result = call(&client(&service)).await;
    assert_eq!(service.calls(), 1);
    result
}

/// The same with a body that the client must accept, as a text: not every number of JSON is one of serde_json.
pub async fn returned<T>(body: &str, call: impl AsyncFnOnce(&Oauth) -> Result<T, Error>) -> T {
    let result = answered(Answer::json(200, body), call).await;
    result.unwrap_or_else(|error| panic!("{body}: {error}"))
}

pub fn token() -> AccessToken {
    "656d1e2f8b3c2a001f7e4a12".into()
}

pub fn operation(name: &str) -> &'static Operation {
    OPERATIONS.iter().find(|operation| operation.name == name).unwrap()
}

/// Returns the operations with an object, its key field and the object of the example.
pub fn objects() -> impl Iterator<Item = (&'static Operation, &'static str, Value)> {
    OPERATIONS.iter().filter_map(|operation| match operation.content {
        Content::Object(key) => Some((operation, key, operation.inner())),
        _ => None,
    })
}

/// Returns the operations with a list, and the entries of the example.
pub fn lists() -> impl Iterator<Item = (&'static Operation, Value)> {
    let lists = OPERATIONS.iter().filter(|operation| matches!(operation.content, Content::List(_)));
    lists.map(|operation| (operation, operation.inner()))
}

fn shown(token: &Token) -> String {
    format!("{token:?} {} {:?}", token.token().expose(), token.refresh_token().map(RefreshToken::expose))
}

fn shown_callback(callback: &Callback) -> String {
    let texts = [callback.domain(), callback.url(), callback.method(), callback.field()];
    let counts = (callback.attempt(), callback.retries(), callback.elapsed(), callback.is_active());
    let values = [callback.data(), callback.custom(), callback.headers()];
    format!("{callback:?} {texts:?} {counts:?} {values:?} {:?}", callback.created_at())
}

fn page<T>(page: &Page<T>, shown: impl Fn(&T) -> String) -> String {
    let unrecognized: Vec<&str> = page.unrecognized().iter().map(gettone::Secret::expose).collect();
    format!("{:?} {unrecognized:?}", page.iter().map(shown).collect::<Vec<_>>())
}

fn debug<T: std::fmt::Debug>(entry: &T) -> String {
    format!("{entry:?}")
}

const RANGE: fn() -> PageRange = PageRange::default;

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "create_token",
        content: Content::Object("token"),
        success: TOKEN,
        call: |oauth| {
            Box::pin(async {
                let scopes = ScopeSet::parse(["GET:api.openapi.com/resource"]).unwrap();
                let new = NewToken::new(&scopes, Ttl::days(30).unwrap());
                oauth.create_token(new).await.map(|token| shown(&token))
            })
        },
    },
    Operation {
        name: "list_tokens",
        content: Content::List(Some("120")),
        success: TOKENS,
        call: |oauth| Box::pin(async { oauth.list_tokens(RANGE()).await.map(|all| page(&all, shown)) }),
    },
    Operation {
        name: "find_token",
        content: Content::Object("token"),
        success: TOKEN,
        call: |oauth| {
            Box::pin(async {
                let found = oauth.find_token(&token()).await?;
                Ok(found.map_or_else(|| "none".to_owned(), |token| shown(&token)))
            })
        },
    },
    Operation {
        name: "update_token",
        content: Content::Object("token"),
        success: TOKEN,
        call: |oauth| {
            Box::pin(async {
                let updated = oauth.update_token(&token(), TokenUpdate::new().name("x")).await;
                updated.map(|token| shown(&token))
            })
        },
    },
    Operation {
        name: "refresh_token",
        content: Content::Object("token"),
        success: TOKEN,
        call: |oauth| {
            Box::pin(async {
                let refreshed = oauth.refresh_token(&token(), &"656d1e2f8b3c2a001f7e4a13".into()).await;
                refreshed.map(|token| shown(&token))
            })
        },
    },
    Operation {
        name: "delete_token",
        content: Content::Nothing,
        success: DELETED,
        call: |oauth| Box::pin(async { oauth.delete_token(&token()).await.map(|()| "deleted".to_owned()) }),
    },
    Operation {
        name: "list_scopes",
        content: Content::List(None),
        success: SCOPES,
        call: |oauth| Box::pin(async { oauth.list_scopes().await.map(|all| page(&all, debug)) }),
    },
    Operation {
        name: "get_scope",
        content: Content::Object("id"),
        success: SCOPE,
        call: |oauth| Box::pin(async { oauth.get_scope("682c9f5a51671f7ef264c4fd").await.map(|it| debug(&it)) }),
    },
    Operation {
        name: "get_wallet",
        content: Content::Object("credit"),
        success: WALLET,
        call: |oauth| Box::pin(async { oauth.wallet().await.map(|it| debug(&it)) }),
    },
    Operation {
        name: "list_wallet_transactions",
        content: Content::List(None),
        success: TRANSACTIONS,
        call: |oauth| Box::pin(async { oauth.list_wallet_transactions(RANGE()).await.map(|all| page(&all, debug)) }),
    },
    Operation {
        name: "list_errors",
        content: Content::List(None),
        success: ERRORS,
        call: |oauth| Box::pin(async { oauth.list_errors(&[], RANGE()).await.map(|all| page(&all, debug)) }),
    },
    Operation {
        name: "list_callbacks",
        content: Content::List(Some("200")),
        success: CALLBACKS,
        call: |oauth| {
            Box::pin(async { oauth.list_callbacks(&[], RANGE()).await.map(|all| page(&all, shown_callback)) })
        },
    },
    Operation {
        name: "get_callback",
        content: Content::Object("id"),
        success: CALLBACK,
        call: |oauth| {
            Box::pin(async { oauth.get_callback("65a1b2c3d4e5f6789abcdef0").await.map(|it| shown_callback(&it)) })
        },
    },
    Operation {
        name: "get_stats",
        content: Content::Object("totalRequests"),
        success: STATS,
        call: |oauth| Box::pin(async { oauth.stats(Period::total()).await.map(|it| debug(&it)) }),
    },
    Operation {
        name: "list_stats_ips",
        content: Content::List(None),
        success: STATS_IPS,
        call: |oauth| Box::pin(async { oauth.stats_ips(Period::total()).await.map(|it| format!("{it:?} []")) }),
    },
    Operation {
        name: "list_stats_apis",
        content: Content::Map,
        success: STATS_APIS,
        call: |oauth| Box::pin(async { oauth.stats_apis(Period::total()).await.map(|it| debug(&it)) }),
    },
    Operation {
        name: "get_stats_api",
        content: Content::Object("totalRequests"),
        success: STATS_API,
        call: |oauth| {
            Box::pin(async {
                let stats = oauth.stats_api("company.openapi.com", Period::total()).await?;
                Ok(format!("{stats:?} {:?}", stats.unrecognized()))
            })
        },
    },
    Operation {
        name: "list_subscriptions",
        content: Content::List(Some("220")),
        success: SUBSCRIPTIONS,
        call: |oauth| Box::pin(async { oauth.list_subscriptions(&[], RANGE()).await.map(|all| page(&all, debug)) }),
    },
    Operation {
        name: "get_subscription",
        content: Content::Object("id"),
        success: SUBSCRIPTION,
        call: |oauth| Box::pin(async { oauth.get_subscription("656d1e2f8b3c2a001f7e4a20").await.map(|it| debug(&it)) }),
    },
];

/// Returns the answer of the vendor's failures.
pub fn failure(status: u16, code: Value) -> Answer {
    Answer::json(status, json!({ "success": false, "message": "Not today", "error": code, "data": null }))
}

/// `tests/contract.rs` compares the service's operations with the spec.
#[test]
fn every_operation_is_listed() {
    let listed: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
    let all: BTreeSet<&str> = openapi_v2::SERVICE.operations.iter().map(|operation| operation.name).collect();
    assert_eq!(listed, all);
}
