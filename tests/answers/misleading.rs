//! Misleading responses: a refusal with status 200, an impossible expiry, a code that contains a secret.
use std::time::Duration;

use crate::common::fake::{Answer, FakeService};
use crate::common::services::openapi_v2;
use crate::common::store::put;
use crate::common::{EMAIL, Still, http, mint, minted, now, oauth, success, unix};
use gettone::keliweb::{self, Fatture};
use gettone::store::{MemoryStore, StoredToken};
use gettone::{AccessToken, ScopeSet};
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);
fn scopes() -> ScopeSet {
    ScopeSet::parse(["GET:a.it/b"]).unwrap()
}

/// Asserts that a reused token is not returned a year later, whatever its expiry is by the clock of a gateway.
async fn adopted(date: &str, expire: u64) {
    let list = json!({"success":true,"data":[{"scopes":["GET:a.it/b"],"expire":expire,"token":"listed-1"}]});
    let date = date.to_owned();
    let service = FakeService::deciding(move |asked| {
        if asked.method == "GET" {
            Answer::json(200, list.clone()).header("date", &date)
        } else {
            minted("made-2", &["GET:a.it/b"])
        }
    })
    .await;
    let (builder, clock) = oauth(&service.url()).http_client(http()).still();
    let oauth = builder.reuse_existing(true).build().unwrap();
    assert_eq!(oauth.token(&scopes()).await.unwrap().expose(), "listed-1");
    let before = service.calls();
    clock.advance(370 * 24 * HOUR);
    let token = oauth.token(&scopes()).await.unwrap();
    assert!(service.calls() > before, "a year later {token:?} {} is handed out, and nobody was asked", token.expose());
}
#[tokio::test]
async fn a_date_of_1970_does_not_make_a_token_live_for_decades() {
    adopted("Thu, 01 Jan 1970 00:00:00 GMT", unix(now()) + 3600).await
}
#[tokio::test]
async fn an_expiry_in_milliseconds_does_not_make_a_token_live_for_decades() {
    adopted("Thu, 14 Oct 2021 00:00:00 GMT", (unix(now()) + 3600) * 1000).await
}
#[tokio::test]
async fn a_token_is_not_used_after_its_expiry() {
    adopted("Thu, 14 Oct 2021 00:00:00 GMT", unix(now()) + 3600).await
}

/// Asserts that a code is recognized although it is redacted before it is shown.
async fn untouched(client_secret: &str) {
    let service = FakeService::answering([
        Answer::json(
            200,
            json!({"token_type":"Bearer","expires_in":3600,"access_token":"access-1","refresh_token":"refresh-1"}),
        ),
        Answer::json(401, json!({"error":"invalid_client","error_description":"Client authentication failed"})),
        Answer::json(401, json!({"error":"invalid_client","error_description":"Client authentication failed"})),
    ])
    .await;
    let (builder, clock) =
        Fatture::builder(keliweb::Credentials::new("id", client_secret, "u@example.com", "a password"))
            .base_url(service.url())
            .http_client(http())
            .still();
    let fatture = builder.build().unwrap();
    fatture.token().await.unwrap();
    clock.advance(2 * HOUR);
    let error = fatture.token().await.unwrap_err();
    assert!(error.is_unauthorized());
    assert_eq!((service.calls(), error.code()), (2, Some("invalid_client")), "calls, and the code");
}
#[tokio::test]
async fn an_ordinary_client_secret_does_not_change_a_code() {
    untouched("UhoPgAS8rnAm57J8dLXWqKDTFnwjzS30pLzE572Z").await
}
#[tokio::test]
async fn a_client_secret_that_is_part_of_a_code_does_not_change_it() {
    untouched("client").await
}
#[tokio::test]
async fn a_client_secret_that_contains_a_code_does_not_change_it() {
    untouched("fatture-invalid_client-2021").await
}

/// If a refusal counted as a deletion, the token would live on unknown.
#[tokio::test]
async fn a_refusal_with_status_200_is_no_deletion() {
    let mut wrong = Vec::new();
    for no in [
        r#"{"success":0,"message":"not deleted","error":140}"#,
        r#"{"success":0,"message":"not deleted"}"#,
        r#"{"success":"0","message":"not deleted"}"#,
        r#"{"success":"no","message":"not deleted"}"#,
        r#"{"success":"","message":"not deleted"}"#,
        r#"{"message":"Unauthenticated."}"#,
        r#"{"data":[],"error":140,"message":"Only single tokens are enabled for this method"}"#,
        r#"{"data":{},"error":140,"message":"Only single tokens are enabled for this method"}"#,
        r#"{"error":{"code":140},"message":"Only single tokens are enabled for this method"}"#,
        r#"{"error":true,"message":"Only single tokens are enabled for this method"}"#,
        r#"{"success":null,"error":["140"],"message":"no"}"#,
    ] {
        let service = FakeService::deciding(move |asked| {
            if asked.method == "DELETE" { Answer::json(200, no) } else { minted("token-1", &["GET:a.it/b"]) }
        })
        .await;
        let oauth = service.oauth();
        oauth.token(&scopes()).await.unwrap();
        let revoked = oauth.revoke_created().await;
        let calls = service.calls();
        let again = oauth.revoke_created().await;
        if revoked.is_ok() {
            wrong.push(format!("{no}: revoked {revoked:?}; tried again: {} {again:?}", service.calls() > calls));
        }
        let second = FakeService::deciding(move |asked| match asked.method.as_str() {
            "DELETE" => Answer::json(200, no),
            _ => success("v2 create_token"),
        })
        .await;
        let oauth = second.oauth_v2();
        oauth.token(&ScopeSet::parse([openapi_v2::RESOURCE]).unwrap()).await.unwrap();
        if let Ok(revoked) = oauth.revoke_created().await {
            wrong.push(format!("{no}: version 2 revoked {revoked}"));
        }
        assert_eq!(second.calls(), 2);
    }
    assert!(wrong.is_empty(), "{} of 22:\n{}", wrong.len(), wrong.join("\n"));
}

/// A program that lists the tokens to delete them must not mistake a refusal for an empty list.
#[tokio::test]
async fn a_refusal_with_status_200_is_no_empty_list() {
    let mut wrong = Vec::new();
    for no in [
        r#"{"data":[],"error":401,"message":"Wrong email or API key"}"#,
        r#"{"success":0,"data":[],"error":401,"message":"Wrong email or API key"}"#,
        r#"{"success":"0","data":[],"error":401,"message":"Wrong email or API key"}"#,
        r#"{"success":"no","data":[],"message":"Wrong email or API key"}"#,
        r#"{"error":401,"message":"Wrong email or API key"}"#,
    ] {
        let service = FakeService::answering_with(Answer::json(200, no)).await;
        let oauth = service.oauth();
        if let Ok(tokens) = oauth.list_tokens().await {
            wrong.push(format!("{no}: tokens {tokens:?}"));
        }
        if let Ok(found) = oauth.find_token(&AccessToken::new("t")).await {
            wrong.push(format!("{no}: found {found:?}"));
        }
        for operation in openapi_v2::SERVICE.operations {
            if let Ok(read) = service.call(operation).await {
                wrong.push(format!("{no}: {operation} {read:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_stored_token_that_was_granted_less_is_ignored() {
    let service = mint(&["GET:a.it/b"]).await;
    let store = MemoryStore::new();
    let name = format!("openapi-oauth {:?} {:?} GET:a.it/b", service.url(), EMAIL);
    let ms = unix(now()) * 1000;
    let json = json!({"version":1,"access_token":"stored-1","obtained_at":ms,"expires_at":253402300799000_u64,"scopes":{"requested":["GET:a.it/b"],"granted":[]}});
    put(&store, &name, &StoredToken::from_json(&json.to_string()).unwrap()).await.unwrap();
    let (builder, clock) = oauth(&service.url()).http_client(http()).still();
    let oauth = builder.store(store).build().unwrap();
    let first = oauth.token(&scopes()).await.unwrap();
    clock.advance(400 * 24 * HOUR);
    let later = oauth.token(&scopes()).await.unwrap();
    assert!(
        first.expose() != "stored-1" && later.expose() != "stored-1",
        "first {}, 400 days later {}",
        first.expose(),
        later.expose()
    );
}
