//! The scopes that exist, and what they cost.

use gettone::ScopeSet;
use gettone::emulator::{Emulator, Limit};
use gettone::openapi::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::fixture::*;

#[tokio::test]
async fn the_list_has_the_catalog_and_tells_what_is_enabled() {
    let fixture = start_with(Emulator::builder().disable("*:imprese.openapi.it/IT-full".parse().unwrap())).await;
    let list = fixture.v2("GET", "/scopes", Value::Null).await.body;
    let scopes = list["data"].as_array().unwrap();
    assert_eq!(list.as_object().unwrap().len(), 1);
    // The vendor's samples, and five methods at each of two hosts.
    assert_eq!(scopes.len(), 7 + 10);
    assert!(scopes.iter().all(|scope| is_id(&scope["id"])));
    let first = json!({
        "id": scopes[0]["id"], "scope": BASE, "method": "GET", "endpoint": "base", "domain": "imprese.openapi.it",
        "enabled": true,
    });
    assert_eq!(scopes[0], first);
    assert_eq!((&scopes[1]["scope"], &scopes[1]["enabled"]), (&json!(FULL), &json!(false)));
    assert_eq!(fixture.data("/scopes").await, list["data"], "the ids stay");

    let sandbox = fixture.v2_sandbox("GET", "/scopes", Value::Null).await.body;
    assert_eq!(sandbox["data"][0]["scope"], "GET:test.imprese.openapi.it/base");
    assert_eq!(sandbox["data"][1]["enabled"], true, "the pattern is about production's host");
    let here = format!("/scopes/{}", text(&sandbox["data"][0]["id"]));
    assert_eq!(fixture.v2_sandbox("GET", &here, Value::Null).await.status, 200);
    assert_eq!(fixture.v2("GET", &here, Value::Null).await.code(), (404, json!(10)));
}

#[tokio::test]
async fn the_detail_has_prices_and_free_calls() {
    let builder = Emulator::builder()
        .price(Decimal::new(6, 2))
        .disable("GET:imprese.openapi.it/IT-full".parse().unwrap())
        .limit("GET:127.0.0.1/echo".parse().unwrap(), Limit::Calls(10))
        .limit("PUT:127.0.0.1/echo".parse().unwrap(), Limit::Unlimited);
    let fixture = start_with(builder).await;
    let scopes = fixture.data("/scopes").await;
    let detail = async |scope: &str| {
        let entry = scopes.as_array().unwrap().iter().find(|entry| entry["scope"] == scope).unwrap();
        let answer = fixture.v2("GET", &format!("/scopes/{}", text(&entry["id"])), Value::Null).await;
        assert_eq!(answer.status, 200);
        (entry.clone(), answer.body)
    };
    let (entry, full) = detail(FULL).await;
    let data = json!({
        "id": entry["id"], "scope": FULL, "method": "GET", "endpoint": "IT-full", "domain": "imprese.openapi.it",
        "enabled": false, "rateLimit": false,
        "freeLimits": { "dayLimit": 0, "monthLimit": false, "yearLimit": false, "totalLimit": false },
        "requirements": { "id_card": false, "oa_general_contract": false },
        "prices": { "it-full": 0.06 },
    });
    assert_eq!(full, json!({ "data": data, "success": true, "message": "", "error": null }));
    let free =
        |total: Value| json!({ "dayLimit": false, "monthLimit": false, "yearLimit": false, "totalLimit": total });
    let (_, echo) = detail(ECHO).await;
    assert_eq!((&echo["data"]["freeLimits"], &echo["data"]["enabled"]), (&free(json!(10)), &json!(true)));
    assert_eq!(echo["data"]["requirements"], json!({ "id_card": true, "oa_general_contract": true }));
    let (_, put) = detail("PUT:127.0.0.1/echo").await;
    assert_eq!(put["data"]["freeLimits"], free(json!(false)));
}

#[tokio::test]
async fn a_token_is_granted_what_exists_and_each_scope_once() {
    let fixture = start().await;
    let written = ["get:Imprese.openapi.it/base", BASE, ECHO];
    assert_eq!(fixture.create(&written, json!({})).await["scopes"], json!([BASE, ECHO]));
    fixture.emulator.grant_only(ScopeSet::parse([BASE]).unwrap());
    assert_eq!(fixture.create(&[BASE, ECHO], json!({})).await["scopes"], json!([BASE]));
    fixture.emulator.grant_all();
    assert_eq!(fixture.create(&[BASE, ECHO], json!({})).await["scopes"], json!([BASE, ECHO]));
    // Version 1 does not list what version 2 granted.
    assert_eq!(fixture.ask("GET", "/scopes", Value::Null).await.body["data"], json!([]));
    // Scopes of the sandbox exist in the sandbox.
    let scopes = json!({ "scopes": ["GET:test.imprese.openapi.it/base"] });
    assert_eq!(fixture.v2_sandbox("POST", "/tokens", scopes.clone()).await.status, 200);
    assert_eq!(fixture.v2("POST", "/tokens", scopes).await.code(), (422, json!(90)));
}
