//! The documented failures, word for word, and those that are only likely.

use gettone::emulator::{Api, Emulator, Fault, SANDBOX_KEY};
use gettone::reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::common::spec::Spec;
use crate::fixture::*;

#[tokio::test]
async fn every_documented_failure_is_sent_word_for_word() {
    let builder = Emulator::builder().disable("GET:imprese.openapi.it/IT-full".parse().unwrap());
    let fixture = start_with(builder).await;
    let base = fixture.emulator.production_v2_url();
    let account = fixture.emulator.account();
    let made = fixture.create(&[BASE], json!({})).await;
    let path = format!("/tokens/{}", text(&made["token"]));
    let path = path.as_str();
    let unknown = "/tokens/656d1e2f8b3c2a001f7e4a12";
    let none = Value::Null;
    let (key, wrong) =
        (Login::Basic(account.email(), account.production_key().expose()), Login::Basic(account.email(), "wrong"));
    let scopes = |scopes: Value| json!({ "scopes": scopes });
    let available = "Invalid scopes specified or API not enabled";
    let date = "Invalid date format, must be YYYY or YYYY-MM or YYYY-MM-DD";
    let cases = [
        ("GET", "/scopes/656d1e2f8b3c2a001f7e4a14", key, none.clone(), 404, 10, "Scope not found"),
        ("GET", "/tokens/short", key, none.clone(), 422, 60, "Invalid Token Format"),
        ("GET", "/tokens/656d1e2f8b3c2a001f7e4axx", key, none.clone(), 422, 60, "Invalid Token Format"),
        ("POST", "/tokens", key, json!({ "ttl": 60 }), 422, 70, "missing scopes array"),
        ("POST", "/tokens", key, none.clone(), 422, 70, "missing scopes array"),
        ("POST", "/tokens", key, scopes(json!(BASE)), 422, 80, "invalid scopes format"),
        ("POST", "/tokens", key, scopes(json!([BASE, 1])), 422, 80, "invalid scopes format"),
        ("POST", "/tokens", key, scopes(json!(["*:imprese.openapi.it/*"])), 422, 80, "invalid scopes format"),
        ("POST", "/tokens", key, scopes(json!([BASE, "GET:new.openapi.it/x"])), 422, 90, available),
        ("POST", "/tokens", key, scopes(json!([BASE, FULL])), 422, 90, available),
        ("PATCH", path, key, scopes(json!("x")), 422, 100, "invalid scopes format"),
        ("PATCH", path, key, scopes(json!([])), 422, 100, "invalid scopes format"),
        ("PATCH", path, key, scopes(json!(["*:*/*"])), 422, 100, "invalid scopes format"),
        ("PATCH", path, key, scopes(json!([FULL])), 422, 110, available),
        ("GET", unknown, key, none.clone(), 404, 120, "Not Found"),
        ("PATCH", path, Login::Bearer("656d1e2f8b3c2a001f7e4a13"), json!({}), 401, 130, "Unauthorized"),
        ("PATCH", path, wrong, json!({}), 401, 140, "Unauthorized"),
        ("PATCH", path, Login::None, json!({}), 401, 140, "Unauthorized"),
        ("PATCH", "/tokens/", key, json!({}), 400, 150, "Token ID is required"),
        ("PATCH", "/tokens/", Login::Bearer("x"), json!({}), 400, 150, "Token ID is required"),
        ("PATCH", unknown, key, json!({}), 404, 160, "Not Found"),
        ("PATCH", unknown, Login::Bearer("x"), json!({}), 404, 160, "Not Found"),
        ("DELETE", "/tokens/", key, none.clone(), 400, 170, "Token ID is required"),
        ("DELETE", unknown, key, none.clone(), 404, 180, "Not Found"),
        ("GET", "/errors?limit=0", key, none.clone(), 400, 190, "Query error"),
        ("GET", "/callbacks/656d1e2f8b3c2a001f7e4a14", key, none.clone(), 404, 200, "Callback not found"),
        ("GET", "/callbacks?skip=-1", key, none.clone(), 400, 210, "Query error"),
        ("GET", "/subscriptions/656d1e2f8b3c2a001f7e4a14", key, none.clone(), 404, 220, "Subscription not found"),
        ("GET", "/subscriptions?id=x", key, none.clone(), 404, 220, "Subscription not found"),
        ("GET", "/subscriptions?limit=101", key, none.clone(), 400, 230, "Query error"),
        ("GET", "/stats?date=2021-1", key, none.clone(), 422, 240, date),
        ("GET", "/stats/ips?date=2021-13", key, none.clone(), 422, 240, date),
        ("GET", "/stats/apis?date=21", key, none.clone(), 422, 240, date),
        ("GET", "/stats/apis/imprese.openapi.it?date=2021-02-30", key, none.clone(), 422, 240, date),
    ];
    let mut sent = Vec::new();
    for (method, path, login, body, status, code, message) in cases {
        let answer = fixture.v2_at(&base, login, method, path, body.clone()).await;
        let documented = json!({ "success": false, "message": message, "error": code, "data": null });
        assert_eq!((answer.status, &answer.body), (status, &documented), "{method} {path} {body}");
        sent.push((status, answer.body));
    }
    for (operation, status, example) in Spec::openapi_v2().answers().into_iter().filter(|(_, status, _)| *status != 200)
    {
        let body = Spec::openapi_v2().answer(&operation, status, &example).body;
        let documented = (status, serde_json::from_str(&body).unwrap());
        assert!(sent.contains(&documented), "{operation} {example}: {documented:?} was never sent");
    }
    let token = fixture.v2("GET", path, none).await;
    assert_eq!(token.body, made, "nothing has changed it");
}

#[tokio::test]
async fn what_is_not_documented_fails_without_a_code() {
    let fixture = start().await;
    let path = format!("/tokens/{}", fixture.echo_token(json!({})).await);
    let fields = [
        json!({ "ttl": YEAR + 1 }),
        json!({ "ttl": "60" }),
        json!({ "ttl": 1.5 }),
        json!({ "name": 1 }),
        json!({ "limits": [] }),
        json!({ "limits": { "totalRequests": -1 } }),
        json!({ "limits": { "walletAmount": "5" } }),
        json!({ "limits": { "walletAmount": -5 } }),
        json!({ "limits": { "ip": "203.0.113.7" } }),
        json!({ "limits": { "ip": ["10.0.0.0/8"] } }),
    ];
    for fields in fields {
        assert_eq!(fixture.v2("PATCH", &path, fields.clone()).await.code(), (422, Value::Null), "{fields}");
        let mut body = json!({ "scopes": [BASE] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(fixture.v2("POST", "/tokens", body).await.code(), (422, Value::Null), "{fields}");
    }
    for path in ["/tokens?limit=0", "/tokens?limit=x", "/tokens?skip=-1", "/wallet/transactions?limit=101"] {
        assert_eq!(fixture.v2("GET", path, Value::Null).await.code(), (422, Value::Null), "{path}");
    }
    for (method, path) in [("GET", "/token"), ("PUT", path.as_str()), ("POST", "/scopes"), ("GET", "/stats/x")] {
        assert_eq!(fixture.v2(method, path, Value::Null).await.code(), (404, Value::Null), "{method} {path}");
    }
    assert_eq!(fixture.emulator.count("unknown"), 4);
    assert_eq!(fixture.emulator.tokens().len(), 1);
}

#[tokio::test]
async fn each_environment_has_its_own_login() {
    let fixture = start().await;
    let base = fixture.emulator.production_v2_url();
    let email = fixture.emulator.account().email();
    let made = fixture.create(&[ECHO], json!({})).await;
    let logins = [
        Login::None,
        Login::Basic(email, "wrong"),
        Login::Basic("other@example.com", "x"),
        Login::Basic(email, SANDBOX_KEY),
        Login::Bearer(made["token"].as_str().unwrap()),
    ];
    let paths = ["/tokens", "/scopes", "/wallet", "/wallet/transactions", "/errors", "/callbacks", "/stats"];
    for login in logins {
        for path in paths {
            let refused = fixture.v2_at(&base, login, "GET", path, Value::Null).await;
            assert_eq!(refused.code(), (401, Value::Null), "{login:?} {path}");
        }
    }
    assert_eq!(fixture.v2_sandbox("GET", "/scopes", Value::Null).await.status, 200);
}

#[tokio::test]
async fn faults_and_records_know_the_operations() {
    let fixture = start().await;
    let token = fixture.echo_token(json!({})).await;
    let (path, base) = (format!("/tokens/{token}"), fixture.emulator.production_v2_url());
    let operations = [
        ("POST", "/tokens", "create_token"),
        ("GET", "/tokens", "list_tokens"),
        ("GET", path.as_str(), "find_token"),
        ("PATCH", path.as_str(), "update_token"),
        ("DELETE", path.as_str(), "delete_token"),
        ("GET", "/scopes", "list_scopes"),
        ("GET", "/scopes/1", "get_scope"),
        ("GET", "/wallet", "get_wallet"),
        ("GET", "/wallet/transactions", "list_wallet_transactions"),
        ("GET", "/errors", "list_errors"),
        ("GET", "/callbacks", "list_callbacks"),
        ("GET", "/callbacks/1", "get_callback"),
        ("GET", "/stats", "get_stats"),
        ("GET", "/stats/ips", "list_stats_ips"),
        ("GET", "/stats/apis", "list_stats_apis"),
        ("GET", "/stats/apis/127.0.0.1", "get_stats_api"),
        ("GET", "/subscriptions", "list_subscriptions"),
        ("GET", "/subscriptions/1", "get_subscription"),
    ];
    let failed = json!({ "success": false, "message": "Service Unavailable", "error": null, "data": null });
    for (method, path, operation) in operations {
        fixture.emulator.fail_next_on(1, &format!("{method} {path}"), Fault::Status(503));
        let answer = fixture.v2(method, path, Value::Null).await;
        assert_eq!((answer.status, &answer.body), (503, &failed), "{operation}");
        let request = fixture.emulator.requests().pop().unwrap();
        assert_eq!((request.api, request.operation), (Api::ProductionV2, operation));
    }
    fixture.emulator.fail_next_on(1, "PATCH /v2/production/tokens", Fault::Status(500));
    let refused = fixture.v2_at(&base, Login::Bearer("x"), "PATCH", &path, json!({})).await;
    assert_eq!((refused.status, fixture.emulator.count("refresh_token")), (500, 1));
    assert_eq!(fixture.data("/errors").await, json!([]), "the service has processed none of them");

    // A lost response: the service has made the token.
    fixture.emulator.fail_next_on(1, "POST /tokens", Fault::LostResponse);
    let account = fixture.emulator.account();
    let request = http().post(format!("{base}/tokens"));
    let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
    let body = json!({ "scopes": [BASE], "name": "lost-1" }).to_string();
    assert_eq!(request.body(body).send().await.unwrap_err().status(), None::<StatusCode>);
    assert_eq!(fixture.data("/tokens").await[1]["name"], "lost-1");
}

#[tokio::test]
async fn a_new_token_is_rejected_during_the_activation_delay() {
    let fixture = start().await;
    fixture.emulator.set_activation_delay(std::time::Duration::from_secs(4));
    let made = fixture.create(&[ECHO], json!({})).await;
    let token = text(&made["token"]);
    assert_eq!(fixture.echo(&token).await, 401);
    fixture.seconds(4);
    assert_eq!(fixture.echo(&token).await, 200);
    // A token that is extended is not new, and one that is refreshed is.
    let path = format!("/tokens/{token}");
    fixture.v2("PATCH", &path, json!({ "ttl": 7200 })).await;
    assert_eq!(fixture.echo(&token).await, 200);
    let refresh = text(&made["refreshToken"]);
    let base = fixture.emulator.production_v2_url();
    let new = fixture.v2_at(&base, Login::Bearer(&refresh), "PATCH", &path, json!({})).await.token();
    assert_eq!(fixture.echo(&new).await, 401);
}
