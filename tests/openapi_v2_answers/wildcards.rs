//! Wildcards, which the client expands itself.

use gettone::openapi::Ttl;
use gettone::openapi::v2::{NewToken, TokenUpdate};
use gettone::{Error, ScopeSet};
use serde_json::{Value, json};

use super::operations::{TOKEN, client, failure, token};
use crate::common::fake::{Answer, FakeService};

/// The catalog of the tests, with an entry that is no scope.
fn catalog() -> Answer {
    let entry = |scope: &str, enabled: Value| json!({ "id": scope, "scope": scope, "enabled": enabled });
    let entries = json!([
        entry("POST:company.openapi.com/IT-start", json!(true)),
        entry("GET:company.openapi.com/IT-start", json!(true)),
        entry("GET:company.openapi.com/IT-advanced", json!(false)),
        entry("GET:company.openapi.com/IT-search", json!(null)),
        entry("GET:company.openapi.com/CH-start", json!("true")),
        entry("GET:sms.openapi.com/messages", json!(true)),
        entry("GET:visure.openapi.it/bilancio", json!(false)),
        "something new",
    ]);
    Answer::json(200, json!({ "data": entries }))
}

async fn service() -> FakeService {
    FakeService::deciding(|request| match request.target.as_str() {
        "/scopes" => catalog(),
        _ => Answer::json(200, TOKEN),
    })
    .await
}

fn set(scopes: &[&str]) -> ScopeSet {
    ScopeSet::parse(scopes).unwrap()
}

/// Returns the targets of the requests, and the scopes of the last one.
fn asked(service: &FakeService) -> (Vec<String>, Value) {
    let requests = service.requests();
    let body: Value = serde_json::from_str(&requests.last().unwrap().body).unwrap_or_default();
    (requests.into_iter().map(|it| format!("{} {}", it.method, it.target)).collect(), body["scopes"].clone())
}

const CREATE: &str = "POST /tokens";
const UPDATE: &str = "PATCH /tokens/656d1e2f8b3c2a001f7e4a12";

#[tokio::test]
async fn scopes_without_a_wildcard_are_sent_as_they_are() {
    // Even if the catalog does not list them: that is the service's to judge.
    let scopes = set(&["GET:company.openapi.com/IT-advanced", "GET:elsewhere.it/x"]);
    let sent = json!(["GET:company.openapi.com/IT-advanced", "GET:elsewhere.it/x"]);
    let at = service().await;
    client(&at).create_token(NewToken::new(&scopes, Ttl::days(1).unwrap())).await.unwrap();
    assert_eq!(asked(&at), (vec![CREATE.to_owned()], sent.clone()));
    let at = service().await;
    client(&at).update_token(&token(), TokenUpdate::new().scopes(&scopes)).await.unwrap();
    assert_eq!(asked(&at), (vec![UPDATE.to_owned()], sent));
    let at = service().await;
    client(&at).update_token(&token(), TokenUpdate::new().name("x")).await.unwrap();
    assert_eq!(asked(&at), (vec![UPDATE.to_owned()], Value::Null));
    let at = service().await;
    assert_eq!(client(&at).expand(&scopes).await.unwrap(), scopes);
    assert_eq!(at.calls(), 0);
}

#[tokio::test]
async fn a_wildcard_is_sent_as_the_enabled_scopes_that_it_stands_for() {
    for (scopes, expanded) in [
        (
            &["GET:company.openapi.com/*"][..],
            &["GET:company.openapi.com/CH-start", "GET:company.openapi.com/IT-start"][..],
        ),
        (
            &["*:company.openapi.com/IT-start"],
            &["GET:company.openapi.com/IT-start", "POST:company.openapi.com/IT-start"],
        ),
        (&["GET:*/messages"], &["GET:sms.openapi.com/messages"]),
        (
            &["*:*/*"],
            &[
                "GET:company.openapi.com/CH-start",
                "GET:company.openapi.com/IT-start",
                "GET:sms.openapi.com/messages",
                "POST:company.openapi.com/IT-start",
            ],
        ),
        (
            &["GET:sms.openapi.com/*", "GET:visure.openapi.it/bilancio", "GET:sms.openapi.com/messages"],
            &["GET:sms.openapi.com/messages", "GET:visure.openapi.it/bilancio"],
        ),
    ] {
        let scopes = set(scopes);
        let sorted = |sent: &Value| {
            let mut sent: Vec<String> = serde_json::from_value(sent.clone()).unwrap();
            sent.sort();
            sent
        };

        let at = service().await;
        client(&at).create_token(NewToken::new(&scopes, Ttl::days(1).unwrap())).await.unwrap();
        let (targets, sent) = asked(&at);
        assert_eq!(
            (targets, sorted(&sent)),
            (vec!["GET /scopes".to_owned(), CREATE.to_owned()], sorted(&json!(expanded)))
        );

        let at = service().await;
        client(&at).update_token(&token(), TokenUpdate::new().scopes(&scopes)).await.unwrap();
        let (targets, sent) = asked(&at);
        assert_eq!(
            (targets, sorted(&sent)),
            (vec!["GET /scopes".to_owned(), UPDATE.to_owned()], sorted(&json!(expanded)))
        );

        let at = service().await;
        assert_eq!(client(&at).expand(&scopes).await.unwrap(), set(expanded));
        assert_eq!(asked(&at).0, ["GET /scopes"]);
    }
}

/// Creates, updates and expands, which must fail after one request for the catalog.
async fn errors(scopes: &[&str], answer: Answer) -> [Error; 3] {
    let scopes = set(scopes);
    let at = FakeService::answering_with(answer).await;
    let oauth = client(&at);
    let errors = [
        oauth.create_token(NewToken::new(&scopes, Ttl::days(1).unwrap())).await.unwrap_err(),
        oauth.update_token(&token(), TokenUpdate::new().scopes(&scopes)).await.unwrap_err(),
        oauth.expand(&scopes).await.unwrap_err(),
    ];
    assert_eq!(asked(&at).0, ["GET /scopes"; 3]);
    errors
}

#[tokio::test]
async fn a_wildcard_for_nothing_is_an_error_that_names_the_nearest_scopes() {
    for (scopes, missing, said) in [
        (
            &["GET:compani.openapi.com/*"][..],
            &["GET:compani.openapi.com/*"][..],
            "GET:compani.openapi.com/*: stands for no scope that the vendor lists; the nearest are \
             GET:company.openapi.com/CH-start, GET:company.openapi.com/IT-advanced (not enabled), \
             GET:company.openapi.com/IT-search (not enabled)",
        ),
        (
            &["GET:visure.openapi.it/*", "GET:sms.openapi.com/*"],
            &["GET:visure.openapi.it/*"],
            "GET:visure.openapi.it/*: stands for 1 scope, which the account has not enabled",
        ),
        (
            &["GET:*/IT-advanced", "DELETE:sms.openapi.com/*"],
            &["GET:*/IT-advanced", "DELETE:sms.openapi.com/*"],
            "GET:*/IT-advanced: stands for 1 scope, which the account has not enabled",
        ),
    ] {
        for error in errors(scopes, catalog()).await {
            assert_eq!(error.not_granted(), Some(&set(missing)), "{error}");
            assert!(error.to_string().contains(said), "{error}");
            assert!(!error.is_transient() && !error.is_ambiguous() && error.status().is_none(), "{error:?}");
        }
    }
    for error in errors(&["GET:a.it/*"], Answer::json(200, json!({ "data": [] }))).await {
        assert!(error.to_string().ends_with("GET:a.it/*: the vendor lists no scopes for the account"), "{error}");
    }
}

#[tokio::test]
async fn without_the_catalog_nothing_is_created() {
    for error in errors(&["GET:a.it/*"], failure(422, json!(999))).await {
        assert_eq!((error.operation(), error.code()), (Some("list_scopes"), Some("999")));
        assert!(error.not_granted().is_none());
    }
}
