//! What the interface changes: the same as the methods of `Emulator`, seen by plain requests to the services.

use std::time::Duration;

use gettone::emulator::Api;
use serde_json::{Value, json};

use super::{fault, start};
use crate::common::{http, until};
use crate::fixture::{BASE, ECHO, FULL, Fixture};

/// Returns the status of `GET /scopes`, or `None` if the connection was reset, or the text if it broke off.
async fn outcome(fixture: &Fixture) -> Result<u16, bool> {
    let account = fixture.emulator.account();
    let request = http().get(format!("{}/scopes", fixture.emulator.production_url()));
    let response = request.basic_auth(account.email(), Some(account.production_key().expose())).send().await;
    let response = response.map_err(|_| false)?;
    let status = response.status().as_u16();
    response.text().await.map(|_| status).map_err(|_| true)
}

#[tokio::test]
async fn faults_happen_wait_and_are_cleared() {
    let fixture = start().await;
    let faults = [
        json!({ "kind": "status", "status": 503, "times": 2, "on": "" }),
        json!({ "kind": "status", "status": 503, "retry_after": 7, "times": 1, "on": "GET /scopes" }),
        json!({ "kind": "html", "status": 502, "times": 1, "on": "GET" }),
        json!({ "kind": "lost_request", "times": 1, "on": "/production" }),
        json!({ "kind": "truncated_response", "times": 1, "on": "" }),
        json!({ "kind": "lost_response", "times": 1, "on": "DELETE /echo" }),
    ];
    for fault in &faults {
        fixture.change("POST", "/faults", fault.clone()).await;
    }
    let listed = async || fixture.control("GET", "/faults", Value::Null).await.body["faults"].clone();
    assert_eq!(listed().await, json!(faults));
    assert_eq!(outcome(&fixture).await, Ok(503));
    assert_eq!(listed().await[0]["times"], 1);
    assert_eq!(outcome(&fixture).await, Ok(503));
    assert_eq!(fixture.ask("GET", "/scopes", Value::Null).await.header("retry-after"), "7");
    assert_eq!(outcome(&fixture).await, Ok(502));
    assert_eq!(outcome(&fixture).await, Err(false));
    assert_eq!(outcome(&fixture).await, Err(true));
    assert_eq!(outcome(&fixture).await, Ok(200));
    assert_eq!(listed().await, json!(faults[5..]));
    fixture.change("DELETE", "/faults", Value::Null).await;
    assert_eq!(listed().await, json!([]));
    // Of any kind, and once, if the body does not say.
    fixture.change("POST", "/faults", fault("lost_response")).await;
    assert_eq!(outcome(&fixture).await, Err(false));
    assert_eq!(outcome(&fixture).await, Ok(200));
}

#[tokio::test]
async fn latency_delays_responses_of_the_services() {
    let fixture = start().await;
    fixture.change("PUT", "/latency", json!({ "seconds": 3600 })).await;
    let asked = tokio::spawn(http().get(format!("{}/scopes", fixture.emulator.production_url())).send());
    until(|| fixture.emulator.count("list_scopes") == 1).await;
    assert!(!asked.is_finished());
    asked.abort();
    assert_eq!(fixture.state().await["latency_seconds"], 3600.0);
    fixture.change("PUT", "/latency", json!({ "seconds": 0 })).await;
    assert_eq!(outcome(&fixture).await, Ok(200));
}

#[tokio::test]
async fn time_moves_and_tokens_expire() {
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 200);
    let moved = fixture.control("POST", "/advance", json!({ "seconds": 3600.5 })).await;
    assert_eq!(moved.body, json!({ "now": "2021-10-14T01:00:00Z" }));
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401);
    assert_eq!(fixture.state().await["ahead_seconds"], 3600.5);
    // However often: the clock neither ends nor goes back. No `Date` can tell the time beyond the year 9999.
    let control = |method: &str, path: &str| {
        let request = http().request(method.parse().unwrap(), fixture.emulator.url(path));
        request.header("content-type", "application/json")
    };
    for _ in 0..50 {
        let moved = control("POST", "/_emulator/advance").body(r#"{"seconds":1e10}"#).send().await.unwrap();
        assert_eq!(moved.status(), 200);
    }
    let state = control("GET", "/_emulator/state").send().await.unwrap().text().await.unwrap();
    assert!(state.contains(r#""now":"9999-12-31T23:59:59Z""#), "{state}");
}

#[tokio::test]
async fn credit_runs_out_and_its_record_can_be_missing() {
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    fixture.change("PUT", "/credit", json!({ "amount": 0.015 })).await;
    assert_eq!(fixture.ask("GET", "/credit", Value::Null).await.body["data"]["credit"], json!(0.015));
    for expected in [200, 402] {
        assert_eq!(fixture.call("GET", "/echo", &token).await.status, expected);
    }
    assert_eq!(fixture.state().await["accounts"][0]["production_credit"], json!(0.005));
    fixture.change("PUT", "/credit", json!({ "amount": null })).await;
    assert_eq!(fixture.ask("GET", "/credit", Value::Null).await.code(), (404, json!(320)));
    assert_eq!(fixture.state().await["accounts"][0]["sandbox_credit"], Value::Null);
    fixture.change("PUT", "/credit", json!({ "amount": 1e-7 })).await;
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 402);
}

#[tokio::test]
async fn grants_can_be_narrower_than_requests() {
    let fixture = start().await;
    fixture.change("PUT", "/grants", json!({ "scopes": [BASE] })).await;
    assert_eq!(fixture.state().await["granted"], json!([BASE]));
    let body = json!({ "scopes": [BASE, FULL] });
    assert_eq!(fixture.ask("POST", "/token", body.clone()).await.body["scopes"], json!([BASE]));
    fixture.change("DELETE", "/grants", Value::Null).await;
    assert_eq!(fixture.ask("POST", "/token", body).await.body["scopes"], json!([BASE, FULL]));
}

#[tokio::test]
async fn tokens_can_be_late_not_single_or_revoked() {
    let fixture = start().await;
    fixture.change("PUT", "/activation-delay", json!({ "seconds": 4 })).await;
    let token = fixture.make(&[ECHO]).await;
    assert_eq!(fixture.call("GET", "/echo", &token).await.body["message"], "Wrong Token");
    fixture.seconds(4);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 200);

    let path = format!("/token/{token}");
    fixture.change("PUT", "/single", json!({ "token": token, "single": false })).await;
    assert_eq!(fixture.ask("DELETE", &path, Value::Null).await.status, 403);
    fixture.change("PUT", "/single", json!({ "token": token, "single": true })).await;
    fixture.change("POST", "/revoke", Value::Null).await;
    assert_eq!(fixture.emulator.count_valid_tokens(Api::Production), 0);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401);
}

#[tokio::test]
async fn a_callback_is_in_the_log() {
    let fixture = start().await;
    let body = json!({ "scope": BASE, "url": "https://example.com/done", "status": 500 });
    let id = fixture.control("POST", "/callbacks", body).await.body["id"].as_str().unwrap().to_owned();
    let account = fixture.emulator.account();
    let request = http().get(format!("{}/callbacks/{id}", fixture.emulator.production_v2_url()));
    let found = fixture.send(request.basic_auth(account.email(), Some(account.production_key().expose()))).await;
    assert_eq!((found.status, &found.body["data"]["httpResponseCode"]), (200, &json!(500)), "{}", found.body);
}

#[tokio::test]
async fn each_setting_changes_what_the_services_do_and_the_others_stay() {
    let fixture = start().await;
    let patch = async |body: Value| {
        let answer = fixture.control("PATCH", "/settings", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let before = fixture.control("GET", "/settings", Value::Null).await.body;
    assert_eq!(patch(json!({})).await, before);

    let token = fixture.make(&[ECHO]).await;
    patch(json!({ "price": 423.38, "limits": [{ "pattern": ECHO, "calls": 1 }] })).await;
    for expected in [200, 200, 402] {
        assert_eq!(fixture.call("GET", "/echo", &token).await.status, expected, "one is free, one is paid");
    }
    patch(json!({ "limits": [{ "pattern": ECHO, "calls": false }] })).await;
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 200);

    patch(json!({ "strict": true })).await;
    let unknown = json!({ "scopes": ["GET:imprese.openapi.it/nothing"] });
    assert_eq!(fixture.ask("POST", "/token", unknown).await.status, 406);
    patch(json!({ "unknown_token_response": "no_content" })).await;
    assert_eq!(fixture.ask("GET", "/token/0123456789abcdef01234567", Value::Null).await.status, 204);
    patch(json!({ "scopes_response": "nested" })).await;
    assert!(fixture.ask("GET", "/scopes", Value::Null).await.body["data"]["data"].is_array());

    let create = async || {
        let account = fixture.emulator.account();
        let request = http().post(format!("{}/tokens", fixture.emulator.production_v2_url()));
        let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
        fixture.send(request.body(json!({ "scopes": [BASE] }).to_string())).await
    };
    assert!(create().await.body["token"].is_string());
    patch(json!({ "token_envelope": "wrapped" })).await;
    assert!(create().await.body["data"]["token"].is_string());
    patch(json!({ "disabled": ["*:imprese.openapi.it/*"] })).await;
    assert_eq!(create().await.code(), (422, json!(90)));

    patch(json!({ "refresh_tokens": false })).await;
    assert_eq!(fixture.password_grant().await.body["refresh_token"], Value::Null);
    patch(json!({ "passport_version": "old" })).await;
    assert_eq!(fixture.refresh("wrong").await.status, 401);
    patch(json!({ "throttle": 1 })).await;
    assert_eq!(fixture.password_grant().await.status, 429);
    let after = patch(json!({ "throttle": null })).await;
    assert_eq!(fixture.password_grant().await.status, 200);

    let expected = json!({
        "price": 423.38, "strict": true, "limits": [{ "pattern": ECHO, "calls": false }],
        "disabled": ["*:imprese.openapi.it/*"], "unknown_token_response": "no_content", "scopes_response": "nested",
        "token_envelope": "wrapped", "passport_version": "old", "refresh_tokens": false, "throttle": null,
    });
    assert_eq!(after, expected);
    assert!(before.as_object().unwrap().iter().all(|(name, value)| after[name] != *value || name == "limits"));
    fixture.change("POST", "/reset", Value::Null).await;
    assert_eq!(fixture.control("GET", "/settings", Value::Null).await.body, before);
}

#[tokio::test]
async fn a_reset_returns_to_the_start() {
    let account = gettone::emulator::Account::new("own@example.com", "own-key", "own-sandbox-key");
    let builder = gettone::emulator::Emulator::builder().control(true).account(account).strict(true);
    let fixture = crate::fixture::start_with(builder).await;
    let before = fixture.state().await;
    let monotonic = fixture.emulator.clock().monotonic();
    let token = fixture.make(&[ECHO]).await;
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 200);
    fixture.password_grant().await;
    fixture.change("PUT", "/latency", json!({ "seconds": 0.001 })).await;
    fixture.change("PUT", "/activation-delay", json!({ "seconds": 5 })).await;
    fixture.change("PUT", "/grants", json!({ "scopes": [BASE] })).await;
    fixture.change("POST", "/faults", json!({ "kind": "status", "status": 500, "times": 100 })).await;
    fixture.control("PATCH", "/settings", json!({ "strict": false })).await;
    fixture.control("POST", "/advance", json!({ "seconds": 1000 })).await;
    assert_ne!(fixture.state().await, before);

    fixture.change("POST", "/reset", json!({})).await;
    assert_eq!(fixture.state().await, before);
    assert!(fixture.emulator.requests().is_empty() && fixture.emulator.tokens().is_empty());
    assert_eq!(fixture.control("GET", "/settings", Value::Null).await.body["strict"], true);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401);
    // Monotonic time never goes back.
    assert_eq!(fixture.emulator.clock().monotonic(), monotonic + Duration::from_secs(1000));
}

#[tokio::test]
async fn requests_are_counted_and_listed_and_tokens_are_whole() {
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    for number in 0..3 {
        fixture.call("GET", &format!("/echo/{number}"), &token).await;
    }
    fixture.ask("GET", &format!("/token/{token}"), Value::Null).await;
    let list = async |query: &str| fixture.control("GET", &format!("/requests{query}"), Value::Null).await.body;
    let all = list("").await;
    assert_eq!((&all["count"], all["requests"].as_array().unwrap().len()), (&json!(5), 5));
    assert_eq!(all["requests"][4]["path"], format!("/production/token/{token}"));
    let echoes = list("?operation=echo&limit=2").await;
    let paths: Vec<&Value> = echoes["requests"].as_array().unwrap().iter().map(|request| &request["path"]).collect();
    assert_eq!((&echoes["count"], paths), (&json!(3), vec![&json!("/echo/1"), &json!("/echo/2")]));
    assert_eq!(list("?operation=nothing").await, json!({ "count": 0, "requests": [] }));

    let pair = fixture.password_grant().await.body;
    let tokens = fixture.control("GET", "/tokens?api=keliweb&is_valid=true", Value::Null).await.body;
    assert_eq!(tokens["tokens"][0]["token"], pair["access_token"]);
    assert_eq!(tokens["tokens"][0]["refresh_token"], pair["refresh_token"]);
    fixture.change("POST", "/revoke", Value::Null).await;
    assert_eq!(fixture.control("GET", "/tokens?is_valid=true", Value::Null).await.body["count"], 0);
    assert_eq!(fixture.control("GET", "/tokens?is_valid=false", Value::Null).await.body["count"], 2);
}

#[tokio::test]
async fn the_state_shows_no_whole_token() {
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    let pair = fixture.password_grant().await.body;
    let account = fixture.emulator.account();
    let request = http().post(format!("{}/tokens", fixture.emulator.production_v2_url()));
    let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
    fixture.send(request.body(json!({ "scopes": [ECHO] }).to_string())).await;
    // In every place that a program may put one.
    fixture.ask("GET", &format!("/token/{token}?scope={token}"), Value::Null).await;
    let access = pair["access_token"].as_str().unwrap();
    for text in [token.as_str(), access, pair["refresh_token"].as_str().unwrap()] {
        let request = http().get(fixture.emulator.url(&format!("/echo/{text}?token={text}&x"))).bearer_auth(text);
        fixture.send(request.header("user-agent", format!("agent {text}"))).await;
    }
    let issued = fixture.emulator.tokens();
    assert_eq!(issued.len(), 3);
    let state = fixture.state().await.to_string();
    for token in issued.iter().flat_map(|issued| [Some(&issued.token), issued.refresh_token.as_ref()]).flatten() {
        let text = token.expose();
        assert!(!state.contains(text), "{state}");
        assert!(state.contains(&format!("…{}", &text[text.len() - 6..])), "{state}");
    }
}
