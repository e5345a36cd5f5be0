//! Openapi.it Oauth, version 1.

use std::collections::BTreeSet;

use gettone::emulator::{Account, Api, Emulator, SANDBOX_KEY, ScopesResponse, UnknownTokenResponse};
use serde_json::{Value, json};

use crate::fixture::*;

/// Compares each failure with its example in the spec.
async fn failures(fixture: &Fixture) {
    let token = fixture.make(&[BASE]).await;
    let other = fixture.make(&[BASE]).await;
    fixture.emulator.set_single(&other, false);
    let (token, other) = (format!("/token/{token}"), format!("/token/{other}"));
    let scopes = json!({ "scopes": [BASE] });
    let cases = [
        ("POST", "/token", json!({ "ttl": 60 }), "create_token", "missing_scopes"),
        ("GET", "/token/unknown", Value::Null, "find_token", "wrong_token"),
        ("PUT", &other, scopes.clone(), "replace_token", "not_single"),
        ("PUT", "/token/unknown", scopes.clone(), "replace_token", "missing"),
        ("PUT", &token, json!({ "scopes": ["imprese"] }), "replace_token", "invalid_scopes"),
        ("PATCH", &other, scopes.clone(), "update_token", "not_single"),
        ("PATCH", "/token/unknown", scopes, "update_token", "missing"),
        ("PATCH", &token, json!({}), "update_token", "nothing_to_change"),
        ("DELETE", &other, Value::Null, "delete_token", "not_single"),
        ("DELETE", "/token/unknown", Value::Null, "delete_token", "missing"),
        ("GET", "/counters/day/2022-1-01", Value::Null, "counters_day", "wrong_format"),
        ("GET", "/counters/month/2022-1", Value::Null, "counters_month", "wrong_format"),
        ("GET", "/counters/year/22", Value::Null, "counters_year", "wrong_format"),
    ];
    for (method, path, body, operation, example) in cases {
        let answer = fixture.ask(method, path, body).await;
        let documented: Value =
            serde_json::from_str(&openapi().answer(operation, answer.status, example).body).unwrap();
        assert_eq!(answer.body, documented, "{operation} {example}");
    }
}

#[tokio::test]
async fn every_documented_response_is_sent_word_for_word() {
    let poor = Account::new("poor@example.com", "key", "key").with_credit(None);
    let fixture = start_with(Emulator::builder().account(Account::default()).account(poor)).await;
    assert_eq!(fixture.ask("GET", "/token", Value::Null).await.status, 204);
    failures(&fixture).await;
    let token = fixture.make(&[BASE]).await;
    let path = format!("/token/{token}");
    fixture.ask("GET", "/token", Value::Null).await;
    fixture.ask("GET", &path, Value::Null).await;
    fixture.ask("PUT", &path, json!({ "scopes": [BASE] })).await;
    fixture.ask("PATCH", &path, json!({ "ttl": 60 })).await;
    for path in ["/scopes", "/credit", "/counters/total", "/counters/year/2021"] {
        assert_eq!(fixture.ask("GET", path, Value::Null).await.status, 200);
    }
    fixture.ask("GET", "/counters/month/2021-10", Value::Null).await;
    fixture.ask("GET", "/counters/day/2021-10-14", Value::Null).await;
    let deleted = fixture.ask("DELETE", &path, Value::Null).await;
    assert_eq!(deleted.body, json!({ "message": "1 deleted token", "success": true, "error": null }));
    let login = Some(("poor@example.com", "key"));
    let none = fixture.ask_at(&fixture.emulator.production_url(), login, "GET", "/credit", Value::Null).await;
    assert_eq!((none.code(), &none.body["message"]), ((404, json!(320)), &json!("non-existent Openapi credit")));

    let other = start_with(Emulator::builder().unknown_token_response(UnknownTokenResponse::NoContent)).await;
    assert_eq!(other.ask("GET", "/token/unknown", Value::Null).await.status, 204);
    let mut seen = fixture.seen.lock().unwrap().clone();
    seen.extend(other.seen.lock().unwrap().clone());
    let documented: BTreeSet<String> = openapi()
        .operations()
        .flat_map(|(_, _, operation)| {
            let statuses = operation["responses"].as_object().unwrap().keys();
            statuses.map(move |status| format!("{} {status}", operation["operationId"].as_str().unwrap()))
        })
        .collect();
    assert_eq!(seen, documented);
}

#[tokio::test]
async fn each_environment_has_its_own_login() {
    let fixture = start().await;
    let (production, sandbox) = (fixture.emulator.production_url(), fixture.emulator.sandbox_url());
    let email = fixture.emulator.account().email();
    let sandbox_login = Some((email, SANDBOX_KEY));
    for login in [None, Some((email, "wrong")), Some(("other@example.com", "x")), sandbox_login] {
        let answer = fixture.ask_at(&production, login, "GET", "/scopes", Value::Null).await;
        assert_eq!((answer.status, &answer.body["success"]), (401, &json!(false)), "{login:?}");
    }
    let body = json!({ "scopes": [BASE], "ttl": 60 });
    let token = fixture.ask_at(&sandbox, sandbox_login, "POST", "/token", body).await.token();
    assert_eq!(fixture.ask("GET", &format!("/token/{token}"), Value::Null).await.code(), (402, json!(125)));
    assert_eq!(
        (fixture.emulator.count_valid_tokens(Api::Sandbox), fixture.emulator.count_valid_tokens(Api::Production)),
        (1, 0)
    );
}

#[tokio::test]
async fn a_token_lives_as_long_as_requested() {
    let fixture = start().await;
    let now = fixture.now();
    let cases = [
        (json!({ "scopes": [BASE] }), now + YEAR),
        (json!({ "scopes": [BASE], "ttl": 1 }), now + 1),
        (json!({ "scopes": [BASE], "ttl": YEAR }), now + YEAR),
        (json!({ "scopes": [BASE], "expire": now + 60 }), now + 60),
        (json!({ "scopes": [BASE], "expire": 0, "ttl": 60 }), now + 60),
        // As the vendor's Python SDK sends it.
        (json!({ "scopes": [BASE], "ttl": 0 }), now + YEAR),
        (json!({ "scopes": [BASE], "expire": now + 60, "ttl": 0 }), now + 60),
    ];
    for (body, end) in cases {
        let made = fixture.ask("POST", "/token", body.clone()).await;
        assert_eq!((made.status, &made.body["expire"]), (200, &json!(end)), "{body}");
        let token = made.token();
        assert!(token.len() == 24 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    }
    for ttl in [json!(-1), json!(YEAR + 1), json!("60")] {
        let refused = fixture.ask("POST", "/token", json!({ "scopes": [BASE], "ttl": ttl })).await;
        assert_eq!(refused.code(), (406, Value::Null), "{ttl}");
    }
    assert_eq!(fixture.emulator.count_valid_tokens(Api::Production), 7);
    fixture.seconds(1);
    assert_eq!(fixture.emulator.count_valid_tokens(Api::Production), 6);
    assert_eq!(fixture.ask("GET", "/token", Value::Null).await.body["data"].as_array().unwrap().len(), 6);
    fixture.seconds(YEAR);
    assert_eq!(fixture.ask("GET", "/token", Value::Null).await.status, 204);
}

#[tokio::test]
async fn put_replaces_all_fields_and_patch_those_that_it_names() {
    let fixture = start().await;
    let path = format!("/token/{}", fixture.make(&[BASE]).await);
    let end = fixture.now() + 3600;
    let patched = fixture.ask("PATCH", &path, json!({ "scopes": [FULL] })).await;
    assert_eq!((&patched.body["data"][0]["scopes"], &patched.body["data"][0]["expire"]), (&json!([FULL]), &json!(end)));
    let patched = fixture.ask("PATCH", &path, json!({ "scopes": [FULL], "ttl": 0 })).await;
    assert_eq!(patched.body["data"][0]["expire"], end);
    assert_eq!(fixture.ask("PATCH", &path, json!({ "ttl": 0 })).await.code(), (406, json!(310)));
    let patched = fixture.ask("PATCH", &path, json!({ "ttl": 60 })).await;
    let end = fixture.now() + 60;
    assert_eq!((&patched.body["data"][0]["scopes"], &patched.body["data"][0]["expire"]), (&json!([FULL]), &json!(end)));
    let replaced = fixture.ask("PUT", &path, json!({ "scopes": [BASE], "ttl": 5 })).await;
    let end = fixture.now() + YEAR;
    assert_eq!(
        (&replaced.body["data"][0]["scopes"], &replaced.body["data"][0]["expire"]),
        (&json!([BASE]), &json!(end))
    );
    let replaced = fixture.ask("PUT", &path, json!({ "scopes": [BASE], "expire": 2_000_000_000 })).await;
    assert_eq!(replaced.body["data"][0]["expire"], 2_000_000_000);
    // An expiry that no clock can express.
    let replaced = fixture.ask("PUT", &path, json!({ "scopes": [BASE], "expire": u64::MAX })).await;
    assert_eq!(replaced.status, 200);
    assert!(fixture.emulator.tokens().iter().any(|issued| issued.expires_at > issued.issued_at));
}

#[tokio::test]
async fn asterisks_are_expanded_when_the_token_is_made() {
    let fixture = start().await;
    let asked = ["*:comparabili.openapi.it/*", BASE, "GET:imprese.openapi.it/*", "GET:new.openapi.it/x"];
    let made = fixture.ask("POST", "/token", json!({ "scopes": asked, "ttl": 60 })).await;
    let root = ["GET:comparabili.openapi.it/root", "POST:comparabili.openapi.it/root"];
    assert_eq!(made.body["scopes"], json!([root[0], root[1], BASE, FULL, "GET:new.openapi.it/x"]));

    let sandbox = fixture.emulator.sandbox_url();
    let login = Some((fixture.emulator.account().email(), SANDBOX_KEY));
    let body = json!({ "scopes": ["*:test.comparabili.openapi.it/*"], "ttl": 60 });
    let made = fixture.ask_at(&sandbox, login, "POST", "/token", body).await;
    assert_eq!(made.body["scopes"], json!(root.map(|scope| scope.replace(':', ":test."))));

    let strict = start_with(Emulator::builder().strict(true)).await;
    for scope in ["GET:new.openapi.it/x", "*:new.openapi.it/*"] {
        let body = json!({ "scopes": [scope], "ttl": 60 });
        assert_eq!(strict.ask("POST", "/token", body).await.code(), (406, Value::Null));
    }
    assert_eq!(strict.make(&[BASE]).await.len(), 24);
}

#[tokio::test]
async fn a_list_is_filtered_by_scope() {
    let fixture = start().await;
    let (_, full) = (fixture.make(&[BASE]).await, fixture.make(&[FULL]).await);
    let found = fixture.ask("GET", "/token?scope=GET%3Aimprese.openapi.it%2FIT-full", Value::Null).await;
    assert_eq!(found.body["data"][0]["token"], full);
    assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(fixture.ask("GET", "/token?scope=GET%3Asms.openapi.com%2Froot", Value::Null).await.status, 204);
    // As the vendor's Python SDK lists all tokens.
    for query in ["scope=", "scope", "scope=&other=1"] {
        let all = fixture.ask("GET", &format!("/token?{query}"), Value::Null).await;
        assert_eq!(all.body["data"].as_array().map(Vec::len), Some(2), "{query}");
    }
}

#[tokio::test]
async fn the_list_of_scopes_has_either_form() {
    for (shape, at) in [(ScopesResponse::Flat, "/data"), (ScopesResponse::Nested, "/data/data")] {
        let fixture = start_with(Emulator::builder().scopes_response(shape)).await;
        assert_eq!(fixture.ask("GET", "/scopes", Value::Null).await.body.pointer(at), Some(&json!([])));
        fixture.make(&["GET:imprese.openapi.it/*", BASE]).await;
        assert_eq!(fixture.ask("GET", "/scopes", Value::Null).await.body.pointer(at), Some(&json!([BASE, FULL])));
    }
}
