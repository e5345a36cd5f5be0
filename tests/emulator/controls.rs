//! What a test can control, and what it can inspect.

use std::time::Duration;

use gettone::ScopeSet;
use gettone::emulator::{Account, Api, Emulator, Fault};
use gettone::openapi::Decimal;
use gettone::reqwest;
use serde_json::{Value, json};

use crate::common::{http, now, until};
use crate::fixture::*;

/// Calls `POST /token`, whose response may be lost.
async fn try_make(fixture: &Fixture) -> reqwest::Result<(u16, String)> {
    let account = fixture.emulator.account();
    let request = http().post(format!("{}/token", fixture.emulator.production_url()));
    let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
    let answer = request.body(json!({ "scopes": [BASE], "ttl": 60 }).to_string()).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Returns the text of the innermost error.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[tokio::test]
async fn a_fault_with_a_status_keeps_the_request_from_being_processed() {
    let fixture = start().await;
    fixture.emulator.fail_next(2, Fault::StatusWithRetryAfter(503, Duration::from_secs(7)));
    for _ in 0..2 {
        let failed = fixture.ask("POST", "/token", json!({ "scopes": [BASE] })).await;
        assert_eq!((failed.status, failed.header("retry-after")), (503, "7"));
    }
    fixture.emulator.fail_next(1, Fault::Html(502));
    let (status, page) = try_make(&fixture).await.unwrap();
    assert!(status == 502 && page.starts_with("<!DOCTYPE html>"), "{status} {page}");
    fixture.emulator.fail_next(1, Fault::Status(500));
    assert_eq!(try_make(&fixture).await.unwrap().0, 500);
    assert!(fixture.emulator.tokens().is_empty());
    assert_eq!(try_make(&fixture).await.unwrap().0, 200);
}

#[tokio::test]
async fn only_a_lost_request_is_not_processed() {
    let fixture = start().await;
    for (fault, made) in [(Fault::LostRequest, 0), (Fault::LostResponse, 1), (Fault::TruncatedResponse, 2)] {
        fixture.emulator.fail_next(1, fault);
        let error = try_make(&fixture).await.unwrap_err();
        let half = fault == Fault::TruncatedResponse;
        assert_eq!(error.is_body() || error.is_decode(), half, "{fault:?}: {error:?}");
        assert_eq!(cause(&error).contains("reset"), !half, "{fault:?}: {error:?}");
        assert_eq!(fixture.emulator.tokens().len(), made, "{fault:?}");
        assert_eq!(fixture.emulator.requests().last().unwrap().status, half.then_some(200));
    }
}

#[tokio::test]
async fn a_fault_waits_for_its_request() {
    let fixture = start().await;
    fixture.emulator.fail_next_on(1, "DELETE", Fault::Status(503));
    fixture.emulator.fail_next_on(1, "POST /sandbox/token", Fault::Status(503));
    fixture.emulator.fail_next_on(1, "POST /tok", Fault::Status(503));
    fixture.emulator.fail_next_on(1, "/echo", Fault::Status(503));
    assert_eq!(fixture.ask("GET", "/token", Value::Null).await.status, 204);
    assert_eq!(fixture.ask("POST", "/token", json!({ "scopes": [ECHO] })).await.status, 503);
    let token = fixture.make(&[ECHO]).await;
    assert_eq!(fixture.call("GET", "/echo/a", &token).await.status, 503);
    assert_eq!(fixture.call("GET", "/echo/a", &token).await.status, 200);
    let path = format!("/token/{token}");
    assert_eq!(fixture.ask("DELETE", &path, Value::Null).await.status, 503);
    assert_eq!(fixture.ask("DELETE", &path, Value::Null).await.status, 200);
    fixture.emulator.fail_next(1, Fault::Status(503));
    fixture.emulator.clear_faults();
    assert_eq!(fixture.ask("GET", "/scopes", Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_delayed_request_is_processed_at_once_and_moves_no_clock() {
    let fixture = start().await;
    fixture.emulator.set_latency(Duration::from_secs(3600));
    let account = fixture.emulator.account();
    let request = http().post(format!("{}/token", fixture.emulator.production_url()));
    let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
    let asked = tokio::spawn(request.body(json!({ "scopes": [BASE] }).to_string()).send());
    until(|| !fixture.emulator.tokens().is_empty()).await;
    assert!(!asked.is_finished());
    asked.abort();
    fixture.emulator.set_latency(Duration::ZERO);
    assert_eq!(fixture.ask("GET", "/scopes", Value::Null).await.status, 200);
    assert_eq!((fixture.emulator.clock().now(), fixture.clock.waits()), (now(), vec![]));
}

#[tokio::test]
async fn a_grant_can_have_fewer_scopes_than_the_request() {
    let fixture = start().await;
    fixture.emulator.grant_only(ScopeSet::parse([BASE]).unwrap());
    let body = json!({ "scopes": [BASE, FULL] });
    let made = fixture.ask("POST", "/token", body.clone()).await;
    assert_eq!(made.body["scopes"], json!([BASE]));
    fixture.emulator.grant_all();
    assert_eq!(fixture.ask("POST", "/token", body).await.body["scopes"], json!([BASE, FULL]));
}

#[tokio::test]
async fn a_new_token_is_rejected_during_the_activation_delay() {
    let fixture = start().await;
    fixture.emulator.set_activation_delay(Duration::from_secs(4));
    let token = fixture.make(&[ECHO]).await;
    assert_eq!(fixture.call("GET", "/echo", &token).await.body["message"], "Wrong Token");
    fixture.seconds(3);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401);
    fixture.seconds(1);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 200);
}

#[tokio::test]
async fn all_tokens_can_be_revoked_at_once() {
    let fixture = start().await;
    let (token, pair) = (fixture.make(&[ECHO]).await, fixture.password_grant().await);
    let living = || [Api::Production, Api::Keliweb].map(|part| fixture.emulator.count_valid_tokens(part));
    assert_eq!(living(), [1, 1]);
    fixture.emulator.revoke_all();
    assert_eq!(living(), [0, 0]);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401);
    assert_eq!(fixture.call("GET", "/api", pair.body["access_token"].as_str().unwrap()).await.status, 401);
    assert_eq!(fixture.refresh(pair.body["refresh_token"].as_str().unwrap()).await.status, 400);
}

#[tokio::test]
async fn requests_are_recorded_and_debug_shows_no_secret() {
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    fixture.ask("GET", &format!("/token/{token}?x=1"), Value::Null).await;
    fixture.call("GET", "/echo", &token).await;
    let pair = fixture.password_grant().await;
    fixture.emulator.fail_next(1, Fault::Status(503));
    fixture.refresh(pair.body["refresh_token"].as_str().unwrap()).await;

    let requests = fixture.emulator.requests();
    let told = requests.iter().map(|request| (request.api, request.operation, request.status.unwrap()));
    let expected = [
        (Api::Production, "create_token", 200),
        (Api::Production, "find_token", 200),
        (Api::Echo, "echo", 200),
        (Api::Keliweb, "password_grant", 200),
        (Api::Keliweb, "refresh", 503),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(requests[1].path.expose(), format!("/production/token/{token}?x=1"));
    assert_eq!(fixture.emulator.count("echo"), 1);
    let printed = format!("{requests:?} {:?} {:?}", fixture.emulator.tokens(), fixture.emulator);
    for secret in [token.as_str(), pair.body["access_token"].as_str().unwrap(), "def50200"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn credit_can_be_set_and_runs_out() {
    let other = Account::new("other@example.com", "key", "key");
    let builder = Emulator::builder().account(Account::default()).account(other).price(Decimal::new(2, 2));
    let fixture = start_with(builder).await;
    let token = fixture.make(&[ECHO]).await;
    let (production, sandbox) = (fixture.emulator.production_url(), fixture.emulator.sandbox_url());
    let account = fixture.emulator.account();
    let (key, sandbox_key) = (account.production_key().expose(), account.sandbox_key().expose());
    let credit = async |base: &str, email: &str, key: &str| {
        fixture.ask_at(base, Some((email, key)), "GET", "/credit", Value::Null).await
    };
    fixture.emulator.set_credit(Decimal::new(5, 2));
    for left in [0.05, 0.03, 0.01] {
        assert_eq!(credit(&production, account.email(), key).await.body["data"]["credit"], json!(left));
        assert_eq!(fixture.call("GET", "/echo", &token).await.status, if left > 0.01 { 200 } else { 402 });
    }
    let refused = fixture.call("GET", "/echo", &token).await;
    let said = json!({ "success": false, "message": "Insufficient credit", "error": null, "data": null });
    assert_eq!((refused.status, refused.body), (402, said));
    assert_eq!(credit(&production, account.email(), key).await.body["data"]["credit"], json!(0.01));
    let counted = fixture.ask("GET", "/counters/total", Value::Null).await;
    assert_eq!(counted.body["data"][ECHO]["counter"], 2);

    // In both environments of the first account, and of no other account.
    fixture.emulator.set_credit(Decimal::ONE);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 200);
    fixture.emulator.set_credit(None);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 402);
    for (base, key) in [(&production, key), (&sandbox, sandbox_key)] {
        assert_eq!(credit(base, account.email(), key).await.code(), (404, json!(320)));
        assert_eq!(credit(base, "other@example.com", "key").await.body["data"]["credit"], json!(423.38));
    }
}

#[tokio::test]
async fn advancing_moves_only_the_emulators_clock() {
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    fixture.emulator.advance(Duration::from_secs(3600));
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401);
    assert_eq!(fixture.now() + 3600, crate::common::unix(fixture.emulator.clock().now()));
}

#[tokio::test]
async fn a_stopped_emulator_frees_its_port_and_closes_its_connections() {
    let emulator = Emulator::start().await.unwrap();
    let (address, url) = (emulator.address(), emulator.url("/echo"));
    assert!(Emulator::builder().port(address.port()).start().await.is_err());
    emulator.set_latency(Duration::from_secs(3600));
    let waiting = tokio::spawn(http().get(url).send());
    until(|| !emulator.requests().is_empty()).await;
    emulator.stop().await;
    assert!(waiting.await.unwrap().is_err());
    let again = Emulator::builder().port(address.port()).start().await.unwrap();
    drop(again);
}
