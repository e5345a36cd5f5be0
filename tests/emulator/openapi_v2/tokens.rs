//! Tokens: created, found, listed, changed, refreshed, deleted.

use gettone::emulator::{Account, Api, Emulator, TokenEnvelope};
use serde_json::{Value, json};

use super::*;
use crate::fixture::*;

#[tokio::test]
async fn a_token_is_created_found_listed_and_deleted() {
    let fixture = start().await;
    let limits = json!({ "totalRequests": 1000, "walletAmount": 5.25, "ip": ["203.0.113.10"] });
    let made = fixture.create(&[BASE, FULL], json!({ "name": "invoices", "limits": limits })).await;
    assert!(is_id(&made["token"]) && is_id(&made["refreshToken"]) && made["token"] != made["refreshToken"], "{made}");
    let now = text(&made["createdAt"]);
    let expected = json!({
        "token": made["token"],
        "name": "invoices",
        "createdAt": now,
        "expireAt": later(&now, 3600),
        "updatedAt": now,
        "scopes": [BASE, FULL],
        "refreshToken": made["refreshToken"],
        "limits": limits,
        "stats": {
            "totalRequests": 0, "walletRequests": 0, "subscriptionRequests": 0, "errorRequests": 0, "walletAmount": 0,
            "ip": [],
        },
    });
    assert_eq!(made, expected);
    let path = format!("/tokens/{}", text(&made["token"]));
    assert_eq!(fixture.v2("GET", &path, Value::Null).await.body, made);
    assert_eq!(fixture.v2("GET", "/tokens", Value::Null).await.body, json!({ "data": [made] }));

    let issued = &fixture.emulator.tokens()[0];
    assert_eq!((issued.api, issued.name.as_deref()), (Api::ProductionV2, Some("invoices")));
    assert_eq!(issued.refresh_token.as_ref().unwrap().expose(), text(&made["refreshToken"]));
    assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 1);

    let deleted = fixture.v2("DELETE", &path, Value::Null).await;
    assert_eq!((deleted.status, deleted.body), (200, json!({ "message": "Deleted", "data": null })));
    assert_eq!(fixture.v2("GET", "/tokens", Value::Null).await.body, json!({ "data": [] }));
    assert_eq!(fixture.v2("DELETE", &path, Value::Null).await.code(), (404, json!(180)));
    assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 0);
}

/// Adds seconds to a time as the emulator writes it.
fn later(time: &str, seconds: u64) -> String {
    let (date, end) = time.split_at(19);
    let parts: Vec<u64> = date.split(['-', 'T', ':']).map(|part| part.parse().unwrap()).collect();
    // Days since the first of the year do not matter: no test crosses a month by this.
    let of_day = parts[3] * 3600 + parts[4] * 60 + parts[5] + seconds;
    let (day, of_day) = (parts[2] + of_day / 86_400, of_day % 86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{end}", parts[0], parts[1])
}

#[tokio::test]
async fn a_token_lives_as_long_as_requested_and_thirty_days_without_a_wish() {
    let fixture = start().await;
    let ends = |issued: u64| fixture.now() + issued;
    let default = 30 * 24 * 3600;
    let cases = [
        (json!({}), default),
        (json!({ "ttl": null }), default),
        (json!({ "ttl": 0 }), default),
        (json!({ "ttl": -5 }), default),
        (json!({ "ttl": 1 }), 1),
        (json!({ "ttl": YEAR }), YEAR),
    ];
    for (fields, lifetime) in cases {
        let mut body = json!({ "scopes": [BASE] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(fixture.v2("POST", "/tokens", body).await.status, 200, "{fields}");
        let issued = fixture.emulator.tokens().pop().unwrap();
        assert_eq!(crate::common::unix(issued.expires_at), ends(lifetime), "{fields}");
    }
    assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 6);
    fixture.seconds(1);
    assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 5);
    assert_eq!(fixture.data("/tokens").await.as_array().unwrap().len(), 5);
    fixture.seconds(YEAR);
    assert_eq!(fixture.data("/tokens").await, json!([]));
}

#[tokio::test]
async fn an_update_keeps_the_token_and_what_it_does_not_name() {
    let fixture = start().await;
    let limits = json!({ "totalRequests": 10 });
    let made = fixture.create(&[ECHO], json!({ "name": "first", "limits": limits })).await;
    let token = text(&made["token"]);
    let path = format!("/tokens/{token}");
    assert_eq!(fixture.echo(&token).await, 200);
    fixture.seconds(60);

    let same = fixture.v2("PATCH", &path, json!({})).await.body;
    for field in ["token", "name", "createdAt", "expireAt", "scopes", "refreshToken", "limits"] {
        assert_eq!(same[field], made[field], "{field}");
    }
    assert_eq!((&same["stats"]["totalRequests"], &same["updatedAt"]), (&json!(1), &json!(later_of(&made, 60))));

    let all = json!({ "scopes": [BASE], "name": "second", "ttl": 60, "limits": { "walletRequests": 5 } });
    let changed = fixture.v2("PATCH", &path, all).await.body;
    assert_eq!((&changed["token"], &changed["refreshToken"]), (&made["token"], &made["refreshToken"]));
    assert_eq!((&changed["scopes"], &changed["name"]), (&json!([BASE]), &json!("second")));
    assert_eq!(changed["limits"], json!({ "walletRequests": 5 }), "the whole object is new");
    assert_eq!(changed["expireAt"], later_of(&made, 120), "from now");
    assert_eq!(changed["stats"]["totalRequests"], 1);
    assert_eq!(fixture.echo(&token).await, 401, "the scope is gone");
    assert_eq!(fixture.v2("PATCH", &path, json!({ "limits": {} })).await.body["limits"], json!({}));
    assert_eq!(fixture.emulator.tokens().len(), 1);
}

fn later_of(made: &Value, seconds: u64) -> String {
    later(&text(&made["createdAt"]), seconds)
}

#[tokio::test]
async fn a_refresh_replaces_the_token_and_deletes_the_old_one() {
    let fixture = start().await;
    let base = fixture.emulator.production_v2_url();
    let fields = json!({ "name": "worker", "limits": { "totalRequests": 3 } });
    let old = fixture.create(&[ECHO], fields).await;
    let other = fixture.create(&[ECHO], json!({})).await;
    let (token, refresh) = (text(&old["token"]), text(&old["refreshToken"]));
    let path = format!("/tokens/{token}");
    assert_eq!(fixture.echo(&token).await, 200);
    fixture.seconds(1800);

    // Neither the other token's refresh token nor the token itself.
    for wrong in [text(&other["refreshToken"]), token.clone(), refresh[..23].to_owned()] {
        let refused = fixture.v2_at(&base, Login::Bearer(&wrong), "PATCH", &path, json!({})).await;
        assert_eq!(refused.code(), (401, json!(130)));
    }
    let ignored = json!({ "scopes": [BASE], "name": "other", "ttl": 5 });
    let new = fixture.v2_at(&base, Login::Bearer(&refresh), "PATCH", &path, ignored).await;
    assert_eq!(new.status, 200);
    let new = new.body;
    assert!(is_id(&new["token"]) && is_id(&new["refreshToken"]));
    assert!(new["token"] != old["token"] && new["refreshToken"] != old["refreshToken"]);
    for field in ["scopes", "name", "limits"] {
        assert_eq!(new[field], old[field], "{field}");
    }
    assert_eq!(new["stats"]["totalRequests"], 1, "the use is kept");
    assert_eq!(new["expireAt"], later_of(&old, 1800 + 3600), "as long as the old one, from now");

    assert_eq!(fixture.echo(&token).await, 401);
    assert_eq!(
        fixture.v2_at(&base, Login::Bearer(&refresh), "PATCH", &path, json!({})).await.code(),
        (404, json!(160))
    );
    assert_eq!(fixture.v2("GET", &path, Value::Null).await.code(), (404, json!(120)));
    assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 2);
    let new_token = text(&new["token"]);
    let statuses = [fixture.echo(&new_token).await, fixture.echo(&new_token).await, fixture.echo(&new_token).await];
    assert_eq!(statuses, [200, 200, 402], "the limit counts the calls of both");

    // The old refresh token does not refresh the new token, and an expired token cannot be refreshed.
    let path = format!("/tokens/{new_token}");
    assert_eq!(
        fixture.v2_at(&base, Login::Bearer(&refresh), "PATCH", &path, json!({})).await.code(),
        (401, json!(130))
    );
    fixture.seconds(3600);
    let late = text(&new["refreshToken"]);
    assert_eq!(fixture.v2_at(&base, Login::Bearer(&late), "PATCH", &path, json!({})).await.code(), (404, json!(160)));
}

#[tokio::test]
async fn a_wrapped_token_has_few_fields_and_a_refreshed_one_its_refresh_token() {
    let fixture = start_with(Emulator::builder().token_envelope(TokenEnvelope::Wrapped)).await;
    let base = fixture.emulator.production_v2_url();
    let made = fixture.create(&[BASE], json!({ "name": "invoices" })).await;
    let data = &made["data"];
    let now = text(&data["createdAt"]);
    assert!(now.ends_with("+00:00") && is_id(&data["token"]), "{made}");
    let brief = json!({ "token": data["token"], "name": "invoices", "createdAt": now, "expireAt": later(&now, 3600) });
    let wrapped = |data: &Value| json!({ "data": data, "success": true, "message": "", "error": null });
    assert_eq!(made, wrapped(&brief));
    let path = format!("/tokens/{}", text(&data["token"]));
    assert_eq!(fixture.v2("GET", &path, Value::Null).await.body, made);
    assert_eq!(fixture.v2("PATCH", &path, json!({})).await.body, made);

    let listed = fixture.v2("GET", "/tokens", Value::Null).await.body;
    let entry = &listed["data"][0];
    assert_eq!(listed, wrapped(&json!([entry])));
    assert_eq!((&entry["token"], &entry["scopes"]), (&data["token"], &json!([BASE])));
    assert!(text(&entry["updatedAt"]).ends_with("+00:00") && entry["stats"].is_object());

    let refresh = text(&entry["refreshToken"]);
    let new = fixture.v2_at(&base, Login::Bearer(&refresh), "PATCH", &path, json!({})).await.body;
    let fields: Vec<&String> = new["data"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["createdAt", "expireAt", "name", "refreshToken", "token"]);
    let (path, refresh) = (format!("/tokens/{}", text(&new["data"]["token"])), text(&new["data"]["refreshToken"]));
    assert_eq!(fixture.v2_at(&base, Login::Bearer(&refresh), "PATCH", &path, json!({})).await.status, 200);
}

#[tokio::test]
async fn each_environment_and_each_version_has_its_own_tokens() {
    let fixture = start().await;
    let v1 = fixture.make(&[ECHO]).await;
    let production = fixture.echo_token(json!({})).await;
    let body = json!({ "scopes": [ECHO, "GET:test.imprese.openapi.it/base"] });
    let sandbox = fixture.v2_sandbox("POST", "/tokens", body).await.token();
    let apis = [Api::Production, Api::Sandbox, Api::ProductionV2, Api::SandboxV2];
    assert_eq!(apis.map(|api| fixture.emulator.count_valid_tokens(api)), [1, 0, 1, 1]);
    let order: Vec<Api> = fixture.emulator.tokens().iter().map(|issued| issued.api).collect();
    assert_eq!(order, [Api::Production, Api::ProductionV2, Api::SandboxV2]);

    for foreign in [&v1, &sandbox] {
        let path = format!("/tokens/{foreign}");
        assert_eq!(fixture.v2("GET", &path, Value::Null).await.code(), (404, json!(120)));
        assert_eq!(fixture.v2("PATCH", &path, json!({})).await.code(), (404, json!(160)));
        assert_eq!(fixture.v2("DELETE", &path, Value::Null).await.code(), (404, json!(180)));
    }
    assert_eq!(fixture.ask("GET", &format!("/token/{production}"), Value::Null).await.status, 402);
    assert_eq!(fixture.data("/tokens").await[0]["token"], production);
    assert_eq!(fixture.ask("GET", "/token", Value::Null).await.body["data"].as_array().unwrap().len(), 1);
    // The protected endpoint takes all of them.
    for token in [&v1, &production, &sandbox] {
        assert_eq!(fixture.echo(token).await, 200);
    }
    fixture.emulator.revoke_all();
    assert_eq!(apis.map(|api| fixture.emulator.count_valid_tokens(api)), [0; 4]);
    for token in [&v1, &production, &sandbox] {
        assert_eq!(fixture.echo(token).await, 401);
    }
}

#[tokio::test]
async fn each_account_has_its_own_tokens() {
    let other = Account::new("other@example.com", "other-key", "other-sandbox-key");
    let fixture = start_with(Emulator::builder().account(Account::default()).account(other)).await;
    let base = fixture.emulator.production_v2_url();
    let login = Login::Basic("other@example.com", "other-key");
    let ask = async |login, method: &str, path: &str, body| fixture.v2_at(&base, login, method, path, body).await;
    let first = fixture.create(&[ECHO], json!({})).await;
    let second = ask(login, "POST", "/tokens", json!({ "scopes": [ECHO] })).await.body;
    let path = format!("/tokens/{}", text(&second["token"]));
    assert_eq!(fixture.v2("GET", &path, Value::Null).await.code(), (404, json!(120)));
    assert_eq!(ask(login, "GET", "/tokens", Value::Null).await.body["data"], json!([second]));
    assert_eq!(fixture.data("/tokens").await, json!([first]));

    // A refresh has no login: the token says whose it is.
    let refresh = text(&second["refreshToken"]);
    let wrong = text(&first["refreshToken"]);
    assert_eq!(ask(Login::Bearer(&wrong), "PATCH", &path, json!({})).await.code(), (401, json!(130)));
    let new = ask(Login::Bearer(&refresh), "PATCH", &path, json!({})).await.body;
    assert_eq!(ask(login, "GET", "/tokens", Value::Null).await.body["data"], json!([new]));
    assert_eq!(fixture.data("/tokens").await, json!([first]));

    // Calls and failures belong to the account of the token.
    assert_eq!(fixture.echo(&text(&new["token"])).await, 200);
    assert_eq!(fixture.data("/stats/ips").await, json!([]));
    assert_eq!(ask(login, "GET", "/stats/ips", Value::Null).await.body["data"], json!(["127.0.0.1"]));
    let codes =
        |log: &Value| log.as_array().unwrap().iter().map(|entry| entry["errorCode"].clone()).collect::<Vec<_>>();
    assert_eq!(codes(&fixture.data("/errors").await), [120]);
    assert_eq!(codes(&ask(login, "GET", "/errors", Value::Null).await.body["data"]), [130]);
}

#[tokio::test]
async fn a_token_without_a_name_has_none() {
    let fixture = start().await;
    let made = fixture.create(&[BASE], json!({ "name": null, "limits": null })).await;
    assert_eq!((made.get("name"), &made["limits"]), (None, &json!({})));
    assert_eq!(fixture.emulator.tokens()[0].name, None);
    // Two tokens may have the same name.
    let names =
        [fixture.create(&[BASE], json!({ "name": "x" })).await, fixture.create(&[BASE], json!({ "name": "x" })).await];
    assert_eq!(names.map(|made| made["name"].clone()), [json!("x"), json!("x")]);
}
