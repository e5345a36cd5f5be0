//! The protected endpoint of Openapi.it, its counters and its prices.

use gettone::emulator::{Account, Emulator, Limit, SANDBOX_KEY};
use gettone::openapi::Decimal;
use gettone::reqwest::Method;
use serde_json::{Value, json};

use crate::common::http;
use crate::fixture::*;

#[tokio::test]
async fn a_call_needs_a_valid_token_with_its_scope() {
    let fixture = start().await;
    let token = fixture.make(&[ECHO]).await;
    let good = fixture.call("GET", "/echo/a/b?x=1", &token).await;
    let seen = json!({ "method": "GET", "host": "127.0.0.1", "path": "/echo/a/b", "body_length": 0, "scope": ECHO });
    assert_eq!((good.status, &good.body["data"]), (200, &seen));
    let refused = fixture.call("POST", "/echo", &token).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.body, json!({ "success": false, "message": "Wrong Token", "error": 125.22 }));
    assert_eq!(fixture.call("GET", "/echo", "unknown").await.status, 401);
    fixture.seconds(3600);
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401, "expired");

    let token = fixture.make(&[ECHO]).await;
    fixture.ask("DELETE", &format!("/token/{token}"), Value::Null).await;
    assert_eq!(fixture.call("GET", "/echo", &token).await.status, 401, "deleted");
}

#[tokio::test]
async fn a_host_accepts_tokens_of_its_environment_and_loopback_those_of_both() {
    let fixture = start().await;
    let (sandbox, login) = (fixture.emulator.sandbox_url(), Some((fixture.emulator.account().email(), SANDBOX_KEY)));
    let body = json!({ "scopes": ["GET:test.imprese.openapi.it/base", ECHO, BASE], "ttl": 60 });
    let of_sandbox = fixture.ask_at(&sandbox, login, "POST", "/token", body).await.token();
    let of_production = fixture.make(&[BASE, ECHO, "GET:test.imprese.openapi.it/base"]).await;
    let ask = async |host: &str, path: &str, token: &str| {
        let request = http().request(Method::GET, fixture.emulator.url(path)).header("host", host).bearer_auth(token);
        fixture.send(request).await.status
    };
    assert_eq!(ask("imprese.openapi.it", "/base/12345670124", &of_production).await, 200);
    assert_eq!(ask("imprese.openapi.it", "/base/1,2?x=3,4", &of_production).await, 200);
    assert_eq!(ask("imprese.openapi.it", "/basement", &of_production).await, 401);
    assert_eq!(ask("imprese.openapi.it", "/base,ment", &of_production).await, 401);
    assert_eq!(ask("imprese.openapi.it:443", "/base", &of_sandbox).await, 401);
    assert_eq!(ask("test.imprese.openapi.it", "/base", &of_sandbox).await, 200);
    assert_eq!(ask("test.imprese.openapi.it", "/base", &of_production).await, 401);
    assert_eq!(ask("127.0.0.1", "/echo", &of_sandbox).await, 200);
    assert_eq!(ask("127.0.0.1:1", "/echo", &of_production).await, 200);
    assert_eq!(ask("unknown.example.com", "/echo", &of_production).await, 404);
}

#[tokio::test]
async fn counters_and_credit_follow_the_calls() {
    let account = Account::default().with_credit(Decimal::new(5, 2));
    let builder = Emulator::builder().account(account).price(Decimal::new(2, 2));
    let builder = builder
        .limit("*:127.0.0.1/*".parse().unwrap(), Limit::Calls(1))
        .limit("PUT:127.0.0.1/*".parse().unwrap(), Limit::Unlimited)
        .limit("POST:127.0.0.1/*".parse().unwrap(), Limit::Unknown);
    let fixture = start_with(builder).await;
    let token = fixture.ask("POST", "/token", json!({ "scopes": ["*:127.0.0.1/*"] })).await.token();
    let credit = async || fixture.ask("GET", "/credit", Value::Null).await.body["data"]["credit"].clone();
    assert_eq!(credit().await, json!(0.05));
    for (method, left) in [("GET", 0.05), ("GET", 0.03), ("PUT", 0.03), ("POST", 0.01)] {
        assert_eq!(fixture.call(method, "/echo", &token).await.status, 200);
        assert_eq!(credit().await, json!(left), "after {method}");
    }
    assert_eq!(fixture.call("POST", "/echo", &token).await.status, 402, "no credit is left");
    assert_eq!(fixture.call("PATCH", "/echo", &token).await.status, 200, "a free one");

    let all = json!({
        "GET:127.0.0.1/echo": { "counter": 2, "paid": 1, "limit": 1 },
        "PATCH:127.0.0.1/echo": { "counter": 1, "paid": 0, "limit": 1 },
        "PUT:127.0.0.1/echo": { "counter": 1, "paid": 0, "limit": false },
        "POST:127.0.0.1/echo": { "counter": 1, "paid": 1, "limit": null },
    });
    fixture.seconds(24 * 3600);
    fixture.call("PUT", "/echo", &token).await;
    let put = json!({ "PUT:127.0.0.1/echo": { "counter": 1, "paid": 0, "limit": false } });
    let counters = async |range: &str| fixture.ask("GET", &format!("/counters/{range}"), Value::Null).await.body;
    assert_eq!(counters("day/2021-10-14").await["data"], all);
    assert_eq!(counters("day/2021-10-15").await["data"], put);
    assert_eq!(counters("month/2021-10").await["data"]["PUT:127.0.0.1/echo"]["counter"], 2);
    assert_eq!(counters("year/2021").await["data"]["PUT:127.0.0.1/echo"]["counter"], 2);
    assert_eq!(counters("total").await["data"]["PUT:127.0.0.1/echo"]["counter"], 2);
    for empty in ["day/2021-10-13", "month/2021-11", "year/2022"] {
        assert_eq!(counters(empty).await["data"], json!({}));
    }
    for wrong in ["day/2021-02-30", "day/2021-10", "month/2021-13", "month/2021-10-14", "year/021", "day/20211014"] {
        assert_eq!(counters(wrong).await["error"], 610, "{wrong}");
    }
}
