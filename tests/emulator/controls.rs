//! What a test tells the emulator, and what it can look at afterwards.

use std::time::Duration;

use gettone::ScopeSet;
use gettone::emulator::{Account, Emulator, Fault, Part};
use gettone::openapi::Decimal;
use gettone::reqwest;
use serde_json::{Value, json};

use crate::asking::*;
use crate::common::{http, now, until};

/// `POST /token`, of which the answer may not come.
async fn try_make(bench: &Bench) -> reqwest::Result<(u16, String)> {
    let account = bench.emulator.account();
    let request = http().post(format!("{}/token", bench.emulator.production_url()));
    let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
    let answer = request.body(json!({ "scopes": [BASE], "ttl": 60 }).to_string()).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// The error at the bottom.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[tokio::test]
async fn a_status_stands_in_the_way_and_nothing_is_carried_out() {
    let bench = bench().await;
    bench.emulator.fail_next(2, Fault::StatusWithRetryAfter(503, Duration::from_secs(7)));
    for _ in 0..2 {
        let failed = bench.ask("POST", "/token", json!({ "scopes": [BASE] })).await;
        assert_eq!((failed.status, failed.header("retry-after")), (503, "7"));
    }
    bench.emulator.fail_next(1, Fault::Html(502));
    let (status, page) = try_make(&bench).await.unwrap();
    assert!(status == 502 && page.starts_with("<!DOCTYPE html>"), "{status} {page}");
    bench.emulator.fail_next(1, Fault::Status(500));
    assert_eq!(try_make(&bench).await.unwrap().0, 500);
    assert!(bench.emulator.tokens().is_empty());
    assert_eq!(try_make(&bench).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_reset_comes_before_or_after_and_half_an_answer_after() {
    let bench = bench().await;
    for (fault, made) in [(Fault::ResetBefore, 0), (Fault::ResetAfter, 1), (Fault::HalfAnswer, 2)] {
        bench.emulator.fail_next(1, fault);
        let error = try_make(&bench).await.unwrap_err();
        let half = fault == Fault::HalfAnswer;
        assert_eq!(error.is_body() || error.is_decode(), half, "{fault:?}: {error:?}");
        assert_eq!(cause(&error).contains("reset"), !half, "{fault:?}: {error:?}");
        assert_eq!(bench.emulator.tokens().len(), made, "{fault:?}");
        assert_eq!(bench.emulator.requests().last().unwrap().status, half.then_some(200));
    }
}

#[tokio::test]
async fn a_fault_waits_for_its_request() {
    let bench = bench().await;
    bench.emulator.fail_next_on(1, "DELETE", Fault::Status(503));
    bench.emulator.fail_next_on(1, "POST /sandbox/token", Fault::Status(503));
    bench.emulator.fail_next_on(1, "POST /tok", Fault::Status(503));
    bench.emulator.fail_next_on(1, "/echo", Fault::Status(503));
    assert_eq!(bench.ask("GET", "/token", Value::Null).await.status, 204);
    assert_eq!(bench.ask("POST", "/token", json!({ "scopes": [ECHO] })).await.status, 503);
    let token = bench.make(&[ECHO]).await;
    assert_eq!(bench.call("GET", "/echo/a", &token).await.status, 503);
    assert_eq!(bench.call("GET", "/echo/a", &token).await.status, 200);
    let path = format!("/token/{token}");
    assert_eq!(bench.ask("DELETE", &path, Value::Null).await.status, 503);
    assert_eq!(bench.ask("DELETE", &path, Value::Null).await.status, 200);
    bench.emulator.fail_next(1, Fault::Status(503));
    bench.emulator.clear_faults();
    assert_eq!(bench.ask("GET", "/scopes", Value::Null).await.status, 200);
}

#[tokio::test]
async fn late_is_carried_out_all_the_same_and_moves_no_clock() {
    let bench = bench().await;
    bench.emulator.latency(Duration::from_secs(3600));
    let account = bench.emulator.account();
    let request = http().post(format!("{}/token", bench.emulator.production_url()));
    let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
    let asked = tokio::spawn(request.body(json!({ "scopes": [BASE] }).to_string()).send());
    until(|| !bench.emulator.tokens().is_empty()).await;
    assert!(!asked.is_finished());
    asked.abort();
    bench.emulator.latency(Duration::ZERO);
    assert_eq!(bench.ask("GET", "/scopes", Value::Null).await.status, 200);
    assert_eq!((bench.emulator.clock().now(), bench.clock.waits()), (now(), vec![]));
}

#[tokio::test]
async fn a_grant_can_be_less_than_was_asked_for() {
    let bench = bench().await;
    bench.emulator.grant_only(ScopeSet::parse([BASE]).unwrap());
    let body = json!({ "scopes": [BASE, FULL] });
    let made = bench.ask("POST", "/token", body.clone()).await;
    assert_eq!(made.body["scopes"], json!([BASE]));
    bench.emulator.grant_all();
    assert_eq!(bench.ask("POST", "/token", body).await.body["scopes"], json!([BASE, FULL]));
}

#[tokio::test]
async fn a_new_token_may_be_wrong_for_a_while() {
    let bench = bench().await;
    bench.emulator.activation_delay(Duration::from_secs(4));
    let token = bench.make(&[ECHO]).await;
    assert_eq!(bench.call("GET", "/echo", &token).await.body["message"], "Wrong Token");
    bench.seconds(3);
    assert_eq!(bench.call("GET", "/echo", &token).await.status, 401);
    bench.seconds(1);
    assert_eq!(bench.call("GET", "/echo", &token).await.status, 200);
}

#[tokio::test]
async fn all_can_be_revoked_at_once() {
    let bench = bench().await;
    let (token, pair) = (bench.make(&[ECHO]).await, bench.password_grant().await);
    let living = || [Part::Production, Part::Keliweb].map(|part| bench.emulator.living(part));
    assert_eq!(living(), [1, 1]);
    bench.emulator.revoke_all();
    assert_eq!(living(), [0, 0]);
    assert_eq!(bench.call("GET", "/echo", &token).await.status, 401);
    assert_eq!(bench.call("GET", "/api", pair.body["access_token"].as_str().unwrap()).await.status, 401);
    assert_eq!(bench.refresh(pair.body["refresh_token"].as_str().unwrap()).await.status, 400);
}

#[tokio::test]
async fn requests_are_kept_and_no_secret_of_them_is_printed() {
    let bench = bench().await;
    let token = bench.make(&[ECHO]).await;
    bench.ask("GET", &format!("/token/{token}?x=1"), Value::Null).await;
    bench.call("GET", "/echo", &token).await;
    let pair = bench.password_grant().await;
    bench.emulator.fail_next(1, Fault::Status(503));
    bench.refresh(pair.body["refresh_token"].as_str().unwrap()).await;

    let requests = bench.emulator.requests();
    let told = requests.iter().map(|request| (request.part, request.operation, request.status.unwrap()));
    let expected = [
        (Part::Production, "create_token", 200),
        (Part::Production, "find_token", 200),
        (Part::Echo, "echo", 200),
        (Part::Keliweb, "password_grant", 200),
        (Part::Keliweb, "refresh", 503),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(requests[1].path.expose(), format!("/production/token/{token}?x=1"));
    assert_eq!(bench.emulator.count("echo"), 1);
    let printed = format!("{requests:?} {:?} {:?}", bench.emulator.tokens(), bench.emulator);
    for secret in [token.as_str(), pair.body["access_token"].as_str().unwrap(), "def50200"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn credit_can_be_set_and_runs_out() {
    let other = Account::new("other@example.com", "key", "key");
    let builder = Emulator::builder().account(Account::default()).account(other).price(Decimal::new(2, 2));
    let bench = bench_of(builder).await;
    let token = bench.make(&[ECHO]).await;
    let (production, sandbox) = (bench.emulator.production_url(), bench.emulator.sandbox_url());
    let account = bench.emulator.account();
    let (key, sandbox_key) = (account.production_key().expose(), account.sandbox_key().expose());
    let credit = async |base: &str, email: &str, key: &str| {
        bench.ask_at(base, Some((email, key)), "GET", "/credit", Value::Null).await
    };
    bench.emulator.set_credit(Decimal::new(5, 2));
    for left in [0.05, 0.03, 0.01] {
        assert_eq!(credit(&production, account.email(), key).await.body["data"]["credit"], json!(left));
        assert_eq!(bench.call("GET", "/echo", &token).await.status, if left > 0.01 { 200 } else { 402 });
    }
    let refused = bench.call("GET", "/echo", &token).await;
    let said = json!({ "success": false, "message": "Insufficient credit", "error": null, "data": null });
    assert_eq!((refused.status, refused.body), (402, said));
    assert_eq!(credit(&production, account.email(), key).await.body["data"]["credit"], json!(0.01));
    let counted = bench.ask("GET", "/counters/total", Value::Null).await;
    assert_eq!(counted.body["data"][ECHO]["counter"], 2);

    // Either environment of the first account, and nobody else's.
    bench.emulator.set_credit(Decimal::ONE);
    assert_eq!(bench.call("GET", "/echo", &token).await.status, 200);
    bench.emulator.set_credit(None);
    assert_eq!(bench.call("GET", "/echo", &token).await.status, 402);
    for (base, key) in [(&production, key), (&sandbox, sandbox_key)] {
        assert_eq!(credit(base, account.email(), key).await.code(), (404, json!(320)));
        assert_eq!(credit(base, "other@example.com", "key").await.body["data"]["credit"], json!(423.38));
    }
}

#[tokio::test]
async fn advancing_moves_the_emulator_alone() {
    let bench = bench().await;
    let token = bench.make(&[ECHO]).await;
    bench.emulator.advance(Duration::from_secs(3600));
    assert_eq!(bench.call("GET", "/echo", &token).await.status, 401);
    assert_eq!(bench.now() + 3600, crate::common::unix(bench.emulator.clock().now()));
}

#[tokio::test]
async fn a_stopped_emulator_leaves_its_port_and_its_connections() {
    let emulator = Emulator::start().await.unwrap();
    let (address, url) = (emulator.address(), emulator.url("/echo"));
    assert!(Emulator::builder().port(address.port()).start().await.is_err());
    emulator.latency(Duration::from_secs(3600));
    let waiting = tokio::spawn(http().get(url).send());
    until(|| !emulator.requests().is_empty()).await;
    emulator.stop().await;
    assert!(waiting.await.unwrap().is_err());
    let again = Emulator::builder().port(address.port()).start().await.unwrap();
    drop(again);
}
