//! The logs: failed calls, and callbacks.

use gettone::Scope;
use gettone::emulator::{Account, Emulator};
use serde_json::{Value, json};

use super::*;
use crate::common::http;
use crate::fixture::*;

#[tokio::test]
async fn failed_calls_of_both_services_are_logged_the_newest_first() {
    let account = Account::default().with_credit(None);
    let fixture = start_with(Emulator::builder().account(account)).await;
    let base = fixture.emulator.production_v2_url();
    let made = fixture.create(&[ECHO], json!({ "limits": { "ip": ["203.0.113.7"] } })).await;
    let token = text(&made["token"]);
    let path = format!("/tokens/{token}");
    fixture.v2("DELETE", "/tokens/656d1e2f8b3c2a001f7e4a12", Value::Null).await;
    fixture.seconds(1);
    fixture.echo_from("203.0.113.7", &token).await;
    fixture.echo(&token).await;
    fixture.call("PUT", "/echo/a,b/c", &token).await;
    let request = http().patch(format!("{base}{path}")).bearer_auth("x").body("{}");
    fixture.send(request.header("x-forwarded-for", "203.0.113.8")).await;
    let v1 = fixture.make(&[ECHO]).await;
    fixture.echo(&v1).await;
    // These belong to no account.
    fixture.echo("unknown").await;
    fixture.v2_at(&base, Login::None, "GET", "/errors", Value::Null).await;

    let log = fixture.data("/errors").await;
    let told: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let field = |name: &str| entry.get(name).cloned().unwrap_or_default();
            let seen = (text(&field("scope")), field("httpResponseCode"), field("errorCode"), text(&field("message")));
            assert!(is_id(&entry["id"]) && text(&entry["errorAt"]).ends_with("+00:00"), "{entry}");
            seen
        })
        .collect();
    let entry = |scope: &str, status: u16, code: Value, message: &str| {
        (scope.to_owned(), json!(status), code, message.to_owned())
    };
    let expected = [
        entry(ECHO, 402, Value::Null, "Insufficient credit"),
        entry("PATCH:oauth.openapi.com/tokens", 401, json!(130), "Unauthorized"),
        entry("PUT:127.0.0.1/echo", 401, json!(125.22), "Wrong Token"),
        entry(ECHO, 403, Value::Null, "The token cannot be used from this address"),
        entry(ECHO, 402, Value::Null, "Insufficient credit"),
        entry("DELETE:oauth.openapi.com/tokens", 404, json!(180), "Not Found"),
    ];
    assert_eq!(told, expected);
    let addresses: Vec<_> = log.as_array().unwrap().iter().map(|entry| text(&entry["ip"])).collect();
    let expected = ["127.0.0.1", "203.0.113.8", "127.0.0.1", "127.0.0.1", "203.0.113.7", "127.0.0.1"];
    assert_eq!(addresses, expected);
    assert_eq!((&log[5]["domain"], &log[4]["domain"]), (&json!("oauth.openapi.com"), &json!("127.0.0.1")));
    assert_ne!(log[5]["errorAt"], log[4]["errorAt"]);
    assert_eq!(log[5].as_object().unwrap().len(), 8);

    let filtered =
        fixture.data("/errors?scopes=GET%3A127.0.0.1%2Fecho,DELETE%3Aoauth.openapi.com%2Ftokens&skip=1").await;
    let scopes: Vec<_> = filtered.as_array().unwrap().iter().map(|entry| text(&entry["scope"])).collect();
    assert_eq!(scopes, [ECHO, ECHO, "DELETE:oauth.openapi.com/tokens"]);
    assert_eq!(fixture.data("/errors?scopes=").await, log);
    assert_eq!(fixture.v2("GET", "/errors?scopes=everything", Value::Null).await.code(), (400, json!(190)));
    // The sandbox logs its own.
    fixture.v2_sandbox("GET", "/tokens/short", Value::Null).await;
    let sandbox = fixture.v2_sandbox("GET", "/errors", Value::Null).await.body;
    assert_eq!(sandbox["data"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox["data"][0]["scope"], "GET:test.oauth.openapi.com/tokens");
}

#[tokio::test]
async fn callbacks_are_those_that_were_added() {
    let fixture = start().await;
    assert_eq!(fixture.data("/callbacks").await, json!([]));
    let (base, other): (Scope, Scope) = (BASE.parse().unwrap(), FULL.parse().unwrap());
    let first = fixture.emulator.add_callback(&base, "https://example.com/callback?key=1", 200);
    fixture.seconds(60);
    let second = fixture.emulator.add_callback(&other, "https://example.com/other", 500);
    fixture.emulator.add_callback(&"GET:test.imprese.openapi.it/base".parse().unwrap(), "https://example.com/", 200);

    let list = fixture.data("/callbacks").await;
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|entry| text(&entry["id"])).collect();
    assert_eq!(ids, [second.as_str(), first.as_str()]);
    let entry = &list[1];
    let shown = json!({
        "id": first, "scope": BASE, "url": "https://example.com/callback?key=1", "httpResponseCode": "200",
        "startedAt": entry["startedAt"], "completedAt": entry["startedAt"],
    });
    assert_eq!(*entry, shown);
    assert_eq!(list[0]["httpResponseCode"], "500");

    let at = &entry["startedAt"];
    let detail = json!({
        "id": first, "scope": BASE, "domain": "imprese.openapi.it", "active": false, "startedAt": at, "createdAt": at,
        "completedAt": at, "httpResponseCode": 200, "data": {}, "custom": null,
        "headers": { "Content-Type": "application/json" }, "elapsedTime": 0, "attempt": 1, "retry": 0, "field": "webhookUrl",
        "method": "POST", "url": "https://example.com/callback?key=1",
    });
    assert_eq!(fixture.data(&format!("/callbacks/{first}")).await, detail);
    let filtered = fixture.data("/callbacks?scopes=GET%3Aimprese.openapi.it%2FIT-full").await;
    assert_eq!((filtered.as_array().unwrap().len(), &filtered[0]["id"]), (1, &json!(second)));
    let sandbox = fixture.v2_sandbox("GET", "/callbacks", Value::Null).await.body;
    assert_eq!(sandbox["data"].as_array().unwrap().len(), 1);
}
